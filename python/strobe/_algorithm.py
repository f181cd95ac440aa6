"""Builds algorithm texts (src/text/README.md), the plain data that the operators compile."""

from __future__ import annotations

import json

from . import _expr as ex
from ._expr import Expr

VERSION = 1


class Algorithm:
    """Tensors, scalars and functions, in the order of their use. Sizes and arguments are innermost first."""

    def __init__(self, name: str):
        self._name = name
        self._tensors: list[dict] = []
        self._scalars: list[dict] = []
        self._funcs: list[dict] = []
        self._sizes: dict[str, int | str] = {}

    def axis(self, name: str, size: int | str) -> Expr:
        self._sizes[name] = size
        return ex.axis(name)

    def tensor(self, name: str, dtype: str, sizes: list[int | str | None]) -> None:
        self._tensors.append({"name": name, "type": dtype, "sizes": list(sizes)})

    def scalar(self, name: str, dtype: str = "float32", least: float | None = None, most: float | None = None) -> Expr:
        item: dict = {"name": name, "type": dtype}
        if least is not None:
            item["min"] = least
        if most is not None:
            item["max"] = most
        self._scalars.append(item)
        return ex.scalar(name, dtype)

    def func(self, name: str, axes: list[Expr], value: Expr, reduce: str | None = None, *over: Expr) -> Expr:
        """Defines name(axes) = value, or the reduction of value over axes; gives the call of it."""
        lets, text = ex.to_json(value)
        item: dict = {"name": name, "args": [[a.args[0], self._sizes[a.args[0]]] for a in axes]}
        if reduce is not None:
            item["reduce"] = reduce
            item["over"] = [[a.args[0], self._sizes[a.args[0]]] for a in over]
        if lets:
            item["let"] = lets
        item["value"] = text
        self._funcs.append(item)
        return ex.call(name, axes, value.dtype)

    def text(self, outputs: list[str]) -> str:
        data = {
            "strobe": VERSION,
            "name": self._name,
            "tensors": self._tensors,
            "scalars": self._scalars,
            "funcs": self._funcs,
            "outputs": outputs,
        }
        return json.dumps(data, separators=(",", ":"), allow_nan=False)


def softmax_attention(
    algorithm: Algorithm,
    score: Expr,
    value_of: Expr,
    i: list[Expr],
    j: Expr,
    d: Expr,
    out_type: str,
    accumulator: str = "float32",
) -> dict[str, str]:
    """out, lse and max_scores of softmax(score) @ value along j; `i` are the axes of a row.

    A row whose every score is -inf has out 0 and lse -inf.
    """
    rows = list(i)
    s = algorithm.func("score", [j, *rows], score)
    row_max = algorithm.func("row_max", rows, s, "max", j)
    lowest = ex.const(-3.4028234663852886e38, accumulator)
    pivot = algorithm.func("pivot", rows, ex.make("max", row_max, lowest))
    exponential = algorithm.func("exponential", [j, *rows], ex.make("exp", ex.make("sub", s, pivot)))
    row_sum = algorithm.func("row_sum", rows, exponential, "sum", j)
    zero = ex.const(0.0, accumulator)
    empty = ex.make("eq", row_sum, zero, dtype="bool")  # not "at most 0": a row with NaN stays NaN
    weights = algorithm.func("weights", [j, *rows], ex.select(empty, zero, ex.make("div", exponential, row_sum)))
    weighted = algorithm.func("weighted_sum", [d, *rows], ex.make("mul", weights, value_of), "sum", j)
    rounded = weighted if weighted.dtype == out_type else Expr("cast", (weighted,), out_type)
    algorithm.func("out", [d, *rows], rounded)
    algorithm.func("lse", rows, ex.make("add", pivot, ex.make("log", row_sum)))
    algorithm.func("max_scores", rows, row_max)
    return {"out": "out", "lse": "lse", "max_scores": "max_scores"}
