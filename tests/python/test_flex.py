"""strobe.flex_attention: arguments, layouts, captured tensors, reuse of traces and errors."""

import pytest
import reference
import strobe
import torch
import torch._dynamo.testing
from strobe import flex as implementation
from torch.nn.attention.flex_attention import AuxRequest, and_masks, or_masks

CAUSAL = "causal"


def causal(b, h, q, k):
    return q >= k


def inputs(batch=2, heads=4, kv_heads=4, queries=33, keys=33, features=16, value_features=16, dtype=torch.float32):
    query = torch.randn(batch, heads, queries, features, dtype=dtype)
    key = torch.randn(batch, kv_heads, keys, features, dtype=dtype)
    value = torch.randn(batch, kv_heads, keys, value_features, dtype=dtype)
    return query, key, value


@pytest.mark.parametrize(
    "shape",
    [
        {"queries": 1},
        {"keys": 1},
        {"queries": 70, "keys": 20},
        {"batch": 1, "heads": 1, "kv_heads": 1},
        {"heads": 8, "kv_heads": 2},
        {"heads": 6, "kv_heads": 1},
        {"features": 24, "value_features": 40},
        {"features": 5, "value_features": 3},
    ],
    ids=str,
)
def test_shapes(shape):
    query, key, value = inputs(**shape)
    options = {"enable_gqa": shape.get("heads") != shape.get("kv_heads")}
    out, lse = strobe.flex_attention(query, key, value, block_mask=causal, return_lse=True, **options)
    want, want_lse = reference.expected(query, key, value, None, causal, **options)
    reference.check(out, want)
    reference.check(lse, want_lse, what="lse")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    query, key, value = inputs(dtype=dtype)
    out = strobe.flex_attention(query, key, value, block_mask=causal)
    assert out.dtype == dtype
    want, _ = reference.expected(query, key, value, None, causal)
    reference.check(out, want, tolerance=4 * torch.finfo(dtype).eps)


def test_layouts_are_respected():
    """Positions before heads, features not innermost, an expanded key, a slice: the same numbers, and no copies asked for."""
    dense = inputs(batch=2, heads=4, kv_heads=4)
    want, _ = reference.expected(*dense, None, causal)
    bshd = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in dense]
    turned = [t.transpose(2, 3).contiguous().transpose(2, 3) for t in dense]
    padded = [torch.nn.functional.pad(t, (3, 5, 1, 2))[:, :, 1:-2, 3:-5] for t in dense]
    for name, (q, k, v) in {"bshd": bshd, "turned": turned, "padded": padded}.items():
        assert not q.is_contiguous()
        reference.check(strobe.flex_attention(q, k, v, block_mask=causal), want, what=name)
    query, key, value = dense
    key = key[:, :1].expand(-1, 4, -1, -1)
    want, _ = reference.expected(query, key, value, None, causal)
    reference.check(strobe.flex_attention(query, key, value, block_mask=causal), want, what="expanded")


def test_one_key_batch_for_all():
    query, _, _ = inputs(batch=3)
    _, key, value = inputs(batch=1)
    want, _ = reference.expected(query, key.expand(3, -1, -1, -1), value.expand(3, -1, -1, -1), None, causal)
    reference.check(strobe.flex_attention(query, key, value, block_mask=causal), want)


@pytest.mark.parametrize("scale", [0.3, -0.5, 0.0])
def test_scale(scale):
    query, key, value = inputs()
    want, _ = reference.expected(query, key, value, None, causal, scale=scale)
    reference.check(strobe.flex_attention(query, key, value, block_mask=causal, scale=scale), want)


def test_scales_do_not_share_a_result():
    query, key, value = inputs()
    first = strobe.flex_attention(query, key, value, scale=0.1)
    second = strobe.flex_attention(query, key, value, scale=0.7)
    reference.check(first, reference.expected(query, key, value, scale=0.1)[0])
    reference.check(second, reference.expected(query, key, value, scale=0.7)[0])


def test_rows_without_keys():
    query, key, value = inputs()

    def mask(b, h, q, k):
        return q >= k + 5

    out, lse = strobe.flex_attention(query, key, value, block_mask=mask, return_lse=True)
    assert (out[:, :, :5] == 0).all() and (lse[:, :, :5] == -torch.inf).all()
    reference.check(out[:, :, 5:], reference.expected(query, key, value, None, mask)[0][:, :, 5:])


