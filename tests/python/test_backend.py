"""torch.compile(backend="strobe"): plain attention code, in many spellings, is fused and keeps its meaning."""

import math

import pytest
import reference
import torch
import torch.nn as nn
import torch.nn.functional as F
from strobe import backend


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    backend.report(clear=True)


def compiled(module, **options):
    return torch.compile(module, backend="strobe", options={"rest": "eager"}, **options)


def fused():
    return [f for f in backend.report() if f.fused]


def findings():
    return "\n".join(map(str, backend.report()))


class Layer(nn.Module):
    """Multi-head attention; subclasses say how the weights are used."""

    def __init__(self, heads=4, kv_heads=4, features=16):
        super().__init__()
        self.heads, self.kv_heads, self.features = heads, kv_heads, features
        width = heads * features
        self.q, self.o = nn.Linear(width, width), nn.Linear(width, width)
        self.k, self.v = nn.Linear(width, kv_heads * features), nn.Linear(width, kv_heads * features)

    def forward(self, x):
        batch, length, _ = x.shape
        q = self.q(x).view(batch, length, self.heads, self.features).transpose(1, 2)
        k = self.k(x).view(batch, length, self.kv_heads, self.features).transpose(1, 2)
        v = self.v(x).view(batch, length, self.kv_heads, self.features).transpose(1, 2)
        if self.kv_heads != self.heads:
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        return self.o(self.attend(q, k, v).transpose(1, 2).reshape(batch, length, -1))


class Full(Layer):
    def attend(self, q, k, v):
        return torch.softmax(q @ k.transpose(-2, -1) * self.features**-0.5, -1) @ v


class Causal(Layer):
    def attend(self, q, k, v):
        seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
        s = (q @ k.mT / math.sqrt(self.features)).masked_fill(~seen, float("-inf"))
        return s.softmax(-1) @ v


class CausalByAddition(Layer):
    def attend(self, q, k, v):
        s = q @ k.mT + torch.triu(torch.full((q.shape[2], k.shape[2]), float("-inf")), 1)
        return F.softmax(s, dim=-1, dtype=torch.float32).type_as(q) @ v


class Window(Layer):
    def attend(self, q, k, v):
        i, j = torch.arange(q.shape[2])[:, None], torch.arange(k.shape[2])[None]
        return torch.where((j <= i) & (i - j < 7), q @ k.mT, -1e9).softmax(-1) @ v


class Softcap(Layer):
    def attend(self, q, k, v):
        return (10 * torch.tanh(q @ k.mT / 10)).softmax(-1) @ v


class Alibi(Layer):
    def attend(self, q, k, v):
        slopes = 2.0 ** -torch.arange(1, self.heads + 1)
        distance = torch.arange(k.shape[2])[None, :] - torch.arange(q.shape[2])[:, None]
        return (q @ k.mT + slopes[:, None, None] * distance).softmax(-1) @ v


class Einsum(Layer):
    def attend(self, q, k, v):
        weights = torch.einsum("bhid,bhjd->bhij", q, k).softmax(-1)
        return torch.einsum("bhij,bhjd->bhid", weights, v)


class ByHand(Layer):
    """The softmax written out."""

    def attend(self, q, k, v):
        s = q @ k.mT
        e = torch.exp(s - s.amax(-1, keepdim=True))
        return (e / e.sum(-1, keepdim=True)) @ v


class Sdpa(Layer):
    def attend(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class SdpaMask(Layer):
    def attend(self, q, k, v):
        mask = torch.arange(k.shape[2])[None, :] < torch.arange(q.shape[2])[:, None] + 3
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3)


def check(module, *arguments, count=1, **options):
    module = module.eval()
    run = compiled(module, **options)
    for given in arguments:
        reference.check(run(*given), module(*given).double(), tolerance=2e-6)
    assert len(fused()) == count, findings()
    return run


@pytest.mark.parametrize(
    "layer", [Full, Causal, CausalByAddition, Window, Softcap, Alibi, Einsum, ByHand, Sdpa, SdpaMask], ids=lambda l: l.__name__
)
def test_spellings(layer):
    check(layer(), (torch.randn(2, 33, 64),))


@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize("layer", [Causal, Sdpa])
def test_grouped_queries(layer, kv_heads):
    check(layer(kv_heads=kv_heads), (torch.randn(2, 20, 64),))


