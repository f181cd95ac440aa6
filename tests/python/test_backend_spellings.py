"""torch.compile(backend="strobe") on attention as people write it: what was read once is read as ever."""

import math

import pytest
import torch
import torch.nn.functional as F
from strobe import backend

HEADS, LENGTH, FEATURES = 4, 37, 16
slopes, sinks, logit_scale, gates = torch.rand(HEADS), torch.randn(HEADS), torch.rand(HEADS, 1, 1), torch.randn(HEADS, 1, 1)
table = torch.randn(2 * LENGTH - 1, HEADS)
present = torch.arange(LENGTH)[None] < torch.tensor([LENGTH, 20])[:, None]
temperature = torch.tensor(0.7)


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    backend.report(clear=True)


def qkv(length=LENGTH, batch=2):
    return [torch.randn(batch, HEADS, length, FEATURES) for _ in range(3)]


def scores(q, k):
    return q @ k.mT * FEATURES**-0.5


def alibi_in_a_window(q, k, v):
    i = torch.arange(q.shape[-2])
    distance = i[None] - i[:, None]
    s = scores(q, k) + slopes[:, None, None] * distance
    return s.masked_fill(distance > 0, float("-inf")).masked_fill(distance < -9, float("-inf")).softmax(-1) @ v


def cosine(q, k, v):
    """Swin v2: normalised queries and keys, a learned and bounded temperature for each head."""
    scale = torch.clamp(logit_scale, max=math.log(100.0)).exp()
    return ((F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT) * scale).softmax(-1) @ v


def relative_bias_by_gather(q, k, v):
    """Swin: a table of biases, read at an index of distances."""
    i = torch.arange(LENGTH)
    index = i[:, None] - i[None] + LENGTH - 1
    bias = table[index.view(-1)].view(LENGTH, LENGTH, HEADS).permute(2, 0, 1).contiguous()
    return (scores(q, k) + bias.unsqueeze(0)).softmax(-1) @ v


def temperature_tensor(q, k, v):
    return (scores(q, k) / temperature).softmax(-1) @ v


def multi_query_by_expand(q, k, v):
    k, v = (t[:, :1].expand(-1, HEADS, -1, -1) for t in (k, v))
    return torch.matmul(torch.matmul(q, k.transpose(2, 3)).softmax(-1), v)


def padding_added(q, k, v):
    mask = (1.0 - present[:, None, None, :].float()) * torch.finfo(torch.float32).min
    return (scores(q, k) + mask).softmax(-1) @ v


def sinks_joined(q, k, v):
    """gpt-oss: one more logit for each head, which takes weight and gives nothing."""
    s = torch.cat([scores(q, k), sinks.reshape(1, -1, 1, 1).expand(q.shape[0], HEADS, q.shape[2], 1)], -1)
    s = s - s.max(dim=-1, keepdim=True).values
    return F.softmax(s, dim=-1, dtype=s.dtype)[..., :-1] @ v


def sink_in_front(q, k, v):
    s = torch.cat([sinks.reshape(1, -1, 1, 1).expand(q.shape[0], HEADS, q.shape[2], 1), scores(q, k)], -1)
    return s.softmax(-1)[..., 1:] @ v


def maximum_with_its_place(q, k, v):
    s = scores(q, k)
    e = (s - s.max(dim=-1, keepdim=True)[0]).exp()
    return e / e.sum(dim=-1, keepdim=True) @ v


def quiet_softmax(q, k, v):
    """Softmax with one more in the sum (arXiv:2402.19173's "softmax off by one")."""
    s = scores(q, k)
    m = s.amax(-1, keepdim=True).clamp(min=0)
    e = torch.exp(s - m)
    return (e / (e.sum(-1, keepdim=True) + torch.exp(-m))) @ v


def log_sum_exp(q, k, v):
    s = scores(q, k)
    return torch.exp(s - torch.logsumexp(s, -1, keepdim=True)) @ v


