"""torch.ops.strobe.attention: what PyTorch asks of an operator, and its errors."""

import json
import threading

import pytest
import reference
import strobe
import torch
from strobe.flex import describe_flex_attention


def causal(b, h, q, k):
    return q >= k


def sample(length=20):
    query, key, value = (torch.randn(2, 4, length, 16) for _ in range(3))
    return describe_flex_attention(query, key, value, None, causal), [query, key, value]


def test_opcheck():
    text, tensors = sample()
    torch.library.opcheck(strobe.attention, (text, tensors, [0.25]))


def test_backward_raises():
    text, tensors = sample()
    tensors[0].requires_grad_()
    with torch.enable_grad():
        (out,) = torch.ops.strobe.attention(text, tensors, [0.25])
        assert out.requires_grad
        with pytest.raises(NotImplementedError, match="no backward pass"):
            out.sum().backward()


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_graph_breaks(dynamic):
    text, _ = sample()

    def layer(query, key, value):
        (out,) = torch.ops.strobe.attention(text, [query * 2, key, value], [0.25])
        return out + 1

    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for length in (20, 31):
        _, tensors = sample(length)
        torch.testing.assert_close(compiled(*tensors), layer(*tensors))


def test_exports():
    text, tensors = sample()

    class Layer(torch.nn.Module):
        def forward(self, query, key, value):
            return torch.ops.strobe.attention(text, [query, key, value], [0.25])[0]

    program = torch.export.export(Layer(), tuple(tensors))
    torch.testing.assert_close(program.module()(*tensors), Layer()(*tensors))


def test_threads():
    text, tensors = sample()
    want, _ = reference.expected(*tensors, None, causal, scale=0.25)
    failures = []

    def work():
        try:
            for _ in range(10):
                reference.check(torch.ops.strobe.attention(text, tensors, [0.25])[0], want)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def refused(text, tensors, scalars, *words):
    with pytest.raises(RuntimeError) as caught:
        torch.ops.strobe.attention(text, tensors, scalars)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_bad_arguments():
    text, (query, key, value) = sample()
    refused(text, [query, key], [0.25], "got 2 tensors", "expected 3 (q, k, v)")
    refused(text, [query, key, value], [], "got 0 scalars, expected 1")
    refused(text, [query, key, value], [-1.0], "scale is -1")
    refused(text, [query, key.double(), value], [0.25], "k must have elements of type float32", "float64")
    refused(text, [query[0], key, value], [0.25], "q must have 4 dimensions, got 3")
    refused(text, [query, key[:, :, :7], value], [0.25], "dimension 2 of v has size 20", "they must be equal")
    refused(text, [query[..., :8], key, value], [0.25], "dimension 3 of q has size 8; it must be 16")
    refused("{", [query, key, value], [0.25], "not JSON")
    broken = json.loads(text)
    broken["funcs"][0]["value"] = ["mull", "j", "j"]
    refused(json.dumps(broken), [query, key, value], [0.25], "/funcs/0/value/0", "did you mean mul?")