@pytest.mark.parametrize("sizes", [{"batch": 0}, {"queries": 0}, {"keys": 0}], ids=str)
def test_empty(sizes):
    query, key, value = inputs(**sizes)
    out, lse = strobe.flex_attention(query, key, value, return_lse=True)
    assert out.shape == query.shape and lse.shape == query.shape[:-1]
    assert (out == 0).all() and (lse == -torch.inf).all()


def test_aux_output():
    query, key, value = inputs()
    out, aux = strobe.flex_attention(query, key, value, block_mask=causal, return_aux=AuxRequest(lse=True, max_scores=True))
    scores = (query.double() @ key.double().mT / 4).masked_fill(~torch.ones(33, 33).tril().bool(), -torch.inf)
    reference.check(aux.max_scores, scores.amax(-1), what="max_scores")
    reference.check(aux.lse, scores.logsumexp(-1), what="lse")


def test_block_mask_and_compositions():
    query, key, value = inputs()
    window = lambda b, h, q, k: q - k < 5  # noqa: E731
    first = lambda b, h, q, k: k < 2  # noqa: E731
    mask = or_masks(and_masks(causal, window), first)
    block_mask = reference.block_mask_of(mask, query, key)
    want, _ = reference.expected(query, key, value, None, mask)
    reference.check(strobe.flex_attention(query, key, value, block_mask=block_mask), want)


def compilations():
    return len(implementation._families)


def test_new_lengths_and_values_need_no_compilation():
    def attention(length, slope):
        slopes = torch.full((4,), slope)

        def mod(score, b, h, q, k):
            return score + slopes[h] * (k - q)

        query, key, value = inputs(queries=length, keys=length)
        out = strobe.flex_attention(query, key, value, mod, causal)
        reference.check(out, reference.expected(query, key, value, mod, causal)[0])

    attention(20, 0.5)
    before = compilations()
    attention(47, 0.25)
    assert compilations() == before


def test_python_numbers_are_constants_of_the_trace():
    query, key, value = inputs()
    for window in (3, 9):
        mask = lambda b, h, q, k: (q - k).abs() < window  # noqa: E731, B023
        reference.check(
            strobe.flex_attention(query, key, value, block_mask=mask), reference.expected(query, key, value, None, mask)[0]
        )


def test_values_computed_from_captured_tensors_are_not_kept():
    query, key, value = inputs()
    slopes = torch.ones(4)

    def mod(score, b, h, q, k):
        return score * (slopes * 2)[h] + slopes.max().item()

    for value_now in (0.5, 0.25):
        slopes.fill_(value_now)
        reference.check(
            strobe.flex_attention(query, key, value, mod), reference.expected(query, key, value, lambda s, b, h, q, k: s * 2 * value_now)[0]
        )


def test_types_that_a_function_asks_for():
    """A trace is used again for other tensors, but not where the function looked at what they are."""
    query, key, value = inputs()
    for table in (torch.randn(4), torch.randn(4, 33), torch.randn(4).double(), torch.randn(1)):
        def mod(score, b, h, q, k):
            if table.dtype == torch.float64:
                return score * 2
            if table.dim() == 2:
                return score * table[h, k]  # noqa: B023
            return score + table[h] if table.ndim == 1 else score  # noqa: B023

        if table.numel() > 1:
            reference.check(strobe.flex_attention(query, key, value, mod), reference.expected(query, key, value, mod)[0])


def test_tensors_of_one_element():
    query, key, value = inputs()
    scaled = lambda by: lambda s, b, h, q, k: s * by  # noqa: E731
    for by in (torch.tensor(0.5), torch.tensor([2.0]), torch.tensor([[3.0]]), torch.tensor(2), torch.tensor(0.25)):
        reference.check(strobe.flex_attention(query, key, value, scaled(by)), reference.expected(query * by.reshape(()), key, value)[0])
    refused(strobe.TraceError, "row of 2", score_mod=scaled(torch.tensor([1.0, 2.0])))
    refused(strobe.TraceError, "index it", score_mod=scaled(torch.zeros(2, 2)))


