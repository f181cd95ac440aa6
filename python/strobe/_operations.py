"""What torch's functions and methods mean for traced values, as expressions."""

from __future__ import annotations

import math

import torch

from . import _expr as ex
from ._expr import Expr
from ._proxy import METHODS, Proxy, Traced, lift, meet, refuse


def method(*names: str):
    def register(f):
        for name in names:
            METHODS[name] = f
        return f

    return register


def _float(e: Expr) -> Expr:
    return e if ex.category(e.dtype) == 2 else ex.cast(e, "float32")


def int_from_bool(e: Expr) -> Expr:
    return ex.cast(e, "int64") if e.dtype == "bool" else e


def _is_large(e: Expr) -> bool:
    return e.op == "const" and abs(e.args[0]) >= 2**15


def _arithmetic(op: str):
    def run(trace, a, b, *, alpha=1, out=None):
        x, y = meet(trace, a, b)
        if op == "mul" and x.dtype == "int32" and (_is_large(x) or _is_large(y)):
            x, y = ex.cast(x, "int64"), ex.cast(y, "int64")  # a hash of positions, say, which are int64 in eager code
        if alpha != 1:
            (y, factor) = meet(trace, Proxy(trace, y), alpha)
            y = ex.make("mul", y, factor)
        if x.dtype == "bool" and op in ("add", "mul"):
            return Proxy(trace, ex.make("or" if op == "add" else "and", x, y))
        return Proxy(trace, ex.make(op, x, y))

    return run


for _name in ("add", "sub", "mul"):
    METHODS[_name] = _arithmetic(_name)
METHODS["subtract"], METHODS["multiply"] = METHODS["sub"], METHODS["mul"]


@method("rsub")
def _rsub(trace, a, b, *, alpha=1):
    return METHODS["sub"](trace, b, a, alpha=alpha)


@method("div", "true_divide", "truediv", "divide")
def _div(trace, a, b, *, rounding_mode=None):
    if rounding_mode == "floor":
        return _floor_divide(trace, a, b)
    x, y = meet(trace, a, b)
    whole = ex.category(x.dtype) < 2
    quotient = ex.make("div", _float(x), _float(y))
    if rounding_mode is None:
        return Proxy(trace, quotient)
    quotient = ex.make("trunc", quotient)
    return Proxy(trace, ex.cast(quotient, x.dtype) if whole else quotient)


@method("floor_divide", "floordiv")
def _floor_divide(trace, a, b):
    x, y = meet(trace, a, b)
    if ex.category(x.dtype) == 2:
        return Proxy(trace, ex.make("floor", ex.make("div", x, y)))
    return Proxy(trace, ex.make("floordiv", int_from_bool(x), int_from_bool(y)))


@method("remainder", "mod")
def _remainder(trace, a, b):
    x, y = meet(trace, a, b)
    if ex.category(x.dtype) == 2:
        whole = ex.make("floor", ex.make("div", x, y))
        return Proxy(trace, ex.make("sub", x, ex.make("mul", whole, y)))
    return Proxy(trace, ex.make("mod", int_from_bool(x), int_from_bool(y)))


@method("pow")
def _pow(trace, a, b):
    if isinstance(b, int) and not isinstance(b, bool) and 0 <= b <= 8:
        x = int_from_bool(lift(trace, a).e)
        result = ex.const(1, x.dtype)
        for n in range(b):
            result = x if n == 0 else ex.make("mul", result, x)
        return Proxy(trace, result)
    x, y = meet(trace, a, b)
    return Proxy(trace, ex.make("pow", _float(x), _float(y)))


@method("square")
def _square(trace, a):
    return _pow(trace, a, 2)


def _comparison(op: str):
    def run(trace, a, b):
        x, y = meet(trace, a, b)
        if x.dtype == "bool":
            x, y = ex.cast(x, "int32"), ex.cast(y, "int32")
        return Proxy(trace, ex.make(op, x, y, dtype="bool"))

    return run


for _name, _others in {"lt": ("less",), "le": ("less_equal",), "gt": ("greater",), "ge": ("greater_equal",),
                       "eq": (), "ne": ("not_equal",)}.items():
    for _n in (_name, *_others):
        METHODS[_n] = _comparison(_name)


