"""Traces a score_mod or mask_mod into an expression.

The function is called once with proxies for its scalar arguments. Proxies record what is done with them: Python
operators, torch functions and methods, and elements of captured tensors. Whatever else the function computes runs as
usual, on the captured values of that moment; `Trace.fixed` then says that the result holds for this call only.
"""

from __future__ import annotations

import math
import operator
import traceback
from typing import Any, Callable

import torch
from torch.overrides import TorchFunctionMode

from . import _expr as ex
from ._algorithm import Algorithm
from ._dtypes import DTYPES, TORCH_DTYPES
from ._expr import Expr
from .errors import TraceError


def _refuse(why: str) -> None:
    """Raises with the user's own line: the innermost frame that is neither ours nor torch's."""
    ours = ("/strobe/_trace.py", "/strobe/_expr.py", "/torch/overrides.py", "/torch/utils/", "/torch/_ops.py")
    for frame in reversed(traceback.extract_stack()):
        if not any(part in frame.filename.replace("\\", "/") for part in ours):
            raise TraceError(f'{why}\n  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n    {frame.line}')
    raise TraceError(why)


class Trace:
    """What one trace collects."""

    def __init__(self, known: list[torch.Tensor], algorithm: Algorithm, axes: list[Expr]):
        self._algorithm, self._axes = algorithm, axes
        self.constant_sizes: dict[str, dict[int, int]] = {}  # of a tensor: dimensions that are summed over
        self.tensors: list[torch.Tensor] = []  # captured, in the order of their first use
        self.fixed = False  # the result depends on values seen now; trace again at the next call
        self._known = {id(t) for t in known}

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
            _refuse("an inner product takes two vectors of one length: index all dimensions but the last of both")
        self.fixed = True  # the length is a constant of the text
        n = len(self.constant_sizes)
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


class Proxy:
    """A scalar that is not known yet: behaves like a tensor of no dimensions."""

    __slots__ = ("trace", "e")
    shape = torch.Size([])
    ndim = 0
    requires_grad = False
    is_cuda = False
    layout = torch.strided

    def __init__(self, trace: Trace, e: Expr):
        self.trace, self.e = trace, e

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return _dispatch(func, args, kwargs or {})

    @property
    def dtype(self) -> torch.dtype:
        return TORCH_DTYPES[self.e.dtype]

    @property
    def device(self):
        return _AnyDevice()

    def dim(self) -> int:
        return 0

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        return 1

    def __getattr__(self, name: str):
        if name in _METHODS:
            return lambda *args, **kwargs: _METHODS[name](self.trace, self, *args, **kwargs)
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(f"a traced value has no {name}")

    def __bool__(self):
        _refuse("Python cannot branch on a traced value; use torch.where, & | ~ in the place of if, and, or, not")

    def __index__(self):
        _refuse("a traced value cannot become a Python integer; index a tensor with it instead")

    def __int__(self):
        _refuse("a traced value cannot become a Python integer; use .to(torch.int32)")

    def __float__(self):
        _refuse("a traced value cannot become a Python float; use torch functions instead of math")

    def __iter__(self):
        _refuse("a traced value is a scalar and cannot be iterated")

    def __len__(self):
        _refuse("a traced value is a scalar and has no length")

    def __getitem__(self, index):
        if index is Ellipsis or index is None or (isinstance(index, tuple) and not index):
            return self
        _refuse("a traced value is a scalar and cannot be indexed")

    __hash__ = object.__hash__


class _AnyDevice:
    """Equal to every device: a traced value lives nowhere."""

    type = "any"
    index = None

    def __eq__(self, other):
        return True

    __hash__ = None