@pytest.mark.parametrize("layer", [Causal, Sdpa])
def test_dynamic_lengths_compile_once(layer):
    lengths = (20, 33, 47)
    check(layer(kv_heads=2), *[(torch.randn(3, n, 64),) for n in lengths], dynamic=True)


def test_with_inductor():
    module = Causal().eval()
    x = torch.randn(2, 33, 64)
    run = torch.compile(module, backend="strobe")
    reference.check(run(x), module(x).double(), tolerance=2e-6)
    assert len(fused()) == 1, findings()


class Differential(nn.Module):
    """The difference of two softmaxes (arXiv:2410.05258), its layer written as the paper's code does."""

    def __init__(self, width=64, heads=2):
        super().__init__()
        self.heads, self.features = heads, width // heads // 2
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.a, self.b = (nn.Parameter(torch.randn(self.features) * 0.1) for _ in range(2))

    def forward(self, x):
        batch, length, width = x.shape
        q, k = (f(x).view(batch, length, 2 * self.heads, self.features).transpose(1, 2) for f in (self.q, self.k))
        v = self.v(x).view(batch, length, self.heads, 2 * self.features).transpose(1, 2)
        s = q * self.features**-0.5 @ k.transpose(-1, -2) + torch.triu(torch.full((length, length), float("-inf")), 1)
        weights = F.softmax(s, dim=-1, dtype=torch.float32).view(batch, self.heads, 2, length, length)
        weights = weights[:, :, 0] - (torch.exp((self.a * self.b).sum()) - 0.2) * weights[:, :, 1]
        return (weights @ v).transpose(1, 2).reshape(batch, length, width)


def test_differential_attention():
    check(Differential(), (torch.randn(2, 33, 64),))


class Evoformer(nn.Module):
    """Row attention with pair bias and a mask of residues (AlphaFold 2, algorithm 7)."""

    def __init__(self, heads=4, features=8):
        super().__init__()
        self.heads, self.features = heads, features
        self.q, self.k, self.v, self.gate = (nn.Linear(32, heads * features) for _ in range(4))
        self.bias = nn.Linear(16, heads)

    def forward(self, m, pair, mask):
        def heads(f):
            return f(m).unflatten(-1, (self.heads, self.features)).transpose(-2, -3)

        q, k, v = heads(self.q) * self.features**-0.5, heads(self.k), heads(self.v)
        s = q @ k.transpose(-1, -2) + (1e9 * (mask - 1))[:, :, None, None, :] + self.bias(pair).permute(0, 3, 1, 2)[:, None]
        o = (s.softmax(-1) @ v).transpose(-2, -3).flatten(-2)
        return o * torch.sigmoid(self.gate(m))


def test_evoformer():
    mask = (torch.rand(2, 3, 20) > 0.2).float()
    check(Evoformer(), (torch.randn(2, 3, 20, 32), torch.randn(2, 20, 20, 16), mask))


def test_cross_attention_with_two_lengths():
    class Cross(nn.Module):
        def forward(self, q, k, v):
            return (q @ k.mT).softmax(-1) @ v

    check(Cross(), (torch.randn(2, 3, 9, 16), torch.randn(2, 3, 30, 16), torch.randn(2, 3, 30, 24)))


def test_what_is_no_attention_is_left():
    class Perceptron(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down, self.more = nn.Linear(16, 64), nn.Linear(64, 16), nn.Linear(16, 16)

        def forward(self, x):
            y = x + self.down(F.gelu(self.up(x)))
            return self.more(y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6))

    check(Perceptron(), (torch.randn(2, 9, 16),), count=0)


def test_weights_that_are_returned_are_left_with_a_reason():
    class Returns(nn.Module):
        def forward(self, q, k, v):
            weights = (q @ k.mT).softmax(-1)
            return weights @ v, weights

    tensors = [torch.randn(2, 3, 9, 16) for _ in range(3)]
    out, weights = compiled(Returns())(*tensors)
    want, want_weights = Returns()(*tensors)
    reference.check(out, want.double(), tolerance=2e-6)
    reference.check(weights, want_weights.double(), tolerance=2e-6)
    assert not fused() and "weights are also used" in findings()


def test_training_is_left_with_a_reason():
    module, x = Causal(), torch.randn(2, 9, 64)
    with torch.enable_grad():
        compiled(module)(x).sum().backward()
    assert module.q.weight.grad is not None
    assert not fused() and "gradients" in findings()