def _logical(op: str):
    def run(trace, a, b):
        return Proxy(trace, ex.make(op, ex.cast(lift(trace, a).e, "bool"), ex.cast(lift(trace, b).e, "bool")))

    return run


METHODS["logical_and"], METHODS["logical_or"] = _logical("and"), _logical("or")


@method("logical_not")
def _logical_not(trace, a):
    return Proxy(trace, ex.make("not", ex.cast(lift(trace, a).e, "bool")))


@method("logical_xor")
def _logical_xor(trace, a, b):
    x, y = (ex.cast(ex.cast(lift(trace, v).e, "bool"), "int32") for v in (a, b))
    return Proxy(trace, ex.make("ne", x, y, dtype="bool"))


def _bitwise(logical: str, whole: str):
    def run(trace, a, b):
        x, y = meet(trace, a, b)
        if x.dtype == "bool":
            return _logical_xor(trace, a, b) if logical == "xor" else Proxy(trace, ex.make(logical, x, y))
        if ex.category(x.dtype) == 2:
            refuse("& | ^ take bools or whole numbers")
        return Proxy(trace, ex.make(whole, x, y))

    return run


for _name, _logic in (("and", "and"), ("or", "or"), ("xor", "xor")):
    METHODS[f"bitwise_{_name}"] = METHODS[_name] = _bitwise(_logic, f"bit{_name}")


@method("bitwise_not", "invert")
def _invert(trace, a):
    x = lift(trace, a).e
    if x.dtype == "bool":
        return Proxy(trace, ex.make("not", x))
    return Proxy(trace, ex.make("bitxor", x, ex.const(-1, x.dtype)))


def _shift(op: str):
    def run(trace, a, b):
        x, y = meet(trace, a, b)
        return Proxy(trace, ex.make(op, x, y))

    return run


METHODS["lshift"] = METHODS["bitwise_left_shift"] = _shift("shl")
METHODS["rshift"] = METHODS["bitwise_right_shift"] = _shift("shr")


def _float_function(op: str):
    def run(trace, a, *, out=None):
        return Proxy(trace, ex.make(op, _float(lift(trace, a).e)))

    return run


for _name in ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "atan", "erf", "sigmoid"):
    METHODS[_name] = _float_function(_name)
METHODS["arctan"] = METHODS["atan"]


def _rounding(op: str):
    def run(trace, a):
        x = lift(trace, a).e
        return Proxy(trace, ex.make(op, x) if ex.category(x.dtype) == 2 else x)

    return run


for _name in ("floor", "ceil", "round", "trunc"):
    METHODS[_name] = _rounding(_name)


def _scaled(op: str, factor: float, after: bool):
    def run(trace, a):
        x = _float(lift(trace, a).e)
        k = ex.const(factor, x.dtype)
        return Proxy(trace, ex.make("mul", ex.make(op, x), k) if after else ex.make(op, ex.make("mul", x, k)))

    return run


METHODS["exp2"] = _scaled("exp", math.log(2), False)
METHODS["log2"] = _scaled("log", 1 / math.log(2), True)
METHODS["log10"] = _scaled("log", 1 / math.log(10), True)


@method("log1p")
def _log1p(trace, a):
    x = _float(lift(trace, a).e)
    return Proxy(trace, ex.make("log", ex.make("add", x, ex.const(1, x.dtype))))


@method("expm1")
def _expm1(trace, a):
    x = _float(lift(trace, a).e)
    return Proxy(trace, ex.make("sub", ex.make("exp", x), ex.const(1, x.dtype)))


@method("reciprocal")
def _reciprocal(trace, a):
    return _div(trace, 1.0, a)


@method("rsqrt")
def _rsqrt(trace, a):
    return _div(trace, 1.0, METHODS["sqrt"](trace, a))


@method("neg", "negative")
def _neg(trace, a):
    return Proxy(trace, ex.make("neg", lift(trace, a).e))


@method("pos", "positive", "clone", "contiguous", "detach", "cpu", "cuda")
def _same(trace, a, *args, **kwargs):
    return lift(trace, a)