class Elements:
    """A captured tensor with some of its dimensions indexed by traced values."""

    __slots__ = ("trace", "tensor", "indices")

    def __init__(self, trace: Trace, tensor: torch.Tensor, indices: tuple):
        self.trace, self.tensor, self.indices = trace, tensor, indices

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return _dispatch(func, args, kwargs or {})

    def __getitem__(self, index):
        return _element(self.trace, self.tensor, self.indices, index)

    def __getattr__(self, name: str):
        _refuse(
            f"a captured tensor of {self.tensor.dim()} dimensions was indexed {len(self.indices)} times; "
            "a score or mask is a scalar, so index all of them"
        )


def _element(trace: Trace, tensor: torch.Tensor, before: tuple, index) -> Any:
    """tensor[before][index]: an element, or the tensor with more dimensions indexed."""
    index = index if isinstance(index, tuple) else (index,)
    if any(i is Ellipsis or i is None or isinstance(i, slice) for i in index):
        _refuse("slices, ... and None cannot index a captured tensor together with traced values")
    if len(before) + len(index) > tensor.dim():
        _refuse(f"too many indices for a tensor of {tensor.dim()} dimensions")
    indices = before + tuple(_index(trace, tensor, len(before) + n, i) for n, i in enumerate(index))
    if len(indices) < tensor.dim():
        return Elements(trace, tensor, indices)
    if tensor.dtype not in DTYPES:
        _refuse(f"captured tensors of {tensor.dtype} are not supported")
    return Proxy(trace, ex.load(trace.name_of(tensor), reversed(indices), DTYPES[tensor.dtype]))


def _index(trace: Trace, tensor: torch.Tensor, dim: int, index) -> Expr:
    """An index as PyTorch means it: counted from the end if negative."""
    e = _lift(trace, index).e
    if ex.category(e.dtype) == 2:
        _refuse("an index is a whole number; use .to(torch.int32)")
    e = ex.cast(e, "int32") if e.dtype != "int64" else e
    if e.not_negative:
        return e
    extent = ex.cast(trace.size(tensor, dim), e.dtype)
    if e.op == "const":
        return ex.nonnegative(ex.make("add", extent, e))
    negative = ex.make("lt", e, ex.const(0, e.dtype), dtype="bool")
    return ex.nonnegative(ex.select(negative, ex.make("add", e, extent), e))


def _lift(trace: Trace, value) -> Proxy:
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
            _refuse(f"a tensor of shape {tuple(value.shape)} meets a scalar; index it, for example tensor[q_idx]")
        return _element(trace, value, (), (0,) * value.dim()) if value.dim() else _single(trace, value)
    if isinstance(value, Elements):
        value.dim  # refuses, naming how many indices are missing
    if hasattr(value, "__index__"):
        return _lift(trace, operator.index(value))
    if hasattr(value, "__float__") and not hasattr(value, "__torch_function__"):
        return _lift(trace, float(value))
    _refuse(f"{type(value).__name__} cannot take part in a score or mask")


def _single(trace: Trace, tensor: torch.Tensor) -> Proxy:
    """A tensor without dimensions is passed as one of a single element (see flex.py)."""
    return Proxy(trace, ex.load(trace.name_of(tensor), (ex.const(0, "int32"),), DTYPES[tensor.dtype]))


def _is_python_number(value) -> bool:
    return isinstance(value, (bool, int, float)) or (
        not isinstance(value, (Proxy, torch.Tensor, Elements)) and hasattr(value, "__index__")
    )


def _meet(trace: Trace, *values) -> list[Expr]:
    """Operands in one type, as PyTorch promotes: a Python number gives way within its kind."""
    lifted = [_lift(trace, v).e for v in values]
    tensors = [e for e, v in zip(lifted, values) if not _is_python_number(v)]
    numbers = [e for e, v in zip(lifted, values) if _is_python_number(v)]
    dtype = "bool"
    for e in tensors:
        dtype = ex.promote(dtype, e.dtype)
    for e in numbers:
        if not tensors or ex.category(e.dtype) > ex.category(dtype):
            dtype = ex.promote(dtype, e.dtype)
    return [ex.cast(e, dtype) for e in lifted]


def _float(e: Expr) -> Expr:
    return e if ex.category(e.dtype) == 2 else ex.cast(e, "float32")


