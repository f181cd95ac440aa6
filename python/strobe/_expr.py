"""Expressions of an algorithm text (src/text/README.md): typed, hash-consed, written with lets where shared."""

from __future__ import annotations

import math
from typing import Iterable

#: Bytes do not matter here; the order says which type wins when two meet.
_RANK = {"bool": 0, "uint8": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "float32": 6, "float64": 7}

Json = object


def category(dtype: str) -> int:
    """0 for bool, 1 for whole numbers, 2 for floating point."""
    return 0 if dtype == "bool" else 2 if dtype.startswith(("float", "bfloat")) else 1


def promote(a: str, b: str) -> str:
    """The type that two tensors' elements meet in, as in PyTorch."""
    if {a, b} == {"uint8", "int8"}:
        return "int16"
    return a if _RANK[a] >= _RANK[b] else b


class Expr:
    """A node. `args` are Exprs, or plain data where `op` says so."""

    __slots__ = ("op", "args", "dtype", "not_negative")
    _known: dict = {}

    def __new__(cls, op: str, args: tuple, dtype: str, not_negative: bool = False):
        key = (op, tuple(id(a) if isinstance(a, Expr) else (type(a), repr(a)) for a in args), dtype)
        found = cls._known.get(key)
        if found is None:
            found = super().__new__(cls)
            found.op, found.args, found.dtype, found.not_negative = op, args, dtype, not_negative
            cls._known[key] = found
        return found


def forget_known() -> None:
    """Ends the sharing of nodes: between two traces nothing is kept alive."""
    Expr._known = {}


def axis(name: str) -> Expr:
    return Expr("axis", (name,), "int32", True)


def const(value: bool | int | float, dtype: str) -> Expr:
    if category(dtype) == 2:
        value = float(value)
    elif category(dtype) == 1:
        value = int(value)
    else:
        value = bool(value)
    return Expr("const", (value,), dtype, category(dtype) == 1 and value >= 0)


def scalar(name: str, dtype: str) -> Expr:
    return Expr("scalar", (name,), dtype)


def size(name: str) -> Expr:
    return Expr("size", (name,), "int32", True)


def load(tensor: str, indices: Iterable[Expr], dtype: str) -> Expr:
    """An element; half-precision elements are widened where they are loaded."""
    narrow = dtype in ("float16", "bfloat16")
    e = Expr("load", (tensor, *indices), dtype)
    return Expr("cast", (e,), "float32") if narrow else e


def call(func: str, axes: Iterable[Expr], dtype: str = "float32") -> Expr:
    return Expr("call", (func, *axes), dtype)


def group(head: Expr, heads: str, shared: str) -> Expr:
    return Expr("group", (head, heads, shared), "int32", True)


def cast(e: Expr, dtype: str) -> Expr:
    """To the type, as PyTorch converts: a number is true unless it is 0; a narrow float rounds and is widened again."""
    if dtype in ("float16", "bfloat16"):
        return Expr("cast", (Expr("cast", (e,), dtype),), "float32")
    if e.dtype == dtype:
        return e
    if e.op == "const" and not (category(dtype) < 2 and isinstance(e.args[0], float)):
        return const(e.args[0], dtype)
    if dtype == "bool":
        return Expr("ne", (e, const(0, e.dtype)), "bool")
    return Expr("cast", (e,), dtype, e.not_negative and category(dtype) == 1)


_NOT_NEGATIVE = {"add", "mul", "floordiv", "mod", "min"}


def make(op: str, *args: Expr, dtype: str | None = None) -> Expr:
    """An operation whose operands have one type already."""
    if op in ("and", "or"):
        unit = op == "and"  # true and x, false or x
        rest = [a for a in args if not (a.op == "const" and a.args[0] is unit)]
        if len(rest) < 2:
            return rest[0] if rest else const(unit, "bool")
    result = dtype or args[0].dtype
    not_negative = (op in _NOT_NEGATIVE and all(a.not_negative for a in args)) or (
        op == "max" and any(a.not_negative for a in args)
    )
    return Expr(op, args, result, not_negative and category(result) == 1)


def select(condition: Expr, yes: Expr, no: Expr) -> Expr:
    return Expr("select", (condition, yes, no), yes.dtype, yes.not_negative and no.not_negative)


def nonnegative(e: Expr) -> Expr:
    """The same, where something else made sure of its sign."""
    e.not_negative = True
    return e


def substitute(e: Expr, replace: dict[Expr, Expr], known: dict | None = None) -> Expr:
    known = {} if known is None else known
    if e in replace:
        return replace[e]
    if e not in known:
        args = tuple(substitute(a, replace, known) if isinstance(a, Expr) else a for a in e.args)
        known[e] = Expr(e.op, args, e.dtype, e.not_negative)
    return known[e]


def _number(value) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _postorder(root: Expr) -> list[Expr]:
    """Operands before what uses them, each once; without recursion, for deep expressions."""
    order: list[Expr] = []
    state: dict[Expr, int] = {}
    stack = [root]
    while stack:
        e = stack[-1]
        if state.get(e) == 2:
            stack.pop()
        elif state.get(e) == 1:
            state[e] = 2
            order.append(e)
            stack.pop()
        else:
            state[e] = 1
            stack.extend(a for a in e.args if isinstance(a, Expr) and state.get(a) is None)
    return order


def to_json(root: Expr) -> tuple[list, Json]:
    """(lets, value): what is used more than once, or nested deeply, gets a let."""
    order = _postorder(root)
    uses: dict[Expr, int] = {}
    for e in order:
        for a in e.args:
            if isinstance(a, Expr):
                uses[a] = uses.get(a, 0) + 1
    lets: list = []
    text: dict[Expr, Json] = {}
    depth: dict[Expr, int] = {}
    for e in order:
        args = [text[a] if isinstance(a, Expr) else _number(a) for a in e.args]
        depth[e] = 1 + max((depth[a] for a in e.args if isinstance(a, Expr)), default=0)
        if e.op == "axis":
            text[e] = args[0]
            continue
        if e.op in ("const", "cast"):
            text[e] = [e.op, e.dtype, *args]
        else:
            text[e] = [e.op, *args]
        leaf = e.op in ("const", "scalar", "size")
        if e is not root and not leaf and (uses[e] > 1 or depth[e] > 60):
            name = f"e{len(lets)}"
            lets.append([name, text[e]])
            text[e] = name
            depth[e] = 1
    return lets, text[root]