@method("abs", "absolute")
def _abs(trace, a):
    x = lift(trace, a).e
    if x.dtype == "bool" or x.not_negative:
        return Proxy(trace, x)
    e = ex.make("abs", x)
    return Proxy(trace, ex.nonnegative(e) if ex.category(e.dtype) == 1 else e)


@method("sign", "sgn")
def _sign(trace, a):
    x = lift(trace, a).e
    zero, one, minus = (ex.const(n, x.dtype) for n in (0, 1, -1))
    below = ex.select(ex.make("lt", x, zero, dtype="bool"), minus, zero)
    return Proxy(trace, ex.select(ex.make("gt", x, zero, dtype="bool"), one, below))


def _extreme(op: str):
    def run(trace, a, *others):
        if len(others) != 1 or not isinstance(others[0], (Traced, torch.Tensor, int, float)):
            refuse(f"{op} of a scalar takes two values")
        x, y = meet(trace, a, others[0])
        return Proxy(trace, ex.make(op, x, y))

    return run


METHODS["minimum"] = METHODS["min"] = METHODS["fmin"] = _extreme("min")
METHODS["maximum"] = METHODS["max"] = METHODS["fmax"] = _extreme("max")


@method("clamp", "clip")
def _clamp(trace, a, min=None, max=None):
    result = a
    if min is not None:
        result = METHODS["maximum"](trace, result, min)
    if max is not None:
        result = METHODS["minimum"](trace, result, max)
    return lift(trace, result)


@method("clamp_min")
def _clamp_min(trace, a, min):
    return _clamp(trace, a, min=min)


@method("clamp_max")
def _clamp_max(trace, a, max):
    return _clamp(trace, a, max=max)


@method("relu")
def _relu(trace, a, inplace=False):
    return _clamp(trace, a, min=0)


@method("leaky_relu")
def _leaky_relu(trace, a, negative_slope=0.01, inplace=False):
    return _where(trace, METHODS["gt"](trace, a, 0), a, METHODS["mul"](trace, a, negative_slope))


@method("silu")
def _silu(trace, a, inplace=False):
    return METHODS["mul"](trace, a, METHODS["sigmoid"](trace, a))


@method("softplus")
def _softplus(trace, a, beta=1.0, threshold=20.0):
    x = METHODS["mul"](trace, a, beta)
    soft = _div(trace, _log1p(trace, METHODS["exp"](trace, x)), beta)
    return _where(trace, METHODS["gt"](trace, x, threshold), a, soft)


@method("logsigmoid")
def _logsigmoid(trace, a):
    return _neg(trace, _softplus(trace, _neg(trace, a)))


@method("where")
def _where(trace, condition, yes, no):
    x, y = meet(trace, yes, no)
    return Proxy(trace, ex.select(ex.cast(lift(trace, condition).e, "bool"), x, y))


@method("masked_fill")
def _masked_fill(trace, a, mask, value):
    x = lift(trace, a).e
    return Proxy(trace, ex.select(ex.cast(lift(trace, mask).e, "bool"), ex.cast(lift(trace, value).e, x.dtype), x))


@method("lerp")
def _lerp(trace, a, b, weight):
    add, mul, sub = METHODS["add"], METHODS["mul"], METHODS["sub"]
    return add(trace, a, mul(trace, weight, sub(trace, b, a)))


@method("isnan")
def _isnan(trace, a):
    return METHODS["ne"](trace, a, a)


@method("isinf")
def _isinf(trace, a):
    return METHODS["eq"](trace, _abs(trace, a), math.inf)


@method("gelu")
def _gelu(trace, a, approximate="none"):
    add, mul = METHODS["add"], METHODS["mul"]
    if approximate == "tanh":
        cubic = mul(trace, add(trace, a, mul(trace, 0.044715, _pow(trace, a, 3))), math.sqrt(2 / math.pi))
        gate = METHODS["tanh"](trace, cubic)
    else:
        gate = METHODS["erf"](trace, mul(trace, a, math.sqrt(0.5)))
    return mul(trace, mul(trace, a, 0.5), add(trace, gate, 1.0))
