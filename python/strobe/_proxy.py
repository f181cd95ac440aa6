"""What a traced function is given in the place of numbers and elements of captured tensors.

Proxies record what is done with them: Python operators, torch functions and methods (their meanings: _operations.py, _tensor_methods.py), and
elements of captured tensors.
"""

from __future__ import annotations

import operator
import os
import traceback
from typing import Any, Callable

import torch

from . import _expr as ex
from ._algorithm import Algorithm
from ._dtypes import DTYPES, TORCH_DTYPES
from ._expr import Expr
from .errors import TraceError

#: Name of a torch function or method -> what it means here: takes the trace, and what the function takes.
METHODS: dict[str, Callable] = {}

_NOT_THE_USERS = tuple(os.path.dirname(os.path.abspath(f)) + os.sep for f in (__file__, torch.__file__))


def users_line() -> str:
    """Of the innermost frame that is neither ours nor torch's, as a traceback shows it."""
    for frame in reversed(traceback.extract_stack()):
        if not os.path.abspath(frame.filename).startswith(_NOT_THE_USERS):
            return f'\n  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n    {frame.line}'
    return ""


def refuse(why: str) -> None:
    """Raises with the user's own line."""
    raise TraceError(why + users_line())


class Trace:
    """What one trace collects."""

    def __init__(self, known: list[torch.Tensor], algorithm: Algorithm, axes: list[Expr]):
        self._algorithm, self._axes = algorithm, axes
        self.constant_sizes: dict[str, dict[int, int]] = {}  # of a tensor: dimensions whose size is a constant of the text
        self.tensors: list[torch.Tensor] = []  # captured, in the order of their first use
        self.fixed = False  # the result depends on values seen now; trace again at the next call
        self.asked = False  # the function looked at types or ranks
        self._known = {id(t) for t in known}
        self._dots = 0

    def name_of(self, tensor: torch.Tensor) -> str:
        """The name of a captured tensor in the text."""
        for n, seen in enumerate(self.tensors):
            if seen is tensor:
                return f"t{n}"
        if id(tensor) not in self._known:
            self.fixed = True  # made while tracing, or reached in a way that the cache does not see
        self.tensors.append(tensor)
        return f"t{len(self.tensors) - 1}"

    def dot(self, a: "Elements", b: "Elements") -> Expr:
        """The inner product of two captured vectors, as a function of its own."""
        length = a.tensor.shape[-1]
        if a.tensor.dim() != len(a.indices) + 1 or b.tensor.dim() != len(b.indices) + 1 or b.tensor.shape[-1] != length:
            refuse("an inner product takes two vectors of one length: index all dimensions but the last of both")
        n = self._dots = self._dots + 1
        over = self._algorithm.axis(f"r{n}", length)
        factors = []
        for vector in (a, b):
            name = self.name_of(vector.tensor)
            self.constant_sizes.setdefault(name, {})[0] = length
            factors.append(ex.load(name, (over, *reversed(vector.indices)), DTYPES[vector.tensor.dtype]))
        dtype = ex.promote(*(f.dtype for f in factors))
        product = ex.make("mul", *(ex.cast(f, dtype) for f in factors))
        return self._algorithm.func(f"dot{n}", self._axes, product, "sum", over)

    def size(self, tensor: torch.Tensor, dim: int) -> Expr:
        """The size of a dimension, counted from the outermost."""
        return ex.size(f"{self.name_of(tensor)}_n{tensor.dim() - 1 - dim}")


class Traced:
    """What a traced function computes with; its operators are added below."""

    __slots__ = ()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})

    __hash__ = object.__hash__


class Proxy(Traced):
    """A scalar that is not known yet: behaves like a tensor of no dimensions."""

    __slots__ = ("trace", "e")
    shape = torch.Size([])
    ndim = 0
    requires_grad = False
    is_cuda = False
    layout = torch.strided

    def __init__(self, trace: Trace, e: Expr):
        self.trace, self.e = trace, e

    @property
    def dtype(self) -> torch.dtype:
        return TORCH_DTYPES[self.e.dtype]

    @property
    def device(self):
        return AnyDevice()

    def dim(self) -> int:
        return 0

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        return 1

    def __getattr__(self, name: str):
        if name in METHODS:
            return lambda *args, **kwargs: apply(name, self.trace, (self, *args), kwargs)
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(f"a traced value has no {name}")

    def __bool__(self):
        refuse("Python cannot branch on a traced value; use torch.where, & | ~ in the place of if, and, or, not")

    def __index__(self):
        refuse("a traced value cannot become a Python integer; index a tensor with it instead")

    def __int__(self):
        refuse("a traced value cannot become a Python integer; use .to(torch.int32)")

    def __float__(self):
        refuse("a traced value cannot become a Python float; use torch functions instead of math")

    def __iter__(self):
        refuse("a traced value is a scalar and cannot be iterated")

    def __len__(self):
        refuse("a traced value is a scalar and has no length")

    def __getitem__(self, index):
        if index is Ellipsis or index is None or (isinstance(index, tuple) and not index):
            return self
        refuse("a traced value is a scalar and cannot be indexed")


