"""Traces a score_mod or mask_mod into an expression.

The function is called once with proxies for its scalar arguments (_proxy.py). Whatever else the function computes runs as
usual, on the captured values of that moment; `Trace.fixed` then says that the result holds for this call only.
"""

from __future__ import annotations

from typing import Callable

import torch
from torch.overrides import TorchFunctionMode

from . import _expr as ex
from . import _operations, _tensor_methods, _vector  # noqa: F401  (they fill METHODS)
from ._dtypes import DTYPES
from ._expr import Expr
from ._proxy import METHODS, AnyDevice, Proxy, Trace, Traced, dispatch, lift, traces
from .errors import TraceError

__all__ = ["METHODS", "Proxy", "Trace", "trace_function"]

_FACTORIES = {torch.tensor, torch.scalar_tensor, torch.full, torch.zeros, torch.ones, torch.as_tensor}


def _harmless(func) -> bool:
    """Asks only for what a cached trace can be compared by."""
    owner = getattr(func, "__self__", None)
    return func is torch.Tensor.dim or getattr(owner, "__name__", "") in ("dtype", "device", "ndim", "layout", "is_cuda")


class _Mode(TorchFunctionMode):
    """Sees every torch function that the traced function calls."""

    def __init__(self, trace: Trace):
        super().__init__()
        self.trace = trace

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if traces(args) or traces(tuple(kwargs.values())):
            return dispatch(func, args, kwargs)
        if func in _FACTORIES and not any(isinstance(a, torch.Tensor) for a in args):
            kwargs = {k: None if isinstance(v, AnyDevice) else v for k, v in kwargs.items()}
            value = func(*args, **kwargs)
            if value.dim() == 0 and value.dtype in DTYPES:
                dtype = DTYPES[value.dtype]
                e = ex.const(value.item(), "float32" if dtype in ("float16", "bfloat16") else dtype)
                return Proxy(self.trace, e)
            return value
        if _harmless(func):
            self.trace.asked = True
        else:
            self.trace.fixed = True  # computed from values or sizes that may change
        return func(*args, **kwargs)


def trace_function(trace: Trace, function: Callable, arguments: list[Expr], what: str, returns: str | None) -> Expr:
    """What function gives for these arguments, as an expression of type `returns`."""
    with _Mode(trace):
        result = function(*[Proxy(trace, e) for e in arguments])
    if isinstance(result, (bool, int, float)) or isinstance(result, (Traced, torch.Tensor)):
        result = lift(trace, result).e
    else:
        raise TraceError(f"{what} returned {type(result).__name__}; it must return a scalar")
    return ex.cast(result, returns) if returns else result