def _int_from_bool(e: Expr) -> Expr:
    return ex.cast(e, "int64") if e.dtype == "bool" else e


# Each implementation takes the trace and what the torch function takes.
_METHODS: dict[str, Callable] = {}


def _method(*names: str):
    def register(f):
        for name in names:
            _METHODS[name] = f
        return f

    return register


def _arithmetic(op: str):
    def run(trace, a, b, *, alpha=1, out=None):
        x, y = _meet(trace, a, b)
        if alpha != 1:
            (y, factor) = _meet(trace, Proxy(trace, y), alpha)
            y = ex.make("mul", y, factor)
        if x.dtype == "bool" and op in ("add", "mul"):
            return Proxy(trace, ex.make("or" if op == "add" else "and", x, y))
        return Proxy(trace, ex.make(op, x, y))

    return run


for _name in ("add", "sub", "mul"):
    _METHODS[_name] = _arithmetic(_name)
_METHODS["subtract"], _METHODS["multiply"] = _METHODS["sub"], _METHODS["mul"]


@_method("rsub")
def _rsub(trace, a, b, *, alpha=1):
    return _METHODS["sub"](trace, b, a, alpha=alpha)


@_method("div", "true_divide", "truediv", "divide")
def _div(trace, a, b, *, rounding_mode=None):
    if rounding_mode == "floor":
        return _floor_divide(trace, a, b)
    x, y = _meet(trace, a, b)
    whole = ex.category(x.dtype) < 2
    quotient = ex.make("div", _float(x), _float(y))
    if rounding_mode is None:
        return Proxy(trace, quotient)
    quotient = ex.make("trunc", quotient)
    return Proxy(trace, ex.cast(quotient, x.dtype) if whole else quotient)


@_method("floor_divide", "floordiv")
def _floor_divide(trace, a, b):
    x, y = _meet(trace, a, b)
    if ex.category(x.dtype) == 2:
        return Proxy(trace, ex.make("floor", ex.make("div", x, y)))
    return Proxy(trace, ex.make("floordiv", _int_from_bool(x), _int_from_bool(y)))


@_method("remainder", "mod")
def _remainder(trace, a, b):
    x, y = _meet(trace, a, b)
    if ex.category(x.dtype) == 2:
        whole = ex.make("floor", ex.make("div", x, y))
        return Proxy(trace, ex.make("sub", x, ex.make("mul", whole, y)))
    return Proxy(trace, ex.make("mod", _int_from_bool(x), _int_from_bool(y)))


@_method("pow")
def _pow(trace, a, b):
    if isinstance(b, int) and not isinstance(b, bool) and 0 <= b <= 8:
        x = _int_from_bool(_lift(trace, a).e)
        result = ex.const(1, x.dtype)
        for n in range(b):
            result = x if n == 0 else ex.make("mul", result, x)
        return Proxy(trace, result)
    x, y = _meet(trace, a, b)
    return Proxy(trace, ex.make("pow", _float(x), _float(y)))


@_method("square")
def _square(trace, a):
    return _pow(trace, a, 2)


def _comparison(op: str):
    def run(trace, a, b):
        x, y = _meet(trace, a, b)
        if x.dtype == "bool":
            x, y = ex.cast(x, "int32"), ex.cast(y, "int32")
        return Proxy(trace, ex.make(op, x, y, dtype="bool"))

    return run


for _name, _others in {"lt": ("less",), "le": ("less_equal",), "gt": ("greater",), "ge": ("greater_equal",),
                       "eq": (), "ne": ("not_equal",)}.items():
    for _n in (_name, *_others):
        _METHODS[_n] = _comparison(_name)


def _logical(op: str):
    def run(trace, a, b):
        return Proxy(trace, ex.make(op, ex.cast(_lift(trace, a).e, "bool"), ex.cast(_lift(trace, b).e, "bool")))

    return run