class AnyDevice:
    """Equal to every device: a traced value lives nowhere."""

    type = "any"
    index = None

    def __eq__(self, other):
        return True

    __hash__ = None


class Elements(Traced):
    """A captured tensor with some of its dimensions indexed by traced values; with all but the last, a row (_vector.py)."""

    __slots__ = ("trace", "tensor", "indices")

    def __init__(self, trace: Trace, tensor: torch.Tensor, indices: tuple):
        self.trace, self.tensor, self.indices = trace, tensor, indices

    def __getitem__(self, index):
        return element_of(self.trace, self.tensor, self.indices, index)

    def __getattr__(self, name: str):
        if name in METHODS and len(self.indices) == self.tensor.dim() - 1:
            return lambda *args, **kwargs: apply(name, self.trace, (self, *args), kwargs)
        self.refuse()

    def refuse(self):
        refuse(
            f"a captured tensor of {self.tensor.dim()} dimensions was indexed {len(self.indices)} times; "
            "a score or mask is a scalar, so index all of them, or reduce a row with .any(-1), .sum(-1) or the like"
        )


def element_of(trace: Trace, tensor: torch.Tensor, before: tuple, index) -> Any:
    """tensor[before][index]: an element, or the tensor with more dimensions indexed."""
    index = index if isinstance(index, tuple) else (index,)
    if any(i is Ellipsis or i is None or isinstance(i, slice) for i in index):
        refuse("slices, ... and None cannot index a captured tensor together with traced values")
    if len(before) + len(index) > tensor.dim():
        refuse(f"too many indices for a tensor of {tensor.dim()} dimensions")
    indices = before + tuple(_index(trace, tensor, len(before) + n, i) for n, i in enumerate(index))
    if len(indices) < tensor.dim():
        return Elements(trace, tensor, indices)
    if tensor.dtype not in DTYPES:
        refuse(f"captured tensors of {tensor.dtype} are not supported")
    return Proxy(trace, ex.load(trace.name_of(tensor), reversed(indices), DTYPES[tensor.dtype]))


def _index(trace: Trace, tensor: torch.Tensor, dim: int, index) -> Expr:
    """An index as PyTorch means it: counted from the end if negative."""
    e = lift(trace, index).e
    if ex.category(e.dtype) == 2:
        refuse("an index is a whole number; use .to(torch.int32)")
    e = ex.cast(e, "int32") if e.dtype != "int64" else e
    if e.not_negative:
        return e
    extent = ex.cast(trace.size(tensor, dim), e.dtype)
    if e.op == "const":
        return ex.nonnegative(ex.make("add", extent, e))
    negative = ex.make("lt", e, ex.const(0, e.dtype), dtype="bool")
    return ex.nonnegative(ex.select(negative, ex.make("add", e, extent), e))


def lift(trace: Trace, value) -> Proxy:
    """Anything that can stand for a scalar, as a Proxy."""
    if isinstance(value, Proxy):
        return value
    if isinstance(value, bool):
        return Proxy(trace, ex.const(value, "bool"))
    if isinstance(value, int):
        return Proxy(trace, ex.const(value, "int64" if abs(value) >= 2**31 else "int32"))
    if isinstance(value, float):
        return Proxy(trace, ex.const(value, "float32"))
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            refuse(f"a tensor of shape {tuple(value.shape)} meets a scalar; index it, for example tensor[q_idx]")
        return _single(trace, value)
    if isinstance(value, Traced):
        value.refuse()
    if hasattr(value, "__index__"):
        return lift(trace, operator.index(value))
    if hasattr(value, "__float__") and not hasattr(value, "__torch_function__"):
        return lift(trace, float(value))
    refuse(f"{type(value).__name__} cannot take part in a score or mask")


