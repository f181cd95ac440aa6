"""Loads the extension and registers what its operators need on the Python side."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import os
import pathlib

import torch

from ._dtypes import TORCH_DTYPES
from .errors import ArgumentError, CompileError, GradientError, StrobeError

NAME = "libstrobe_torch.so"


def library_path() -> pathlib.Path:
    """The extension: STROBE_TORCH_LIBRARY, or beside this package."""
    given = os.environ.get("STROBE_TORCH_LIBRARY")
    path = pathlib.Path(given) if given else pathlib.Path(__file__).parent / NAME
    if not path.is_file():
        raise ImportError(
            f"Strobe's extension is not at {path}: install the package (pip install ./python), "
            "or build it (ninja strobe_torch) and set STROBE_TORCH_LIBRARY to it"
        )
    return path


def _load_halide() -> None:
    """libHalide comes from the halide package, or from the file that STROBE_HALIDE names."""
    given = os.environ.get("STROBE_HALIDE")
    if given:
        ctypes.CDLL(given)
        return
    spec = importlib.util.find_spec("halide")
    for root in spec.submodule_search_locations if spec else ():
        for folder in ("lib64", "lib"):
            found = sorted(pathlib.Path(root, folder).glob("libHalide.so*"))
            if found:
                ctypes.CDLL(str(found[0]))
                return
    # Left to the loader's own search; its message names the library if it fails.


@functools.cache
def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(library_path()))


def ask(function: str, *arguments: str) -> str:
    """Calls one of the extension's functions that give a text."""
    f = getattr(library(), function)
    f.restype = ctypes.c_int
    encoded = [ctypes.c_char_p(a.encode()) for a in arguments]
    room = 1 << 16
    while True:
        text, needed = ctypes.create_string_buffer(room), ctypes.c_size_t()
        code = f(*encoded, text, ctypes.c_size_t(room), ctypes.byref(needed))
        if needed.value <= room:
            break
        room = needed.value
    result = text.value.decode(errors="replace")
    if code == 1:
        raise CompileError(result)
    if code:
        raise StrobeError(result)
    return result


@functools.lru_cache(maxsize=512)
def parsed(text: str) -> dict:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ArgumentError(f"algorithm text: not JSON: {error}") from None


def _output_shapes(algorithm: dict, tensors: list[torch.Tensor]) -> list[tuple]:
    named: dict = {}
    for declared, tensor in zip(algorithm["tensors"], tensors):
        for size, extent in zip(declared["sizes"], reversed(tensor.shape)):
            if isinstance(size, str):
                named.setdefault(size, extent)
    arguments = {f["name"]: f["args"] for f in algorithm["funcs"]}
    shapes = []
    for name in algorithm["outputs"]:
        sizes = [named[s] if isinstance(s, str) else s for _, s in arguments[name]]
        shapes.append(tuple(reversed(sizes)))
    return shapes


@functools.lru_cache(maxsize=512)
def output_types(text: str) -> list[str]:
    """Of each output: the type of a function's value, followed through calls."""
    algorithm = parsed(text)
    tensors = {t["name"]: t["type"] for t in algorithm["tensors"]}
    scalars = {s["name"]: s["type"] for s in algorithm["scalars"]}
    types: dict[str, str] = {}

    def type_of(e, lets) -> str:
        while isinstance(e, str):
            if e not in lets:
                return "int32"
            e = lets[e]
        op = e[0]
        if op in ("const", "cast"):
            return e[1]
        if op == "load":
            return tensors[e[1]]
        if op == "call":
            return types[e[1]]
        if op == "scalar":
            return scalars[e[1]]
        if op in ("size", "group"):
            return "int32"
        if op in ("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"):
            return "bool"
        return type_of(e[2 if op == "select" else 1], lets)

    for f in algorithm["funcs"]:
        types[f["name"]] = type_of(f["value"], dict(map(tuple, f.get("let", []))))
    return [types[name] for name in algorithm["outputs"]]


def _fake(algorithm: str, tensors: list[torch.Tensor], scalars: list[float]) -> list[torch.Tensor]:
    shapes = _output_shapes(parsed(algorithm), tensors)
    types = output_types(algorithm)
    return [tensors[0].new_empty(s, dtype=TORCH_DTYPES[t]) for s, t in zip(shapes, types)]


class _NoBackward(torch.autograd.Function):
    """An operator whose gradient is an error: refused where it is asked for, so that the operator can be called without."""

    @staticmethod
    def forward(ctx, call, what, *inputs):
        ctx.what = what
        with below_autograd():
            return call(*inputs)

    @staticmethod
    def backward(ctx, *grads):
        raise GradientError(
            f"{ctx.what} has no backward pass yet: run it under torch.no_grad(), or detach its inputs, "
            "or use torch.nn.attention.flex_attention for training"
        )


def register_no_backward(op: torch._ops.OpOverload, what: str, of_list: bool = False) -> None:
    """Makes the operator say that it has no backward pass. Where no gradient is asked for, as at most calls, it costs as little
    as it can. `of_list`: called with a text, a list of tensors and scalars."""
    call, any_requires_grad = op._op, getattr(torch._C, "_any_requires_grad", lambda *args: True)

    def kernel(*args):
        if torch.is_grad_enabled() and any_requires_grad(*args):
            if of_list:
                text, tensors, scalars = args
                return list(_NoBackward.apply(lambda *t: tuple(call(text, list(t), scalars)), what, *tensors))
            return _NoBackward.apply(call, what, *args)
        with below_autograd():
            return call(*args)

    for key in ("AutogradCPU", "AutogradCUDA", "AutogradMeta"):
        _kernels.impl(op._schema.name.split("::")[1], kernel, key)


_kernels = torch.library.Library("strobe", "IMPL")
#: Skips the autograd key, which costs as much as the call, where the caller made sure that no gradient is asked for.
below_autograd = torch._C._AutoDispatchBelowAutograd

_load_halide()
torch.ops.load_library(str(library_path()))
torch.library.register_fake("strobe::attention", _fake)
torch.library.register_fake("strobe::_of_family", lambda family, tensors, scalars: [])  # none fits: the text is called

#: attention(algorithm: str, tensors: Tensor[], scalars: float[]) -> Tensor[]
attention = torch.ops.strobe.attention.default
register_no_backward(attention, "strobe.attention", of_list=True)

#: Whether autocast is on for any kind of device.
any_autocast = getattr(torch._C, "_is_any_autocast_enabled", lambda: True)
#: How many dispatch modes watch: they are shown operators that mean something elsewhere, too.
dispatch_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)


def family_call(tensors: int, outputs: int):
    """call(family: int, *tensors, scalar: float) for so many tensors and outputs: one tensor or several, or None, or none of
    them, where no program of the family fits. There is no gradient."""
    one_by_one = getattr(torch.ops.strobe, f"_call_{tensors}_{outputs}", None)
    if one_by_one is not None:
        return one_by_one.default._op  # without the layer that would look for other overloads
    of_family = torch.ops.strobe._of_family.default

    def call(family: int, *arguments):
        found = of_family(family, arguments[:-1], arguments[-1:])
        return (found[0] if found else None) if outputs == 1 else found

    return call