_METHODS["logical_and"], _METHODS["logical_or"] = _logical("and"), _logical("or")


@_method("logical_not")
def _logical_not(trace, a):
    return Proxy(trace, ex.make("not", ex.cast(_lift(trace, a).e, "bool")))


@_method("logical_xor")
def _logical_xor(trace, a, b):
    x, y = (ex.cast(ex.cast(_lift(trace, v).e, "bool"), "int32") for v in (a, b))
    return Proxy(trace, ex.make("ne", x, y, dtype="bool"))


def _bitwise(logical: str, whole: str):
    def run(trace, a, b):
        x, y = _meet(trace, a, b)
        if x.dtype == "bool":
            return _logical_xor(trace, a, b) if logical == "xor" else Proxy(trace, ex.make(logical, x, y))
        if ex.category(x.dtype) == 2:
            _refuse("& | ^ take bools or whole numbers")
        return Proxy(trace, ex.make(whole, x, y))

    return run


for _name, _logic in (("and", "and"), ("or", "or"), ("xor", "xor")):
    _METHODS[f"bitwise_{_name}"] = _METHODS[_name] = _bitwise(_logic, f"bit{_name}")


@_method("bitwise_not", "invert")
def _invert(trace, a):
    x = _lift(trace, a).e
    if x.dtype == "bool":
        return Proxy(trace, ex.make("not", x))
    return Proxy(trace, ex.make("bitxor", x, ex.const(-1, x.dtype)))


def _shift(op: str):
    def run(trace, a, b):
        x, y = _meet(trace, a, b)
        return Proxy(trace, ex.make(op, x, y))

    return run


_METHODS["lshift"] = _METHODS["bitwise_left_shift"] = _shift("shl")
_METHODS["rshift"] = _METHODS["bitwise_right_shift"] = _shift("shr")


def _float_function(op: str):
    def run(trace, a, *, out=None):
        return Proxy(trace, ex.make(op, _float(_lift(trace, a).e)))

    return run


for _name in ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "atan", "erf", "sigmoid"):
    _METHODS[_name] = _float_function(_name)
_METHODS["arctan"] = _METHODS["atan"]


def _rounding(op: str):
    def run(trace, a):
        x = _lift(trace, a).e
        return Proxy(trace, ex.make(op, x) if ex.category(x.dtype) == 2 else x)

    return run


for _name in ("floor", "ceil", "round", "trunc"):
    _METHODS[_name] = _rounding(_name)


def _scaled(op: str, factor: float, after: bool):
    def run(trace, a):
        x = _float(_lift(trace, a).e)
        k = ex.const(factor, x.dtype)
        return Proxy(trace, ex.make("mul", ex.make(op, x), k) if after else ex.make(op, ex.make("mul", x, k)))

    return run


_METHODS["exp2"] = _scaled("exp", math.log(2), False)
_METHODS["log2"] = _scaled("log", 1 / math.log(2), True)
_METHODS["log10"] = _scaled("log", 1 / math.log(10), True)


@_method("log1p")
def _log1p(trace, a):
    x = _float(_lift(trace, a).e)
    return Proxy(trace, ex.make("log", ex.make("add", x, ex.const(1, x.dtype))))


@_method("expm1")
def _expm1(trace, a):
    x = _float(_lift(trace, a).e)
    return Proxy(trace, ex.make("sub", ex.make("exp", x), ex.const(1, x.dtype)))


@_method("reciprocal")
def _reciprocal(trace, a):
    return _div(trace, 1.0, a)


@_method("rsqrt")
def _rsqrt(trace, a):
    return _div(trace, 1.0, _METHODS["sqrt"](trace, a))


@_method("neg", "negative")
def _neg(trace, a):
    return Proxy(trace, ex.make("neg", _lift(trace, a).e))


@_method("pos", "positive", "clone", "contiguous", "detach", "squeeze", "cpu", "cuda")
def _same(trace, a, *args, **kwargs):
    return _lift(trace, a)