def gated_position(q, k, v):
    """ConViT: a mixture of attention by content and by position."""
    i = torch.arange(LENGTH, dtype=torch.float32)
    position = (-((i[:, None] - i[None]) ** 2) / 20).softmax(-1)
    gate = torch.sigmoid(gates)
    return ((1 - gate) * scores(q, k).softmax(-1) + gate * position) @ v


def sigmoid(q, k, v):
    return torch.sigmoid(scores(q, k) - math.log(LENGTH)) @ v


def relu(q, k, v):
    return (F.relu(scores(q, k)) / LENGTH) @ v


def retention(q, k, v):
    i = torch.arange(LENGTH)
    distance = i[:, None] - i[None]
    decay = torch.where(distance >= 0, (slopes[:, None, None] * 0.5 + 0.4) ** distance.clamp(min=0), 0.0)
    return (scores(q, k) * decay) @ v


def batch_after_length(q, k, v):
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    weights = torch.softmax(torch.einsum("bqhd,bkhd->bhqk", q, k).float(), -1).to(q.dtype)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v).transpose(1, 2)


FUSED = [alibi_in_a_window, cosine, relative_bias_by_gather, temperature_tensor, multi_query_by_expand, padding_added, sinks_joined,
         sink_in_front, maximum_with_its_place, quiet_softmax, log_sum_exp, gated_position, sigmoid, relu, retention,
         batch_after_length]


def compiled(function, **options):
    return torch.compile(function, backend="strobe", options={"rest": "eager"}, **options)


@pytest.mark.parametrize("attention", FUSED, ids=lambda f: f.__name__)
def test_is_fused(attention):
    arguments = qkv()
    got = compiled(attention)(*arguments)
    torch.testing.assert_close(got, attention(*arguments), atol=2e-5, rtol=2e-5)
    (finding,) = backend.report()
    assert finding.fused, finding
    # Nothing as large as the scores is passed to the kernel but a stored bias or decay.
    assert "scores" in finding.text


def test_joined_sinks_of_any_length():
    function = compiled(sinks_joined)
    for length, batch in ((19, 3), (33, 5)):
        arguments = qkv(length, batch)
        for t in arguments:
            torch._dynamo.mark_dynamic(t, (0, 2))
        torch.testing.assert_close(function(*arguments), sinks_joined(*arguments), atol=2e-5, rtol=2e-5)
    (finding,) = backend.report()
    assert finding.fused, finding


def test_joined_halves_are_left():
    """Keys on both sides of a seam are two streams."""
    def joined(q, k, v):
        s = torch.cat([scores(q, k[:, :, :20]), scores(q, k[:, :, 20:]) * 2], -1)
        return s.softmax(-1) @ v

    arguments = qkv()
    torch.testing.assert_close(compiled(joined)(*arguments), joined(*arguments), atol=2e-5, rtol=2e-5)
    assert [f.fused for f in backend.report()] == [False], backend.report()


def test_mixed_heads_are_left_with_a_reason():
    mixing = torch.randn(HEADS, HEADS)

    def talking(q, k, v):
        return torch.einsum("bhij,hg->bgij", scores(q, k), mixing).softmax(-1) @ v

    arguments = qkv()
    torch.testing.assert_close(compiled(talking)(*arguments), talking(*arguments))
    (finding,) = backend.report()
    assert not finding.fused and "scores are no contraction of queries and keys" in finding.why


def test_chains_of_products_are_left():
    first, second, wide = torch.randn(2, 16, 300), torch.randn(2, 300, 16), torch.randn(2, 9, 300)
    tall = torch.randn(2, 300, 64), torch.randn(2, 64, 300)

    def chains(x):
        plain = (x @ first) @ second  # nothing between
        experts = F.relu(wide @ tall[0]) @ tall[1]  # features of 300
        return plain, experts

    got = compiled(chains)(torch.randn(2, 9, 16))
    assert len(got) == 2 and not any(f.fused for f in backend.report()), backend.report()