def test_hashes_of_positions():
    """Whose products leave int32, in which positions are."""
    query, key, value = inputs()
    mask = lambda b, h, q, k: (((q * 73856093) ^ (k * 19349663)) % 7 != 0) | (q == k)  # noqa: E731
    reference.check(strobe.flex_attention(query, key, value, block_mask=mask), reference.expected(query, key, value, None, mask)[0])


def test_captured_objects():
    class Bias:
        def __init__(self):
            self.table = torch.randn(4)

        def __call__(self, score, b, h, q, k):
            return score + self.table[h] * (q - k)

    query, key, value = inputs()
    for _ in range(2):
        bias = Bias()
        reference.check(strobe.flex_attention(query, key, value, bias), reference.expected(query, key, value, bias)[0])


class Settings:
    window = 3


def test_settings_in_classes_and_globals_are_not_frozen():
    query, key, value = inputs()
    mask = lambda b, h, q, k: (q - k).abs() < Settings.window  # noqa: E731
    for Settings.window in (3, 11):
        want, _ = reference.expected(query, key, value, None, mask)
        reference.check(strobe.flex_attention(query, key, value, block_mask=mask), want)


def test_inner_products_of_other_lengths():
    query, key, value = inputs()
    for length in (4, 6):
        a, b_ = torch.randn(33, length), torch.randn(33, length)
        mod = lambda s, b, h, q, k: s + torch.dot(a[q], b_[k])  # noqa: E731, B023
        reference.check(strobe.flex_attention(query, key, value, mod), reference.expected(query, key, value, mod)[0])