@_method("abs", "absolute")
def _abs(trace, a):
    x = _lift(trace, a).e
    if x.dtype == "bool" or x.not_negative:
        return Proxy(trace, x)
    e = ex.make("abs", x)
    return Proxy(trace, ex.nonnegative(e) if ex.category(e.dtype) == 1 else e)


@_method("sign", "sgn")
def _sign(trace, a):
    x = _lift(trace, a).e
    zero, one, minus = (ex.const(n, x.dtype) for n in (0, 1, -1))
    below = ex.select(ex.make("lt", x, zero, dtype="bool"), minus, zero)
    return Proxy(trace, ex.select(ex.make("gt", x, zero, dtype="bool"), one, below))


def _extreme(op: str):
    def run(trace, a, *others):
        if len(others) != 1 or not isinstance(others[0], (Proxy, torch.Tensor, Elements, int, float)):
            _refuse(f"{op} of a scalar takes two values")
        x, y = _meet(trace, a, others[0])
        return Proxy(trace, ex.make(op, x, y))

    return run


_METHODS["minimum"] = _METHODS["min"] = _METHODS["fmin"] = _extreme("min")
_METHODS["maximum"] = _METHODS["max"] = _METHODS["fmax"] = _extreme("max")


@_method("clamp", "clip")
def _clamp(trace, a, min=None, max=None):
    result = a
    if min is not None:
        result = _METHODS["maximum"](trace, result, min)
    if max is not None:
        result = _METHODS["minimum"](trace, result, max)
    return _lift(trace, result)


@_method("clamp_min")
def _clamp_min(trace, a, min):
    return _clamp(trace, a, min=min)


@_method("clamp_max")
def _clamp_max(trace, a, max):
    return _clamp(trace, a, max=max)


@_method("relu")
def _relu(trace, a, inplace=False):
    return _clamp(trace, a, min=0)


@_method("leaky_relu")
def _leaky_relu(trace, a, negative_slope=0.01, inplace=False):
    return _where(trace, _METHODS["gt"](trace, a, 0), a, _METHODS["mul"](trace, a, negative_slope))


@_method("silu")
def _silu(trace, a, inplace=False):
    return _METHODS["mul"](trace, a, _METHODS["sigmoid"](trace, a))


@_method("softplus")
def _softplus(trace, a, beta=1.0, threshold=20.0):
    x = _METHODS["mul"](trace, a, beta)
    soft = _div(trace, _log1p(trace, _METHODS["exp"](trace, x)), beta)
    return _where(trace, _METHODS["gt"](trace, x, threshold), a, soft)


@_method("logsigmoid")
def _logsigmoid(trace, a):
    return _neg(trace, _softplus(trace, _neg(trace, a)))


@_method("where")
def _where(trace, condition, yes, no):
    x, y = _meet(trace, yes, no)
    return Proxy(trace, ex.select(ex.cast(_lift(trace, condition).e, "bool"), x, y))


@_method("masked_fill")
def _masked_fill(trace, a, mask, value):
    x = _lift(trace, a).e
    return Proxy(trace, ex.select(ex.cast(_lift(trace, mask).e, "bool"), ex.cast(_lift(trace, value).e, x.dtype), x))


@_method("lerp")
def _lerp(trace, a, b, weight):
    add, mul, sub = _METHODS["add"], _METHODS["mul"], _METHODS["sub"]
    return add(trace, a, mul(trace, weight, sub(trace, b, a)))


@_method("isnan")
def _isnan(trace, a):
    return _METHODS["ne"](trace, a, a)


@_method("isinf")
def _isinf(trace, a):
    return _METHODS["eq"](trace, _abs(trace, a), math.inf)


def _filled(value):
    def run(trace, a, fill_value=value, *, dtype=None, **kwargs):
        e = _lift(trace, a).e
        return Proxy(trace, ex.cast(_lift(trace, fill_value).e, DTYPES[dtype] if dtype else e.dtype))

    return run


