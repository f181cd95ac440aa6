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


class DifferentialWithRepeatedKeys(Differential):
    """As the paper's repository writes it: infinities and NaN made finite, the mask filled in place and added in place."""

    def forward(self, x):
        batch, length, width = x.shape
        q, k = (f(x).view(batch, length, 2 * self.heads, self.features).transpose(1, 2) for f in (self.q, self.k))
        v = self.v(x).view(batch, length, self.heads, 2 * self.features).transpose(1, 2)
        weights = torch.matmul(q * self.features**-0.5, k.transpose(-1, -2))
        mask = torch.triu(torch.zeros([length, length]).float().fill_(float("-inf")).type_as(weights), 1)
        weights = torch.nan_to_num(weights)
        weights += mask
        weights = F.softmax(weights, dim=-1, dtype=torch.float32).type_as(weights)
        weights = weights.view(batch, self.heads, 2, length, length)
        full = torch.exp(torch.sum(self.a * self.b, dim=-1).float()).type_as(q) - 0.2
        weights = weights[:, :, 0] - full * weights[:, :, 1]
        out = torch.matmul(weights, v)
        out = out * torch.rsqrt(out.pow(2).mean(-1, keepdim=True) + 1e-5) * 0.8
        return out.transpose(1, 2).reshape(batch, length, width)


def test_differential_attention_of_the_repository():
    check(DifferentialWithRepeatedKeys(), (torch.randn(2, 33, 64),))


