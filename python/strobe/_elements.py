"""Elements of a graph's tensors as expressions: views rewrite indices, pointwise operators become expressions, reductions and
contractions become functions of the algorithm, and what is not read further becomes a tensor that is passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from . import _expr as ex
from ._algorithm import Algorithm
from ._dtypes import DTYPES
from ._expr import Expr
from ._membership import Membership
from ._nodes import (
    CONTRACTIONS, CREATIONS, FILL, REDUCTIONS, SOFTMAX, VIEWS, ZERO, Axis, Index, NotRegion, SymbolicStart, at_most,
    dtype_of, expr_of, extreme_of, is_one, name_of, operands, product, same, seams, shape_of
)
from ._trace import METHODS, Proxy
from ._views import through_view
from .errors import TraceError


@dataclass
class Leaf:
    """A tensor that is passed in, viewed with these sizes."""

    node: Node
    view: list
    name: str


class _NoTrace:
    """Stands for the trace that the pointwise implementations ask for; there are no captured tensors here."""

    fixed = False

    def name_of(self, tensor):
        raise TraceError("a constant tensor")


_NO_TRACE = _NoTrace()


def _from(start, digits: tuple = ()) -> Index:
    return Index(digits, start=start if isinstance(start, int) else SymbolicStart(start))


class Elements:
    """One attempt to read: the algorithm so far, its axes, and the tensors that it is passed."""

    def __init__(self, end: Node, splits: dict[tuple, list], unsized: set[tuple]):
        self.end = end
        self.splits = splits  # the n-th axis made -> sizes of its parts
        self.unsized = unsized  # axes whose size no tensor has
        self.algorithm = Algorithm("attention")
        self.axes: list[Axis] = []
        self.size_names: list[tuple[Any, str]] = []
        self.leaves: list[Leaf] = []
        self.known: dict = {}
        self.functions: dict = {}
        self.sums: dict[str, tuple[list[Expr], Expr, list[Expr]]] = {}  # name: arguments, what is summed, over what
        self.membership = Membership()
        self.inner: set = set()
        self.scores = self.reductions = 0
        self.problem = ""
        self.stream_size = None

    # -- axes ---------------------------------------------------------------------------------------------------------

    def axis(self, size, kind: str, key: tuple) -> Index:
        """An axis, or those that it had to be split into."""
        axis = Axis(size, kind, key=key)
        if key in self.splits:
            parts = [self.axis(s, kind, (*key, n)) for n, s in enumerate(self.splits[key])]
            return Index(tuple(d for p in parts for d in p.digits))
        constant = isinstance(size, int) and (kind == "feature" or key in self.unsized)
        if kind == "feature" and not constant:
            self.problem = f"the feature size {size} is not a constant"
        axis.name = f"x{len(self.axes)}"
        self.axes.append(axis)
        declared = size if constant else self._size_name(size)
        self.algorithm.axis(axis.name, declared)
        axis.declared = declared
        return Index((axis,))

    def _size_name(self, size) -> str:
        for known, name in self.size_names:
            if same(known, size):
                return name
        self.size_names.append((size, f"n{len(self.size_names)}"))
        return self.size_names[-1][1]
    # -- elements -----------------------------------------------------------------------------------------------------

    def leaf(self, node: Node, index: list[Index]) -> Expr:
        dtype = dtype_of(node)
        if dtype not in DTYPES:
            raise NotRegion(f"{node.name} is of type {dtype}")
        sizes, indices, view = [], [], []
        shape = shape_of(node)
        if not shape:
            shape, index = [1], [ZERO]
        for size, part in zip(shape, index):
            whole = not part.start and same(product([axis.size for axis in part.digits]), size)
            if part.value is not None or ((part.digits or part.start) and not whole):
                sizes.append(None)  # a computed position, or in a part of the dimension
                indices.append(expr_of(part))
                view.append(size)
            elif not part.digits:
                sizes.append(None if not isinstance(size, int) else size)
                indices.append(ex.const(0, "int32"))
                view.append(size)
            else:
                for axis in part.digits:
                    fixed = axis.kind == "fixed"
                    sizes.append((axis.size if isinstance(axis.size, int) else None) if fixed else axis.declared)
                    indices.append(axis.expr())
                    view.append(axis.size)
        if len(view) > 8:
            raise NotRegion(f"{node.name} would be passed with {len(view)} dimensions; 8 are the most")
        for leaf in self.leaves:
            if leaf.node is node and len(leaf.view) == len(view) and leaf.sizes == sizes:
                break
        else:
            leaf = Leaf(node, view, f"t{len(self.leaves)}")
            leaf.sizes = sizes
            self.leaves.append(leaf)
        return ex.load(leaf.name, reversed(indices), DTYPES[dtype])

    def element(self, node: Any, index: list[Index]) -> Expr:
        """The element of a node, or of a number, at an index a dimension."""
        if not isinstance(node, Node):
            return self._number(node)
        if not isinstance(node.meta.get("val"), torch.Tensor):
            return self._symbol(node.meta.get("val"))
        key = (node, tuple(index))
        if key not in self.known:
            self.known[key] = self._compute(node, index) if self.membership.expands(node, index) else self.leaf(node, index)
        return self.known[key]

    def _number(self, value) -> Expr:
        if isinstance(value, bool):
            return ex.const(value, "bool")
        if isinstance(value, int):
            return ex.const(value, "int32" if abs(value) < 2**31 else "int64")
        if isinstance(value, float):
            # The running maximum of a kernel starts at -1e30. Finite fills below it, such as the least float32, swallow
            # any score that they are added to, and so does -1e29: a row of nothing else stays an average.
            value = FILL if -math.inf < value < FILL else value
            return ex.const(value, "float32")
        return self._symbol(value)

    def _symbol(self, value) -> Expr:
        if isinstance(value, (bool, int, float)):
            return self._number(value)
        for size, name in self.size_names:
            if isinstance(value, torch.SymInt) and same(size, value):
                return ex.size(name)
        raise NotRegion(f"it depends on the size {value}, which is none of its axes'")

    def _broadcast(self, node: Any, shape: list, index: list[Index]) -> Expr:
        if not isinstance(node, Node) or not isinstance(node.meta.get("val"), torch.Tensor):
            return self.element(node, [])
        own = shape_of(node)
        kept = index[len(index) - len(own):]
        full = shape[len(shape) - len(own):]
        return self.element(node, [ZERO if is_one(o) and not is_one(f) else k for o, f, k in zip(own, full, kept)])

    def _compute(self, node: Node, index: list[Index]) -> Expr:
        self.inner.add(node)
        name = name_of(node)
        if name in CONTRACTIONS:
            return self._contraction(node, index)
        if name in REDUCTIONS or name == "mean":
            return self._reduction(node, index, name)
        if name == "getitem":
            return self._reduction(extreme_of(node), index, "a" + name_of(node.args[0]))
        if name == "cat":
            return self._joined(node, index)
        if name in SOFTMAX:
            return self._softmax(node, index)
        if name in CREATIONS:
            return self._creation(node, index, name)
        if name in ("_to_copy", "convert_element_type"):
            return self._convert(self.element(node.args[0], index), dtype_of(node))
        if name in VIEWS:
            try:
                source, inner = through_view(node, index)
            except NotRegion:
                if {"row", "stream"} <= {axis.kind for part in index for axis in part.axes()}:
                    raise
                # A view of a part of a dimension, say: it is passed as it is.
                self.inner.discard(node)
                return self.leaf(node, index)
            return self.element(source, inner)
        if name == "index":
            return self._gather(node, index)
        return self._pointwise(node, index, name)

    def _convert(self, e: Expr, dtype: torch.dtype) -> Expr:
        if dtype not in DTYPES:
            raise NotRegion(f"values of type {dtype}")
        # Floating-point values stay in float32 inside a region.
        wanted = DTYPES[dtype] if ex.category(DTYPES[dtype]) < 2 else "float32"
        return ex.cast(e, wanted)

    def _pointwise(self, node: Node, index: list[Index], name: str) -> Expr:
        shape = shape_of(node)
        if name in ("tril", "triu"):
            x = self.element(node.args[0], index)
            diagonal = self._number(node.args[1] if len(node.args) > 1 else 0)
            row, column = expr_of(index[-2]), expr_of(index[-1])
            inside = ex.make("le" if name == "tril" else "ge", column, ex.make("add", row, diagonal), dtype="bool")
            return ex.select(inside, x, ex.const(0, x.dtype))
        def value(a):
            # Plain numbers stay plain: they give way to tensors when types are promoted.
            plain = not isinstance(a, Node)
            return a if plain else Proxy(_NO_TRACE, self._broadcast(a, shape, index))
        args = [value(a) if not isinstance(a, (list, tuple, str)) and a is not None else a for a in node.args]
        kwargs = {k: value(v) if isinstance(v, Node) else v for k, v in node.kwargs.items() if k not in ("out", "dtype")}
        result = METHODS[name](_NO_TRACE, *args, **kwargs).e
        return self._convert(result, dtype_of(node))

    def _creation(self, node: Node, index: list[Index], name: str) -> Expr:
        dtype = dtype_of(node)
        if name in ("ones", "ones_like", "new_ones"):
            return self._convert(ex.const(1, "int32"), dtype)
        if name in ("zeros", "zeros_like", "new_zeros"):
            return self._convert(ex.const(0, "int32"), dtype)
        if name in ("full", "full_like", "new_full", "scalar_tensor"):
            value = node.args[0] if name == "scalar_tensor" else node.args[2] if name == "new_full" else node.args[1]
            return self._convert(self._number(value) if not isinstance(value, Node) else self.element(value, []), dtype)
        at = expr_of(index[0])
        if name == "iota":
            start, step = node.kwargs.get("start", 0), node.kwargs.get("step", 1)
        else:
            overload = str(node.target).split(".")[-1]
            start = 0 if overload == "default" else node.args[0]
            step = node.args[2] if overload == "start_step" and len(node.args) > 2 else 1
        if step != 1:
            at = ex.make("mul", at, self._number(step))
        if not (isinstance(start, int) and start == 0):
            begin = self.element(start, []) if isinstance(start, Node) else self._number(start)
            at = ex.make("add", at, ex.cast(begin, "int32"))
        # Positions fit int32, whatever wider type the graph keeps them in.
        return at if ex.category(DTYPES.get(dtype, "bool")) == 1 else self._convert(at, dtype)

    def _joined(self, node: Node, index: list[Index]) -> Expr:
        """An element of joined tensors: of the one that holds all positions that the index can have."""
        dim = (node.args[1] if len(node.args) > 1 else 0) % len(shape_of(node))
        part, before = index[dim], 0
        if part.value is None:
            length = product([axis.size for axis in part.digits])
            for piece in node.args[0]:
                size = shape_of(piece)[dim]
                start = part.start if isinstance(part.start, int) else part.start.size
                known = isinstance(start, int) and isinstance(before, int)
                inside = 0 if same(start, before) else start - before if known else -1
                if inside >= 0 and at_most(inside + length, size):
                    return self.element(piece, [*index[:dim], Index(part.digits, start=inside), *index[dim + 1:]])
                before = before + size
        raise NotRegion("joined tensors that are read across their seam")

    def _gather(self, node: Node, index: list[Index]) -> Expr:
        source, indices = node.args[0], node.args[1]
        old, shape = shape_of(source), shape_of(node)
        if len(indices) != len(old) or any(i is None for i in indices):
            raise NotRegion("an indexed tensor of which some dimensions are kept")
        parts = []
        for size, i in zip(old, indices):
            e = self._broadcast(i, shape, index)
            if not e.not_negative:
                extent = ex.const(size, e.dtype) if isinstance(size, int) else ex.cast(self._symbol(size), e.dtype)
                e = ex.select(ex.make("lt", e, ex.const(0, e.dtype), dtype="bool"), ex.make("add", e, extent), e)
            parts.append(Index((), e, frozenset(a for p in index for a in p.axes())))
        return self.leaf(source, parts)

    # -- functions ----------------------------------------------------------------------------------------------------

    def function(self, node: Node, index: list[Index], label: str, op: str, make) -> Expr:
        """The call of a reduction over one axis. Indices that differ only in the names of axes share a function."""
        axes: list[Axis] = []
        pattern = []
        for part in index:
            if part.value is not None or not isinstance(part.start, int):
                raise NotRegion("a reduction at computed positions")
            for axis in part.digits:
                if axis.kind != "fixed" and axis not in axes:
                    axes.append(axis)
            places = (("fixed", a.value) if a.kind == "fixed" else (axes.index(a), a.declared) for a in part.digits)
            pattern.append((part.start, *places))
        key = (node, label, tuple(pattern))
        if key not in self.functions:
            value, *over = make()
            name, formals = f"{label}{len(self.functions)}", [ex.axis(a.name) for a in axes]
            call = self.algorithm.func(name, formals, value, op, *over)
            if op == "sum":
                self.sums[name] = (formals, value, over)
            self.functions[key] = (name, call.dtype)
        name, dtype = self.functions[key]
        return ex.call(name, [ex.axis(a.name) for a in axes], dtype)

    def _product(self, node: Node, index: list[Index], inner: Index) -> Expr:
        a, b = operands(node)
        batch = index[:-2]
        x = self.element(a, [*batch, index[-2], inner])
        y = self.element(b, [*batch, inner, index[-1]])
        return ex.make("mul", ex.cast(x, "float32"), ex.cast(y, "float32"))

    def _contraction(self, node: Node, index: list[Index]) -> Expr:
        length = shape_of(operands(node)[0])[-1]

        def make():
            inner = self.axis(length, "feature", (node, "inner", len(self.functions)))
            if len(inner.digits) != 1:
                raise NotRegion("" if name_of(node) == "mm" else "scores contracted over several dimensions")
            return self._product(node, index, inner), ex.axis(inner.digits[0].name)

        self.scores += 1
        result = self.function(node, index, "scores", "sum", make)
        if name_of(node) in ("baddbmm", "addmm"):
            alpha, beta = node.kwargs.get("alpha", 1), node.kwargs.get("beta", 1)
            if alpha != 1:
                result = ex.make("mul", result, ex.const(alpha, "float32"))
            if beta != 0:
                added = ex.cast(self._broadcast(node.args[0], shape_of(node), index), "float32")
                added = added if beta == 1 else ex.make("mul", added, ex.const(beta, "float32"))
                result = ex.make("add", result, added)
        return result

    def _reduce(self, source: Node, dim: int, index: list[Index], label: str, op: str, of=None) -> Expr:
        """Reduces the source along dim, each of the tensors that were joined there by itself; `index` has no place for it."""
        shape = shape_of(source)
        dim %= len(shape)
        combine = {"sum": "add"}.get(op, op)
        self.reductions += self._is_of_keys(shape[dim])
        result, start = None, 0
        for size in seams(source, dim - len(shape)) or [shape[dim]]:
            if is_one(size) and not same(size, shape[dim]):
                one = self.element(source, [*index[:dim], _from(start), *index[dim:]])
                part = of(one) if of else one
            else:
                part = self._reduce_part(source, dim, index, label, op, of, size, start)
            result = part if result is None else ex.make(combine, ex.cast(result, "float32"), ex.cast(part, "float32"))
            start = start + size
        return result

    def _is_of_keys(self, size) -> bool:
        return self.stream_size is None or same(size, self.stream_size)

    def _reduce_part(self, source: Node, dim: int, index: list[Index], label: str, op: str, of, size, start) -> Expr:
        of_keys = self._is_of_keys(size)
        self.reductions += of_keys

        def make():
            # The keys once more, or a sum inside a score.
            kind = "stream" if of_keys else "feature"
            axis = self.axis(size, kind, (source, dim, label, len(self.functions)))
            if len(axis.digits) != 1:
                raise NotRegion("a reduction over several axes")
            inner = _from(start, axis.digits)
            e = self.element(source, [*index[:dim], inner, *index[dim:]])
            e, over = of(e) if of else e, ex.axis(inner.digits[0].name)
            if op == "sum" and kind == "feature":
                e, more = self._merge_sums(e, over)
                return (e, over, *more)
            return e, over

        return self.function(source, index, label if same(start, 0) else f"{label}_behind", op, make)

    def _merge_sums(self, e: Expr, over: Expr) -> tuple[Expr, list[Expr]]:
        """What a sum over `over` of c * (a sum over more axes) adds up, with those axes: one sum instead of two."""
        if e.op == "call" and e.args[0] in self.sums and over in e.args[1:]:
            formals, value, more = self.sums[e.args[0]]
            return ex.substitute(value, dict(zip(formals, e.args[1:]))), more
        places = {"mul": range(len(e.args)), "div": (0,), "neg": (0,), "cast": (0,) if e.dtype == "float32" else ()}
        for n in places.get(e.op, ()):
            operand, more = self._merge_sums(e.args[n], over)
            if more:
                args = (*e.args[:n], operand, *e.args[n + 1:])
                return Expr(e.op, args, e.dtype, e.not_negative), more
        return e, []

    def _reduction(self, node: Node, index: list[Index], name: str) -> Expr:
        source = node.args[0]
        rank = len(shape_of(source))
        dims = node.args[1] if len(node.args) > 1 else None
        dims = [dims] if isinstance(dims, int) else dims
        if not dims or len(dims) != 1:
            raise NotRegion(f"{name} over several dimensions")
        dim = dims[0] % rank
        keep = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
        rest = index[:dim] + index[dim + 1:] if keep else index
        if name in ("amax", "amin"):
            return self._reduce(source, dim, rest, "row_max" if name == "amax" else "row_min", REDUCTIONS[name])
        result = self._reduce(source, dim, rest, "row_sum", "sum", lambda e: ex.cast(e, "float32"))
        if name == "mean":
            size = shape_of(source)[dim]
            count = ex.const(size, "float32") if isinstance(size, int) else ex.cast(self._symbol(size), "float32")
            result = ex.make("div", result, count)
        return result

    def _softmax(self, node: Node, index: list[Index]) -> Expr:
        source = node.args[0]
        dim = node.args[1] % len(shape_of(source))
        rest = index[:dim] + index[dim + 1:]
        row_max = self._reduce(source, dim, rest, "row_max", "max", lambda e: ex.cast(e, "float32"))

        def exponential(e):
            return ex.make("exp", ex.make("sub", ex.cast(e, "float32"), row_max))

        row_sum = self._reduce(source, dim, rest, "row_sum", "sum", exponential)
        return ex.make("div", exponential(self.element(source, index)), row_sum)