_METHODS["zeros_like"], _METHODS["ones_like"], _METHODS["full_like"] = _filled(0), _filled(1), _filled(None)


def _new(value):
    def run(trace, a, size=(), fill_value=value, *, dtype=None, **kwargs):
        if len(size) > 0:
            _refuse("a traced value is a scalar; it makes scalars only")
        return _METHODS["full_like"](trace, a, fill_value, dtype=dtype)

    return run


_METHODS["new_zeros"], _METHODS["new_ones"], _METHODS["new_full"] = _new(0), _new(1), _new(None)


@_method("to", "type", "_to_copy")
def _to(trace, a, *args, dtype=None, **kwargs):
    x = _lift(trace, a)
    for value in args:
        if isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, (Proxy, torch.Tensor)):
            dtype = value.dtype
    if dtype is None:
        return x
    if dtype not in DTYPES:
        _refuse(f"a traced value cannot become {dtype}")
    return Proxy(trace, ex.cast(x.e, DTYPES[dtype]))


@_method("type_as")
def _type_as(trace, a, other):
    return _to(trace, a, dtype=other.dtype)


for _name, _dtype in {"float": torch.float32, "double": torch.float64, "half": torch.float16, "long": torch.int64,
                      "bfloat16": torch.bfloat16, "int": torch.int32, "short": torch.int16, "bool": torch.bool}.items():
    _METHODS[_name] = lambda trace, a, dtype=_dtype, **kwargs: _to(trace, a, dtype=dtype)


@_method("view", "reshape", "expand")
def _view(trace, a, *shape):
    flat = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if any(n not in (1, -1) for n in flat) or len(flat) > 0:
        _refuse("a traced value is a scalar; it keeps its shape")
    return _lift(trace, a)


@_method("gelu")
def _gelu(trace, a, approximate="none"):
    add, mul = _METHODS["add"], _METHODS["mul"]
    if approximate == "tanh":
        cubic = mul(trace, add(trace, a, mul(trace, 0.044715, _pow(trace, a, 3))), math.sqrt(2 / math.pi))
        gate = _METHODS["tanh"](trace, cubic)
    else:
        gate = _METHODS["erf"](trace, mul(trace, a, math.sqrt(0.5)))
    return mul(trace, mul(trace, a, 0.5), add(trace, gate, 1.0))


@_method("dot", "inner", "vdot")
def _dot(trace, a, b):
    if not (isinstance(a, Elements) and isinstance(b, Elements)):
        _refuse("an inner product takes two captured vectors: index all dimensions but the last of both")
    return Proxy(trace, trace.dot(a, b))


@_method("getitem")
def _getitem(trace, a, index):
    if isinstance(a, torch.Tensor):
        return _element(trace, a, (), index)
    return a[index]


@_method("index", "_unsafe_index")
def _index_function(trace, a, indices):
    return _element(trace, a, (), tuple(indices))


@_method("select")
def _select(trace, a, dim, index):
    if not isinstance(a, torch.Tensor) or dim != 0:
        _refuse("select() along another dimension than 0 cannot be traced; index the tensor")
    return _element(trace, a, (), index)


@_method("index_select", "take", "gather")
def _no_index_select(trace, *args, **kwargs):
    _refuse("index the tensor, as in tensor[q_idx], in the place of index_select, take or gather")


def _plain_name(func) -> str:
    name = getattr(func, "__name__", str(func))
    if hasattr(func, "_schema"):  # an OpOverload: add.Tensor
        name = func._schema.name.split("::")[-1]
    bare = name.strip("_")
    if name.startswith("__"):
        reflected = bare[1:] if bare[:1] == "r" and bare[1:] in _METHODS and bare not in _METHODS else None
        return f"reflected {reflected}" if reflected else bare
    return name


def _traces(value) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_traces(v) for v in value)
    return isinstance(value, (Proxy, Elements))