def _single(trace: Trace, tensor: torch.Tensor) -> Proxy:
    """The one element of a tensor; without dimensions, it is passed with one."""
    if tensor.dtype not in DTYPES:
        refuse(f"captured tensors of {tensor.dtype} are not supported")
    name, rank = trace.name_of(tensor), max(tensor.dim(), 1)
    trace.constant_sizes.setdefault(name, {}).update({d: 1 for d in range(rank)})
    return Proxy(trace, ex.load(name, (ex.const(0, "int32"),) * rank, DTYPES[tensor.dtype]))


def is_python_number(value) -> bool:
    return isinstance(value, (bool, int, float)) or (
        not isinstance(value, (Traced, torch.Tensor)) and hasattr(value, "__index__")
    )


def meet(trace: Trace, *values) -> list[Expr]:
    """Operands in one type, as PyTorch promotes: a Python number gives way within its kind."""
    lifted = [lift(trace, v).e for v in values]
    tensors = [e for e, v in zip(lifted, values) if not is_python_number(v)]
    numbers = [e for e, v in zip(lifted, values) if is_python_number(v)]
    dtype = "bool"
    for e in tensors:
        dtype = ex.promote(dtype, e.dtype)
    for e in numbers:
        if not tensors or ex.category(e.dtype) > ex.category(dtype):
            dtype = ex.promote(dtype, e.dtype)
    return [ex.cast(e, dtype) for e in lifted]


def _plain_name(func) -> str:
    name = getattr(func, "__name__", str(func))
    if hasattr(func, "_schema"):  # an OpOverload: add.Tensor
        name = func._schema.name.split("::")[-1]
    bare = name.strip("_")
    if name.startswith("__"):
        reflected = bare[1:] if bare[:1] == "r" and bare[1:] in METHODS and bare not in METHODS else None
        return f"reflected {reflected}" if reflected else bare
    return name


def traces(value) -> bool:
    if isinstance(value, (tuple, list)):
        return any(traces(v) for v in value)
    return isinstance(value, Traced)


def _trace_of(values) -> Trace:
    for value in values:
        if isinstance(value, Traced):
            return value.trace
        if isinstance(value, (tuple, list)) and traces(value):
            return _trace_of(value)
    raise AssertionError


def apply(name: str, trace: Trace, args: tuple, kwargs: dict) -> Any:
    """METHODS[name]; where a row takes part, of each of its elements."""
    from ._vector import of_rows

    with torch._C.DisableTorchFunction():  # what is asked of tensors here is no question of the user's
        if all(isinstance(a, (Proxy, int, float)) for a in args):
            return METHODS[name](trace, *args, **kwargs)
        return of_rows(name, trace, args, kwargs)


def dispatch(func, args: tuple, kwargs: dict):
    """A torch function with a traced value among its arguments."""
    trace = _trace_of((*args, *kwargs.values()))
    namespace = getattr(func, "namespace", "aten")
    name = _plain_name(func)
    if name.startswith("reflected "):
        name, args = name.split()[1], (args[1], args[0], *args[2:])
    if name == "get" or (name not in METHODS and name.endswith("_")):
        refuse(f"{name} cannot be traced; operations in place need another name")
    if name not in METHODS or namespace not in ("aten", "prims"):
        refuse(f"{namespace}.{name} cannot be traced into a score or mask")
    try:
        return apply(name, trace, args, kwargs)
    except TypeError as error:
        if isinstance(error, TraceError):
            raise
        refuse(f"{name}: {error}")


def _operator(name: str, reflected: bool = False):
    def forward(self, other):
        if isinstance(other, (Traced, torch.Tensor)) or is_python_number(other):
            return apply(name, self.trace, (other, self) if reflected else (self, other), {})
        return NotImplemented

    return forward


for _dunder, _name in {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide",
                       "mod": "remainder", "pow": "pow", "and": "bitwise_and", "or": "bitwise_or",
                       "xor": "bitwise_xor", "lshift": "lshift", "rshift": "rshift"}.items():
    setattr(Traced, f"__{_dunder}__", _operator(_name))
    setattr(Traced, f"__r{_dunder}__", _operator(_name, True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Traced, f"__{_name}__", _operator(_name))
for _dunder, _name in {"neg": "neg", "pos": "pos", "abs": "abs", "invert": "invert"}.items():
    setattr(Traced, f"__{_dunder}__", lambda self, name=_name: apply(name, self.trace, (self,), {}))