def rows():
    chosen = torch.randint(0, 5, (2, 4, 5, 3))
    special, weights = torch.tensor([3, 17, 30]), torch.randn(4, 5)
    return {
        "any": (None, lambda b, h, q, k: (chosen[b, h, q // 8] == (k // 8).unsqueeze(-1)).any(dim=-1)),
        "all": (None, lambda b, h, q, k: (special != k).all()),
        "isin": (None, lambda b, h, q, k: torch.isin(k, special) | causal(b, h, q, k)),
        "sum": (lambda s, b, h, q, k: s + weights[h].sum(-1), None),
        "mean": (lambda s, b, h, q, k: s + torch.mean(weights[h] * s), causal),
        "amax": (lambda s, b, h, q, k: s + torch.amax(weights[h] * s, -1) * weights[h].amin(-1), None),
        "element": (lambda s, b, h, q, k: s * weights[h][1] + weights[h][2], None),
    }


@pytest.mark.parametrize("name", ["any", "all", "isin", "sum", "mean", "amax", "element"])
def test_rows_of_captured_tensors(name):
    query, key, value = inputs()
    score_mod, mask_mod = rows()[name]
    got, again = (strobe.flex_attention(query, key, value, score_mod, mask_mod) for _ in range(2))
    if name == "isin":  # torch cannot vectorise it
        mask_mod = lambda b, h, q, k: (k == 3) | (k == 17) | (k == 30) | (q >= k)  # noqa: E731
    want, _ = reference.expected(query, key, value, score_mod, mask_mod)
    reference.check(got, want)
    assert torch.equal(got, again)
    torch._dynamo.reset()
    inside = torch.compile(lambda q, k, v: strobe.flex_attention(q, k, v, *rows_of), backend="aot_eager", fullgraph=True)
    rows_of = (score_mod, mask_mod)
    reference.check(inside(query, key, value), want)


def test_rows_are_short():
    long = torch.arange(65)
    refused(strobe.TraceError, "65 elements", "1 to 64", block_mask=lambda b, h, q, k: (long == k).any())
    two, three = torch.arange(2), torch.arange(3)
    refused(strobe.TraceError, "2 and 3", block_mask=lambda b, h, q, k: ((two + q) == (three + k)).any())


def test_negative_indices_count_from_the_end():
    query, key, value = inputs()
    table = torch.randn(70)
    mod = lambda score, b, h, q, k: score + table[k - q] + table[-3]  # noqa: E731
    reference.check(strobe.flex_attention(query, key, value, mod), reference.expected(query, key, value, mod)[0])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool])
def test_captured_types(dtype):
    query, key, value = inputs()
    labels = (torch.arange(33) // 9 % 2).to(dtype)
    mask = lambda b, h, q, k: labels[q] == labels[k]  # noqa: E731
    reference.check(
        strobe.flex_attention(query, key, value, block_mask=mask), reference.expected(query, key, value, None, mask)[0]
    )


def test_autocast():
    query, key, value = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        assert strobe.flex_attention(query, key, value).dtype == torch.bfloat16


def refused(kind, *words, **arguments):
    call = dict(zip(("query", "key", "value"), inputs()))
    call.update(arguments)
    with pytest.raises(kind) as caught:
        strobe.flex_attention(**call)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_bad_arguments():
    query, key, value = inputs()
    refused(strobe.ArgumentError, "query", "3 dimensions", query=query[0])
    refused(strobe.ArgumentError, "key", "bfloat16", key=key.bfloat16())
    refused(strobe.ArgumentError, "query", "int32", query=query.int())
    refused(strobe.ArgumentError, "features", query=query[..., :8])
    refused(strobe.ArgumentError, "batch", key=key[:1].expand(3, -1, -1, -1), value=value[:1].expand(3, -1, -1, -1))
    refused(strobe.ArgumentError, "length must be equal", value=value[:, :, :5])
    refused(strobe.ArgumentError, "enable_gqa", key=key[:, :2], value=value[:, :2])
    refused(strobe.ArgumentError, "multiple", key=key[:, :3], value=value[:, :3], enable_gqa=True)
    refused(strobe.ArgumentError, "block_mask", "BlockMask", block_mask=torch.ones(3))
    small = torch.randn(10)
    refused(strobe.ArgumentError, "t0", "at least 33", score_mod=lambda s, b, h, q, k: s + small[k])


def test_untraceable_functions_name_the_line():
    table, deep = torch.randn(4, 5), torch.randn(4, 5, 6)

    def branches(score, b, h, q, k):
        if q > k:  # here
            return score
        return -score

    def unindexed(score, b, h, q, k):
        return score + deep[h]  # here

    def row(score, b, h, q, k):
        return score + table[h]  # here

    def unknown(score, b, h, q, k):
        return torch.cumsum(score, 0)  # here

    for mod, words in ((branches, "branch"), (unindexed, "indexed 1 times"), (row, "a row of 5"), (unknown, "cumsum")):
        refused(strobe.TraceError, words, __file__, "# here", score_mod=mod)


def test_gradients_are_refused():
    query, key, value = inputs()
    table = torch.ones(4, requires_grad=True)
    with torch.enable_grad():
        refused(strobe.GradientError, "key", key=key.clone().requires_grad_())
        refused(strobe.GradientError, "captured", score_mod=lambda s, b, h, q, k: s * table[h])


def test_inside_a_compiled_model():
    """The call is part of the graph; new lengths compile nothing after the second."""
    slopes = torch.rand(4)

    def model(query, key, value):
        out = strobe.flex_attention(query * 2, key, value, lambda s, b, h, q, k: s + slopes[h] * (k - q), causal)
        return out + 1

    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(model, backend=counter)
    frames = []
    for length in (20, 31, 47, 64):
        query, key, value = inputs(queries=length, keys=length)
        got = compiled(query, key, value)
        want, _ = reference.expected(query * 2, key, value, lambda s, b, h, q, k: s + slopes[h] * (k - q), causal)
        reference.check(got, want + 1)
        frames.append((counter.frame_count, compilations()))
    assert frames[1] == frames[2] == frames[3], frames


def test_a_row_with_nan_stays_nan_and_an_empty_one_zero():
    query, key, value = (torch.randn(1, 1, 8, 16) for _ in range(3))
    query[0, 0, 3, 0] = float("nan")
    out = strobe.flex_attention(query, key, value, block_mask=lambda b, h, q, k: q != 5)
    assert out[0, 0, 3].isnan().all(), out[0, 0, 3]
    assert (out[0, 0, 5] == 0).all(), out[0, 0, 5]
    assert not out[0, 0, [0, 1, 2, 4, 6, 7]].isnan().any()
