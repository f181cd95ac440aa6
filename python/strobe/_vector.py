"""Short vectors in a traced function: rows of captured tensors, compared or computed with element by element, then reduced.

(chosen[b, h, q_idx // 64] == kv_idx // 64).any(-1) is unrolled: the row's length is a constant of the text.
"""

from __future__ import annotations

from typing import Any, Callable

import torch

from . import _expr as ex
from ._dtypes import DTYPES
from ._proxy import METHODS, Elements, Proxy, Trace, Traced, apply, lift, refuse, users_line
from .errors import TraceError

LONGEST = 64

#: Methods that take vectors themselves; what others do is done with each element.
WHOLE = {"any", "all", "sum", "amax", "amin", "mean", "prod", "unsqueeze", "squeeze", "isin", "dot", "inner", "vdot", "getitem", "index",
         "_unsafe_index", "select", "index_select", "take", "gather", "view", "reshape", "expand"}


class Vector(Traced):
    """Several traced values in a row: behaves like a tensor of one dimension."""

    __slots__ = ("trace", "values", "made")
    ndim = 1
    requires_grad = False

    def __init__(self, trace: Trace, values: list[Proxy]):
        self.trace, self.values = trace, values
        self.made = users_line()

    @property
    def shape(self) -> torch.Size:
        return torch.Size([len(self.values)])

    @property
    def dtype(self) -> torch.dtype:
        return self.values[0].dtype

    def dim(self) -> int:
        return 1

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        return len(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __getitem__(self, index):
        if not isinstance(index, int):
            refuse("a traced vector is indexed by a Python integer")
        return self.values[index]

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in METHODS:
            refuse(f"a traced vector has no {name}")
        return lambda *args, **kwargs: apply(name, self.trace, (self, *args), kwargs)

    def refuse(self):
        why = f"a row of {len(self)} values stands where a score or mask needs one: index it once more, or reduce it with .any(-1), .sum(-1) or the like"
        raise TraceError(why + self.made)

    def __bool__(self):
        refuse("Python cannot branch on a traced value; reduce it with .any(-1) or .all(-1)")


def as_vector(trace: Trace, value) -> Vector:
    """A vector, a row of a captured tensor, or a captured tensor of one dimension, as a vector."""
    if isinstance(value, Vector):
        return value
    tensor, indices = (value.tensor, value.indices) if isinstance(value, Elements) else (value, ())
    if tensor.dim() != len(indices) + 1:
        lift(trace, value)  # refuses, naming what is missing
        refuse(f"a captured tensor of {tensor.dim()} dimensions was indexed {len(indices)} times; index all but the last or all of them")
    length = tensor.shape[-1]
    if not 1 <= length <= LONGEST:
        refuse(f"a row of {length} elements meets traced values; rows of 1 to {LONGEST} are unrolled, others must be indexed")
    if tensor.dtype not in DTYPES:
        refuse(f"captured tensors of {tensor.dtype} are not supported")
    name = trace.name_of(tensor)
    trace.constant_sizes.setdefault(name, {})[0] = length
    rest = tuple(reversed(indices))
    return Vector(trace, [Proxy(trace, ex.load(name, (ex.const(n, "int32"), *rest), DTYPES[tensor.dtype])) for n in range(length)])


def _is_row(value) -> bool:
    return isinstance(value, (Vector, Elements)) or (isinstance(value, torch.Tensor) and value.dim() == 1 and value.numel() > 1)


def of_rows(name: str, trace: Trace, args: tuple, kwargs: dict) -> Any:
    """METHODS[name], of each element where a row takes part."""
    if name in WHOLE or not any(map(_is_row, args)):
        return METHODS[name](trace, *args, **kwargs)
    rows = [as_vector(trace, a).values if _is_row(a) else a for a in args]
    lengths = {len(r) for r in rows if isinstance(r, list)}
    length = max(lengths)
    if lengths - {1, length}:
        refuse(f"{name} of vectors of {' and '.join(map(str, sorted(lengths)))} elements")
    each = lambda n: [r[n if len(r) > 1 else 0] if isinstance(r, list) else r for r in rows]  # noqa: E731
    return Vector(trace, [METHODS[name](trace, *each(n), **kwargs) for n in range(length)])


def _reduction(name: str, combine: str, first: Callable | None = None) -> None:
    def run(trace, a, dim=None, keepdim=False, *, dtype=None):
        if dim not in (None, -1, 0, (-1,), [-1], (0,), [0]) or keepdim:
            refuse(f"{name} of a row goes over its one dimension, and keeps none")
        values = as_vector(trace, a).values if _is_row(a) else [lift(trace, a)]
        values = [first(trace, v) for v in values] if first else values
        result = values[0]
        for v in values[1:]:
            result = METHODS[combine](trace, result, v)
        return METHODS["to"](trace, result, dtype) if dtype is not None else result

    METHODS[name] = run


def _truth(trace, value):
    return METHODS["to"](trace, value, torch.bool)


def _number(trace, value):
    return METHODS["to"](trace, value, torch.int64) if value.dtype == torch.bool else value


_reduction("any", "logical_or", _truth)
_reduction("all", "logical_and", _truth)
_reduction("sum", "add", _number)
_reduction("prod", "mul", _number)
_reduction("amax", "maximum")
_reduction("amin", "minimum")


def _mean(trace, a, dim=None, keepdim=False, *, dtype=None):
    length = len(as_vector(trace, a)) if _is_row(a) else 1
    return METHODS["div"](trace, METHODS["sum"](trace, a, dim, keepdim, dtype=dtype), length)


def _unsqueeze(trace, a, dim):
    if dim not in (0, -1) or _is_row(a):
        refuse("a traced value has no more than one dimension")
    return Vector(trace, [lift(trace, a)])


def _squeeze(trace, a, dim=None):
    if _is_row(a):
        values = as_vector(trace, a).values
        return values[0] if len(values) == 1 else a
    return lift(trace, a)


def _isin(trace, elements, test_elements, *, invert=False, assume_unique=False):
    found = METHODS["any"](trace, apply("eq", trace, (elements, test_elements), {}))
    return METHODS["logical_not"](trace, found) if invert else found


METHODS["mean"], METHODS["unsqueeze"], METHODS["squeeze"], METHODS["isin"] = _mean, _unsqueeze, _squeeze, _isin