def _trace_of(values) -> Trace:
    for value in values:
        if isinstance(value, (Proxy, Elements)):
            return value.trace
        if isinstance(value, (tuple, list)) and _traces(value):
            return _trace_of(value)
    raise AssertionError


def _dispatch(func, args: tuple, kwargs: dict):
    """A torch function with a traced value among its arguments."""
    trace = _trace_of((*args, *kwargs.values()))
    namespace = getattr(func, "namespace", "aten")
    name = _plain_name(func)
    if name.startswith("reflected "):
        name, args = name.split()[1], (args[1], args[0], *args[2:])
    if name == "get" or (name not in _METHODS and name.endswith("_")):
        _refuse(f"{name} cannot be traced; operations in place need another name")
    if name not in _METHODS or namespace not in ("aten", "prims"):
        _refuse(f"{namespace}.{name} cannot be traced into a score or mask")
    kwargs = {("min" if k == "min" else k): v for k, v in kwargs.items()}
    try:
        return _METHODS[name](trace, *args, **kwargs)
    except TypeError as error:
        if isinstance(error, TraceError):
            raise
        _refuse(f"{name}: {error}")


def _operator(name: str, reflected: bool = False):
    def forward(self, other):
        if isinstance(other, (Proxy, torch.Tensor, Elements)) or _is_python_number(other):
            a, b = (other, self) if reflected else (self, other)
            return _METHODS[name](self.trace, a, b)
        return NotImplemented

    return forward


for _dunder, _name in {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide",
                       "mod": "remainder", "pow": "pow", "and": "bitwise_and", "or": "bitwise_or",
                       "xor": "bitwise_xor", "lshift": "lshift", "rshift": "rshift"}.items():
    setattr(Proxy, f"__{_dunder}__", _operator(_name))
    setattr(Proxy, f"__r{_dunder}__", _operator(_name, True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Proxy, f"__{_name}__", _operator(_name))
for _dunder, _name in {"neg": "neg", "pos": "pos", "abs": "abs", "invert": "invert"}.items():
    setattr(Proxy, f"__{_dunder}__", lambda self, name=_name: _METHODS[name](self.trace, self))

_FACTORIES = {torch.tensor, torch.scalar_tensor, torch.full, torch.zeros, torch.ones, torch.as_tensor}




def _harmless(func) -> bool:
    """Asks only for what the cache of traces compares."""
    owner = getattr(func, "__self__", None)
    return func is torch.Tensor.dim or getattr(owner, "__name__", "") in ("dtype", "device", "ndim", "layout", "is_cuda")


class _Mode(TorchFunctionMode):
    """Sees every torch function that the traced function calls."""

    def __init__(self, trace: Trace):
        super().__init__()
        self.trace = trace

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _traces(args) or _traces(tuple(kwargs.values())):
            return _dispatch(func, args, kwargs)
        if func in _FACTORIES and not any(isinstance(a, torch.Tensor) for a in args):
            kwargs = {k: None if isinstance(v, _AnyDevice) else v for k, v in kwargs.items()}
            value = func(*args, **kwargs)
            if value.dim() == 0 and value.dtype in DTYPES:
                dtype = DTYPES[value.dtype]
                e = ex.const(value.item(), "float32" if dtype in ("float16", "bfloat16") else dtype)
                return Proxy(self.trace, e)
            return value
        if not _harmless(func):
            self.trace.fixed = True  # computed from values or sizes that may change
        return func(*args, **kwargs)


def trace_function(trace: Trace, function: Callable, arguments: list[Expr], what: str, returns: str | None) -> Expr:
    """What function gives for these arguments, as an expression of type `returns`."""
    with _Mode(trace):
        result = function(*[Proxy(trace, e) for e in arguments])
    if isinstance(result, (bool, int, float)) or isinstance(result, (Proxy, torch.Tensor, Elements)):
        result = _lift(trace, result).e
    else:
        raise TraceError(f"{what} returned {type(result).__name__}; it must return a scalar")
    return ex.cast(result, returns) if returns else result
