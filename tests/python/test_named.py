"""torch.ops.strobe.NAME: the algorithms of generators/ as operators."""

import pytest
import reference
import strobe
import torch
import torch.nn.functional as F


def qkv(batch=2, heads=4, kv_heads=4, queries=20, keys=20, features=16, value_features=16, dtype=torch.float32):
    query = torch.randn(batch, heads, queries, features, dtype=dtype)
    key = torch.randn(batch, kv_heads, keys, features, dtype=dtype)
    return query, key, torch.randn(batch, kv_heads, keys, value_features, dtype=dtype)


def causal_scores(query, key, scale):
    scores = query.double() @ key.double().mT * scale
    seen = torch.ones(scores.shape[-2:]).tril().bool()
    return scores.masked_fill(~seen, -torch.inf)


def test_every_generator_is_an_operator():
    names = {path.stem for path in (reference.ROOT / "generators").glob("*.cpp")}
    assert names == set(dir(strobe.operators))
    for name in names:
        assert hasattr(torch.ops.strobe, name), name


@pytest.mark.parametrize("sizes", [{}, {"kv_heads": 2}, {"features": 24, "value_features": 8}, {"queries": 7}], ids=str)
def test_causal(sizes):
    query, key, value = qkv(**sizes)
    out, lse = torch.ops.strobe.causal(query, key, value, 0.3)
    group = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(group, 1) for t in (key, value))
    scores = causal_scores(query, key, 0.3)
    reference.check(out, scores.softmax(-1) @ value.double())
    reference.check(lse, scores.logsumexp(-1), what="lse")


def test_scalars_and_further_tensors():
    query, key, value = qkv()
    document = torch.randint(0, 3, (2, 20), dtype=torch.int32).sort(-1).values
    out, _ = torch.ops.strobe.document_mask(query, key, value, document, scale=0.25)
    same = (document[:, None, :, None] == document[:, None, None, :])
    scores = (query.double() @ key.double().mT * 0.25).masked_fill(~same, -torch.inf)
    reference.check(out, scores.softmax(-1) @ value.double())
    out, _ = torch.ops.strobe.sliding_window(query, key, value, scale=0.25, window=3)
    distance = torch.arange(20)[:, None] - torch.arange(20)
    scores = (query.double() @ key.double().mT * 0.25).masked_fill((distance < 0) | (distance > 3), -torch.inf)
    reference.check(out, scores.softmax(-1) @ value.double())


def test_differential():
    query, key, _ = qkv(heads=8, kv_heads=8)
    value, lam = torch.randn(2, 4, 20, 16), torch.rand(4)
    out = torch.ops.strobe.differential(query, key, value, lam, 0.25)
    weights = causal_scores(query, key, 0.25).softmax(-1)
    want = (weights[:, 0::2] - lam.double()[:, None, None] * weights[:, 1::2]) @ value.double()
    reference.check(out, want * torch.rsqrt(want.square().mean(-1, keepdim=True) + 1e-5))


def test_outputs_of_several_shapes():
    batch, heads, length = 1, 2, 9
    query, key, value = qkv(batch, heads, heads, length, length)
    points = [torch.randn(batch, heads, length, n, 3) for n in (4, 4, 8)]
    bias, pair = torch.randn(batch, heads, length, length), torch.randn(batch, length, length, 128)
    gamma = torch.rand(heads)
    got = dict(zip(("out", "lse", "points", "pair"), torch.ops.strobe.ipa(query, key, value, *points, bias, pair, gamma, 0.25)))
    distance = (points[0][:, :, :, None] - points[1][:, :, None]).double().square().sum((-1, -2))
    scores = query.double() @ key.double().mT * 0.25 + bias - gamma.double()[:, None, None] * distance
    weights = scores.softmax(-1)
    shapes = {4: ("out", "pair"), 3: ("lse",), 5: ("points",)}
    for rank, names in shapes.items():
        for name in names:
            assert got[name].dim() == rank, f"{name}: {got[name].shape}"
    reference.check(got["out"], weights @ value.double())
    reference.check(got["lse"], scores.logsumexp(-1), what="lse")
    reference.check(got["pair"], torch.einsum("bhij,bijf->bhif", weights, pair.double()), what="pair")


def sample(name):
    query, key, value = qkv()
    return {
        "causal": (query, key, value, 0.25),
        "document_mask": (query, key, value, torch.zeros(2, 20, dtype=torch.int32), 0.25),
        "linear": (query, key, value, 0.25),
    }[name]


@pytest.mark.parametrize("name", ["causal", "document_mask", "linear"])
def test_opcheck(name):
    torch.library.opcheck(getattr(torch.ops.strobe, name).default, sample(name))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_and_exports_without_graph_breaks(dynamic):
    class Layer(torch.nn.Module):
        def forward(self, query, key, value):
            return torch.ops.strobe.causal(query * 2, key, value, 0.25)[0] + 1

    compiled = torch.compile(Layer(), backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for length in (20, 31):
        tensors = qkv(queries=length, keys=length)
        torch.testing.assert_close(compiled(*tensors), Layer()(*tensors))
    tensors = qkv()
    length = torch.export.Dim("length", min=2, max=64)
    shapes = tuple({2: length} for _ in tensors) if dynamic else None
    program = torch.export.export(Layer(), tensors, dynamic_shapes=shapes)
    torch.testing.assert_close(program.module()(*tensors), Layer()(*tensors))


def test_autocast():
    tensors = qkv()
    with torch.autocast("cpu", torch.bfloat16):
        out, lse = torch.ops.strobe.causal(*tensors, 0.25)
    assert out.dtype == torch.bfloat16 and lse.dtype == torch.float32
    want, _ = torch.ops.strobe.causal(*tensors, 0.25)
    reference.check(out, want.double(), tolerance=0.05)


def refused(kind, name, arguments, *words):
    with pytest.raises(kind) as caught:
        getattr(strobe.operators, name)(*arguments)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_bad_arguments_are_named():
    query, key, value = qkv()
    refused(strobe.ArgumentError, "causal", (query, key.half(), value, 0.25), "k must have elements of type float32", "float16")
    refused(strobe.ArgumentError, "causal", (query[0], key, value, 0.25), "q must have 4 dimensions, got 3")
    refused(strobe.ArgumentError, "causal", (query, key, value[:, :, :5], 0.25), "dimension 2 of v has size 5")
    refused(strobe.ArgumentError, "causal", (query, key[:, :3], value[:, :3], 0.25), "multiple")
    refused(strobe.ArgumentError, "causal", (query.int(), key.int(), value.int(), 0.25), "q has elements of type int32")
    refused(strobe.ArgumentError, "causal", (query, key, value, -1.0), "scale is -1")
    refused(strobe.ArgumentError, "causal", (query, 3, value, 0.25), "k is a int")
    with pytest.raises(AttributeError, match="there is no algorithm causual"):
        strobe.operators.causual


def test_gradients_are_refused():
    query, key, value = qkv()
    with torch.enable_grad():
        refused(strobe.GradientError, "causal", (query, key.requires_grad_(), value, 0.25), "k requires grad")
        out, _ = torch.ops.strobe.causal(query, key, value, 0.25)
        with pytest.raises(NotImplementedError, match="torch.ops.strobe.causal has no backward pass"):
            out.sum().backward()


def test_activations():
    query, key, value = qkv()
    out = torch.ops.strobe.relu(query, key, value, 0.25)
    weights = F.relu(query.double() @ key.double().mT * 0.25) / 20
    reference.check(out, weights @ value.double())
