"""What making, converting and indexing tensors means for traced values."""

from __future__ import annotations

import torch

from . import _expr as ex
from ._dtypes import DTYPES
from ._operations import method
from ._proxy import METHODS, Elements, Proxy, element_of, lift, refuse


def _filled(value):
    def run(trace, a, fill_value=value, *, dtype=None, **kwargs):
        e = lift(trace, a).e
        return Proxy(trace, ex.cast(lift(trace, fill_value).e, DTYPES[dtype] if dtype else e.dtype))

    return run


METHODS["zeros_like"], METHODS["ones_like"], METHODS["full_like"] = _filled(0), _filled(1), _filled(None)


def _new(value):
    def run(trace, a, size=(), fill_value=value, *, dtype=None, **kwargs):
        if len(size) > 0:
            refuse("a traced value is a scalar; it makes scalars only")
        return METHODS["full_like"](trace, a, fill_value, dtype=dtype)

    return run


METHODS["new_zeros"], METHODS["new_ones"], METHODS["new_full"] = _new(0), _new(1), _new(None)


@method("to", "type", "_to_copy")
def _to(trace, a, *args, dtype=None, **kwargs):
    x = lift(trace, a)
    for value in args:
        if isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, (Proxy, torch.Tensor)):
            dtype = value.dtype
    if dtype is None:
        return x
    if dtype not in DTYPES:
        refuse(f"a traced value cannot become {dtype}")
    return Proxy(trace, ex.cast(x.e, DTYPES[dtype]))


@method("type_as")
def _type_as(trace, a, other):
    return _to(trace, a, dtype=other.dtype)


for _name, _dtype in {"float": torch.float32, "double": torch.float64, "half": torch.float16, "long": torch.int64,
                      "bfloat16": torch.bfloat16, "int": torch.int32, "short": torch.int16, "bool": torch.bool}.items():
    METHODS[_name] = lambda trace, a, dtype=_dtype, **kwargs: _to(trace, a, dtype=dtype)


@method("view", "reshape", "expand")
def _view(trace, a, *shape):
    flat = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if any(n not in (1, -1) for n in flat) or len(flat) > 0:
        refuse("a traced value is a scalar; it keeps its shape")
    return lift(trace, a)


@method("dot", "inner", "vdot")
def _dot(trace, a, b):
    if not (isinstance(a, Elements) and isinstance(b, Elements)):
        refuse("an inner product takes two captured vectors: index all dimensions but the last of both")
    return Proxy(trace, trace.dot(a, b))


@method("getitem")
def _getitem(trace, a, index):
    if isinstance(a, torch.Tensor):
        return element_of(trace, a, (), index)
    return a[index]


@method("index", "_unsafe_index")
def _index_function(trace, a, indices):
    return element_of(trace, a, (), tuple(indices))


@method("select")
def _select(trace, a, dim, index):
    if not isinstance(a, torch.Tensor) or dim != 0:
        refuse("select() along another dimension than 0 cannot be traced; index the tensor")
    return element_of(trace, a, (), index)


@method("index_select", "take", "gather")
def _no_index_select(trace, *args, **kwargs):
    refuse("index the tensor, as in tensor[q_idx], in the place of index_select, take or gather")
