"""torch.ops.strobe.NAME for every algorithm of generators/: what they need beside their kernels, and strobe.operators."""

from __future__ import annotations

import functools
import json
from typing import Any, Callable

import torch

from ._dtypes import DTYPES, TORCH_DTYPES
from ._library import any_autocast as _any_autocast
from ._library import ask, below_autograd, register_no_backward
from ._library import dispatch_modes as _dispatch_modes
from .errors import ArgumentError, GradientError, operator_error

_autocast_kernels = torch.library.Library("strobe", "IMPL")


@functools.cache
def _shape(name: str) -> dict:
    """Names of the tensors, which are of the common type, and which dimensions are constants of the kernel."""
    return json.loads(ask("strobe_python_named_shape", name))


@functools.lru_cache(maxsize=4096)
def _declaration(name: str, arguments: str) -> dict:
    return json.loads(ask("strobe_python_named_declaration", name, arguments))


def _fake(name: str, arguments: tuple) -> Any:
    tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
    # Only what becomes a constant is looked at: other sizes may be symbols.
    known = [[-1] * t.dim() for t in tensors]
    for n, dim in _shape(name)["constant"]:
        if dim < tensors[n].dim():
            known[n][dim] = int(tensors[n].shape[-1 - dim])
    described = json.dumps([[DTYPES.get(t.dtype, ""), sizes] for t, sizes in zip(tensors, known)])
    declared = _declaration(name, described)
    named: dict = {}
    for tensor, what in zip(tensors, declared["tensors"]):
        if tensor.dim() != len(what["sizes"]) and not (tensor.dim() == 0 and len(what["sizes"]) == 1):
            raise ArgumentError(f"In {name}: {what['name']} must have {len(what['sizes'])} dimensions, got {tensor.dim()}")
        for size, extent in zip(what["sizes"], reversed(tensor.shape)):
            if isinstance(size, str):
                named.setdefault(size, extent)
    outputs = []
    for what in declared["outputs"]:
        sizes = [named[s] if isinstance(s, str) else s for s in reversed(what["sizes"])]
        outputs.append(tensors[0].new_empty(sizes, dtype=TORCH_DTYPES[what["type"]]))
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _autocast(name: str, device: str, key: str) -> Callable:
    """Tensors of the common type take autocast's."""
    excluded = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))

    def run(*arguments):
        dtype, typed = torch.get_autocast_dtype(device), _shape(name)["typed"]
        cast = [a.to(dtype) if n < len(typed) and typed[n] and a.is_floating_point() else a for n, a in enumerate(arguments)]
        with torch._C._ExcludeDispatchKeyGuard(excluded):
            return getattr(torch.ops.strobe, name).default(*cast)

    return run


def _register(name: str) -> None:
    torch.library.register_fake(f"strobe::{name}", lambda *arguments: _fake(name, arguments))
    register_no_backward(getattr(torch.ops.strobe, name).default, f"torch.ops.strobe.{name}")
    for device, key in (("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")):
        _autocast_kernels.impl(name, _autocast(name, device, key), key)


_names = tuple(ask("strobe_python_define_named").split())
for _name in _names:
    _register(_name)


def _wrapped(name: str) -> Callable:
    op = getattr(torch.ops.strobe, name).default
    parameters = op._schema.arguments
    tensors = [p.name for p in parameters if str(p.type) == "Tensor"]

    def call(*args, **kwargs):
        given = dict(zip((p.name for p in parameters), args))
        given.update(kwargs)
        for argument in tensors:
            t = given.get(argument)
            if t is not None and not isinstance(t, torch.Tensor):
                raise ArgumentError(f"In {name}: {argument} is a {type(t).__name__}; it must be a tensor")
            if t is not None and t.requires_grad and torch.is_grad_enabled():
                raise GradientError(
                    f"In {name}: {argument} requires grad, and there is no backward pass yet: call it under torch.no_grad(), "
                    "or detach the tensor"
                )
        try:
            if torch.compiler.is_compiling() or _dispatch_modes() or _any_autocast():
                return op(*args, **kwargs)
            with below_autograd():  # no gradient is asked for
                return op(*args, **kwargs)
        except RuntimeError as error:
            raise operator_error(error) from None

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{op._schema}\n\nSizes and meaning: generators/README.md; sizes there are innermost first, a tensor's here outermost first."
    return call


class Operators:
    """strobe.operators.NAME(...): torch.ops.strobe.NAME(...) with Strobe's errors."""

    def __getattr__(self, name: str) -> Callable:
        if name not in _names:
            raise AttributeError(f"there is no algorithm {name}; there are {', '.join(_names)}")
        found = _wrapped(name)
        setattr(self, name, found)
        return found

    def __dir__(self):
        return list(_names)


operators = Operators()
