"""strobe.flex_attention inside graphs that torch.compile and torch.export capture whole."""

import pytest
import strobe
import torch
from reference import check, expected
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask

bias = torch.randn(1, 2, 24, 24)
documents = torch.tensor([0] * 5 + [1] * 19, dtype=torch.int32)


def qkv(length=24, batch=1, heads=2):
    return [torch.randn(batch, heads, length, 8) for _ in range(3)]


def model(query, key, value, weights, window, **options):
    slopes = weights * 2

    def score_mod(score, b, h, q, k):
        return score + bias[0][h, q][k] * slopes[h] + 0.5 * bias[0, h, q, k]

    def mask_mod(b, h, q, k):
        return (documents[q] == documents[k]) & (q - k <= window) & (q >= k)

    return strobe.flex_attention(query + 1, key, value, score_mod, mask_mod, 0.5, **options)


def eager_model(query, key, value, weights, window):
    """(out, lse) in float64."""
    slopes = (weights * 2).double()
    table = bias.double()
    return expected(
        query + 1, key, value, lambda s, b, h, q, k: s + table[0][h, q][k] * slopes[h] + 0.5 * table[0, h, q, k],
        lambda b, h, q, k: (documents[q] == documents[k]) & (q - k <= window) & (q >= k), scale=0.5)


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor", "strobe"])
def test_whole_graphs(backend):
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    arguments = (*qkv(), torch.rand(2), 4)
    check(compiled(*arguments), eager_model(*arguments)[0])


def test_a_graph_holds_the_operator():
    graphs = []


    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def inspected(graph, inputs):
        from torch._dynamo.backends.common import aot_autograd
        return aot_autograd(fw_compiler=keep)(graph, inputs)

    arguments = (*qkv(), torch.rand(2), 4)
    torch.compile(model, backend=inspected, fullgraph=True)(*arguments)
    (graph,) = graphs
    targets = [n.target for n in graph.graph.nodes if n.op == "call_function"]
    assert targets.count(torch.ops.strobe.attention.default) == 1, targets
    # What is captured are inputs, and nothing of the scores is computed outside of the kernel.
    assert not any(str(t).startswith(("aten.mm", "aten.bmm", "aten._softmax")) for t in targets), targets


def test_captured_tensors_are_inputs():
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for _ in range(3):
        arguments = (*qkv(), torch.rand(2), 4)
        check(compiled(*arguments), eager_model(*arguments)[0])
    saved = bias.clone()
    bias.mul_(2)  # a global
    try:
        check(compiled(*arguments), eager_model(*arguments)[0])
    finally:
        bias.copy_(saved)
    assert counter.frame_count == 1


def test_numbers_are_guarded():
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=False)
    arguments = (*qkv(), torch.rand(2))
    for window in (1, 9):
        check(compiled(*arguments, window), eager_model(*arguments, window)[0])


def test_new_lengths_compile_nothing():
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, backend=counter, fullgraph=True, dynamic=True)
    for length, batch in ((20, 3), (17, 4), (9, 5)):  # at first, no two sizes that are equal by chance
        arguments = (*qkv(length, batch), torch.rand(2), 4)
        check(compiled(*arguments), eager_model(*arguments)[0])
    assert counter.frame_count == 1


def test_one_tensor_in_several_places():
    (query, *_), weights = qkv(), torch.rand(2)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    check(compiled(query, query, query, weights, 4), eager_model(query, query, query, weights, 4)[0])


def test_log_sums_and_maxima():
    query, key, value = qkv()

    def both(query, key, value, weights):
        out, lse = model(query, key, value, weights, 4, return_lse=True)
        again, aux = model(query, key, value, weights, 4, return_aux=AuxRequest(lse=True, max_scores=True))
        return out, lse, again, aux.lse, aux.max_scores

    weights = torch.rand(2)
    want = both(query, key, value, weights)
    got = torch.compile(both, backend="aot_eager", fullgraph=True)(query, key, value, weights)
    for g, w in zip(got, want):
        torch.testing.assert_close(g, w)


def test_block_masks_and_plain_calls():
    query, key, value = qkv()
    block_mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, 24, 24, device="cpu")

    def several(query, key, value):
        masked = strobe.flex_attention(query, key, value, block_mask=block_mask)
        grouped = strobe.flex_attention(query, key[:, :1], value[:, :1], enable_gqa=True)
        return masked, grouped, strobe.flex_attention(query, key, value, score_mod=lambda s, b, h, q, k: s * (h + 1))

    got = torch.compile(several, backend="aot_eager", fullgraph=True)(query, key, value)
    check(got[0], expected(query, key, value, None, lambda b, h, q, k: q >= k)[0])
    check(got[1], expected(query, key[:, :1], value[:, :1], enable_gqa=True)[0])
    check(got[2], expected(query, key, value, lambda s, b, h, q, k: s * (h + 1))[0])


def test_autocast():
    query, key, value = qkv()

    def cast(query, key, value):
        with torch.autocast("cpu", torch.bfloat16):
            return strobe.flex_attention(query, key, value)

    got = torch.compile(cast, backend="aot_eager", fullgraph=True)(query, key, value)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, cast(query, key, value))


def test_mistakes_are_named():
    query, key, value = qkv()
    with pytest.raises(Exception, match="[Dd]ata-dependent"):
        torch.compile(strobe.flex_attention, backend="aot_eager", fullgraph=True)(
            query, key, value, lambda s, b, h, q, k: s if q >= k else -s)
    with pytest.raises(Exception, match="features and key has"):
        torch.compile(strobe.flex_attention, backend="aot_eager", fullgraph=True)(query, key[..., :7], value)


def test_gradients_are_refused():
    query, key, value = (t.requires_grad_() for t in qkv())
    compiled = torch.compile(lambda *t: strobe.flex_attention(*t).sum(), backend="aot_eager", fullgraph=True)
    with torch.enable_grad(), pytest.raises(Exception, match="no backward pass"):
        compiled(query, key, value).backward()


@pytest.mark.parametrize("strict", [False, True])
def test_export(strict):
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("slopes", torch.rand(2))

        def forward(self, query, key, value):
            return strobe.flex_attention(query, key, value, lambda s, b, h, q, k: s + self.slopes[h] * (k - q))

    layer, (query, key, value) = Layer(), qkv()
    exported = torch.export.export(layer, (query, key, value), strict=strict)
    assert any(n.target is torch.ops.strobe.attention.default for n in exported.graph.nodes)
    check(exported.module()(query, key, value), layer(query, key, value).double())


def test_where_torch_has_no_place_for_the_operator(monkeypatch):
    """The graph breaks at the call, which runs as ever."""
    monkeypatch.setattr(strobe.flex._in_graph, "available", False)
    query, key, value = qkv()
    weights = torch.rand(2)
    got = torch.compile(model, backend="aot_eager")(query, key, value, weights, 9)
    check(got, eager_model(query, key, value, weights, 9)[0])