class InvariantPoints(nn.Module):
    """Invariant point attention (AlphaFold 2, algorithm 22). Its public PyTorch code adds the squared coordinates one by one,
    and sums products to attend the points; `plain` code has sums and einsum there."""

    def __init__(self, plain, width=32, pair=16, heads=4, features=8, points=4, value_points=6):
        super().__init__()
        self.plain, self.heads, self.features, self.points, self.value_points = plain, heads, features, points, value_points
        self.q, self.kv = nn.Linear(width, heads * features), nn.Linear(width, 2 * heads * features)
        self.q_points = nn.Linear(width, heads * points * 3)
        self.kv_points = nn.Linear(width, heads * (points + value_points) * 3)
        self.bias = nn.Linear(pair, heads)
        self.head_weights = nn.Parameter(torch.rand(heads))
        self.out = nn.Linear(heads * (pair + features + value_points * 4), width)

    def in_frame(self, x, rotations, translations):
        x = torch.stack(torch.split(x, x.shape[-1] // 3, dim=-1), dim=-1)
        return torch.einsum("bnij,bnpj->bnpi", rotations, x) + translations[:, :, None]

    def forward(self, s, z, rotations, translations, mask):
        batch, length, _ = s.shape
        q = self.q(s).view(batch, length, self.heads, -1)
        k, v = torch.split(self.kv(s).view(batch, length, self.heads, -1), self.features, dim=-1)
        q_points = self.in_frame(self.q_points(s), rotations, translations).view(batch, length, self.heads, self.points, 3)
        kv_points = self.in_frame(self.kv_points(s), rotations, translations).view(batch, length, self.heads, -1, 3)
        k_points, v_points = torch.split(kv_points, [self.points, self.value_points], dim=-2)
        a = torch.matmul(q.permute(0, 2, 1, 3), k.permute(0, 2, 3, 1)) * math.sqrt(1 / (3 * self.features))
        a = a + math.sqrt(1 / 3) * self.bias(z).permute(0, 3, 1, 2)
        away = (q_points.unsqueeze(-4) - k_points.unsqueeze(-5)) ** 2
        away = away.sum(-1) if self.plain else sum(torch.unbind(away, dim=-1))
        away = away * (F.softplus(self.head_weights).view(1, 1, 1, -1, 1) * math.sqrt(1 / (3 * (self.points * 9 / 2))))
        away = torch.sum(away, dim=-1) * -0.5
        together = 1e5 * (mask.unsqueeze(-1) * mask.unsqueeze(-2) - 1)
        a = (a + away.permute(0, 3, 1, 2) + together.unsqueeze(1)).softmax(-1)
        o = torch.matmul(a, v.transpose(-2, -3)).transpose(-2, -3).reshape(batch, length, -1)
        if self.plain:
            o_points = torch.einsum("bhij,bjhpx->bihpx", a, v_points)
        else:
            o_points = torch.sum(a[..., None, :, :, None] * v_points.permute(0, 2, 4, 1, 3)[..., None, :, :], dim=-2)
            o_points = o_points.permute(0, 3, 1, 4, 2)
        o_points = torch.einsum("bnji,bnhpj->bnhpi", rotations, o_points - translations[:, :, None, None])
        norms = torch.sqrt(torch.sum(o_points**2, dim=-1) + 1e-8).flatten(-2)
        o_pair = torch.matmul(a.transpose(-2, -3), z).flatten(-2)
        return self.out(torch.cat([o, *(x.flatten(-2) for x in torch.unbind(o_points, dim=-1)), norms, o_pair], dim=-1))


@pytest.mark.parametrize("plain", [True, False], ids=["sums and einsum", "public code"])
def test_invariant_point_attention(plain):
    rotations = torch.linalg.qr(torch.randn(2, 20, 3, 3))[0]
    mask = (torch.rand(2, 20) > 0.2).float()
    check(InvariantPoints(plain), (torch.randn(2, 20, 32), torch.randn(2, 20, 20, 16), rotations, torch.randn(2, 20, 3), mask), count=3)


def test_contractions_written_as_sums():
    class Sums(nn.Module):
        def forward(self, q, k, v):
            scores = q @ k.mT
            weights = scores.softmax(-1)
            return (weights[..., None] * v[:, :, None]).sum(-2, keepdim=True)

    check(Sums(), (torch.randn(2, 3, 9, 16), torch.randn(2, 3, 30, 16), torch.randn(2, 3, 30, 24)))


def test_sums_that_are_no_contraction_are_left():
    class Norms(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.Linear(16, 16)

        def forward(self, x):
            y = self.up(x)
            return y / (y * y).sum(-1, keepdim=True).sqrt() + (y * x).sum(-1, keepdim=True)

    check(Norms(), (torch.randn(2, 9, 16),), count=0)


def test_parts_of_a_dimension():
    """Tables longer than the sequence are read in their part; keys from the middle are, too."""

    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.ones(64, 64, dtype=torch.bool).tril())
            self.register_buffer("bias", torch.randn(64, 64))

        def forward(self, q, k, v):
            s = q @ k.mT + self.bias[: q.shape[2], 5 : 5 + k.shape[2]]
            return s.masked_fill(~self.seen[: q.shape[2], : k.shape[2]], float("-inf")).softmax(-1) @ v

    check(Parts(), tuple(torch.randn(2, 3, 20, 16) for _ in range(3)))


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


def test_heads_in_a_part_of_a_projection():
    """Queries, and one key and one value for all of them, in one projection (Falcon)."""
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(24, 5 * 8)

        def forward(self, x):
            parts = self.qkv(x).view(*x.shape[:2], 5, 8)
            q, k, v = (t.transpose(1, 2) for t in (parts[:, :, :-2], parts[:, :, [-2]], parts[:, :, [-1]]))
            weights = (q @ k.mT * 0.3).tril().masked_fill(torch.ones(x.shape[1], x.shape[1]).triu(1).bool(), float("-inf")).softmax(-1)
            return (weights @ v).transpose(1, 2).flatten(2)

    check(Packed(), (torch.randn(2, 19, 24),))


def test_talking_heads_are_left_with_a_reason():
    class Talking(nn.Module):
        def forward(self, q, k, v, before, after):
            logits = torch.einsum("bhqk,hg->bgqk", q @ k.mT, before)
            return torch.einsum("bgqk,gh->bhqk", logits.softmax(-1), after) @ v

    tensors = [torch.randn(2, 3, 9, 16) for _ in range(3)]
    check(Talking(), (*tensors, torch.randn(3, 3), torch.randn(3, 3)), count=0)
    assert "heads are mixed" in findings()


def test_scores_of_a_fused_region_are_not_left():
    """Queries and keys that are normalised look like an attention of their own."""
    class Normalised(nn.Module):
        def forward(self, x, weight):
            q, k, v = (x @ weight).chunk(3, -1)
            q, k = (t * torch.rsqrt(t.square().mean(-1, keepdim=True) + 1e-6) for t in (q, k))
            q, k = (torch.cat([-t[..., 4:], t[..., :4]], -1) for t in (q, k))
            return (q @ k.mT).softmax(-1) @ v

    check(Normalised(), (torch.randn(2, 3, 9, 8), torch.randn(8, 24)))
    assert len(backend.report()) == 1, findings()


def test_training_is_left_with_a_reason():
    module, x = Causal(), torch.randn(2, 9, 64)
    with torch.enable_grad():
        compiled(module)(x).sum().backward()
    assert module.q.weight.grad is not None
    assert not fused() and "gradients" in findings()
