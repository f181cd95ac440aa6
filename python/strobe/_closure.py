"""What a function depends on, as a key: so that a trace can be used again.

The walk covers code, defaults, closure cells and the globals that the code names. Numbers and strings count by
value; tensors are collected, and count by which are the same (their types and ranks are compared where a program is looked for);
anything else makes the function unknown, and it is traced at every call.
"""

from __future__ import annotations

import functools
import math
import operator
import types
from typing import Any, Callable

import torch

_NUMBERS = (bool, int, float)
_PLAIN = (str, bytes, type(None), torch.dtype, torch.device, types.BuiltinFunctionType)
_MODULES = (torch, math, operator, torch.nn.functional)
_UNKNOWN = object()


_known_names: dict[int, tuple[str, ...]] = {}


def _names(code: types.CodeType) -> tuple[str, ...]:
    """Global names that the code, or code inside it, may read."""
    found = _known_names.get(id(code))
    if found is None:
        names = set(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                names.update(_names(constant))
        _codes[id(code)] = code
        found = _known_names[id(code)] = tuple(sorted(names))
    return found


_codes: dict[int, types.CodeType] = {}
_kept: dict[int, Callable] = {}  # functions of torch that keys name by address


class _Unknown(Exception):
    pass


def _walk(value: Any, tensors: list[torch.Tensor], seen: set[int]) -> Any:
    kind = type(value)
    if kind is types.FunctionType:
        if value.__closure__ is None and (value.__module__ or "").split(".")[0] == "torch":
            _kept[id(value)] = value
            return "torch", id(value)  # torch.nn.functional.relu, say, whose globals do not change
        return _function(value, tensors, seen)
    if kind is torch.Tensor or isinstance(value, torch.Tensor):
        return _tensor(value, tensors)
    if kind in _NUMBERS:
        return kind, repr(value)  # 1, 1.0 and True, 0.0 and -0.0 are equal but trace differently
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, type) and value.__module__.split(".")[0] in ("builtins", "torch"):
        return value  # other classes may hold settings that change
    if isinstance(value, functools.partial):
        items = sorted(value.keywords.items())
        return ("partial", *[_walk(v, tensors, seen) for v in (value.func, value.args, *map(list, items))])
    if kind is tuple or kind is list:
        return (kind, *[_walk(v, tensors, seen) for v in value])
    if isinstance(value, types.ModuleType) and any(value is m for m in _MODULES):
        return value.__name__
    raise _Unknown


def _place(value: torch.Tensor, tensors: list[torch.Tensor]) -> int:
    """Among the tensors, or behind them."""
    for n, known in enumerate(tensors):
        if known is value:
            return n
    return len(tensors)


def _tensor(value: torch.Tensor, tensors: list[torch.Tensor]) -> int:
    place = _place(value, tensors)
    if place == len(tensors):
        tensors.append(value)
    return place  # an int: numbers are kept with their kind


def _function(f: types.FunctionType, tensors: list[torch.Tensor], seen: set[int]) -> Any:
    code = f.__code__
    if id(f) in seen:
        return ("again", id(code))
    seen.add(id(f))
    # Hashing a code object reads all of it; its address will do while it lives, and so it is kept.
    _codes[id(code)] = code
    key: list = [id(code)]
    if f.__defaults__ or f.__kwdefaults__:
        key.append(_walk(f.__defaults__ or (), tensors, seen))
        key.append(_walk(tuple(sorted((f.__kwdefaults__ or {}).items())), tensors, seen))
    for cell in f.__closure__ or ():
        key.append(_walk(cell.cell_contents, tensors, seen))
    scope = f.__globals__
    for name in _names(code):
        if name in scope:
            key.append((name, _walk(scope[name], tensors, seen)))
    return tuple(key)


def _simple(f: types.FunctionType, names: tuple[str, ...], tensors: list[torch.Tensor]) -> Any:
    """What _function gives, in less time, of a function that depends on tensors, numbers and torch alone; else None."""
    key: list = [id(f.__code__)]
    values = [cell.cell_contents for cell in f.__closure__ or ()]
    cells = len(values)
    if names:
        scope = f.__globals__
        names = [name for name in names if name in scope]
        values += [scope[name] for name in names]
    for n, value in enumerate(values):
        kind = type(value)
        if kind is torch.Tensor or kind is torch.nn.Parameter:
            part: Any = _place(value, tensors) if tensors else 0
            if part == len(tensors):
                tensors.append(value)
        elif kind is int or kind is float or kind is bool:
            part = (kind, repr(value))
        elif value is torch:
            part = "torch"
        else:
            return None
        key.append(part if n < cells else (names[n - cells], part))
    return tuple(key)


def signature(function: Callable | None, tensors: list[torch.Tensor]) -> Any:
    """A hashable key, and the captured tensors appended to the list; None if the function is unknown."""
    if function is None:
        return "none"
    try:
        if type(function) is types.FunctionType and function.__defaults__ is None and function.__kwdefaults__ is None:
            code = function.__code__
            names = _known_names.get(id(code))
            if names is None:
                names = _names(code)
            if not names and function.__closure__ is None:
                return id(code)  # kept alive by _names
            count = len(tensors)
            key = _simple(function, names, tensors)
            if key is not None:
                return key
            del tensors[count:]
        return _walk(function, tensors, set())
    except (_Unknown, ValueError):  # ValueError: a cell that is still empty
        return None
