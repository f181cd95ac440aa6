"""Reads an attention-shaped region of an ATen graph as an algorithm.

A region ends in a contraction whose one operand, the weights, is computed from other contractions by pointwise work and
reductions along the contracted axis. The result's element at given indices is followed back through the graph: views
rewrite the indices, pointwise operators become expressions, reductions and contractions become functions of the algorithm.
What need not be part of the region (projections, embeddings, stored biases) becomes a tensor that is passed to it.

An index is a mixed-radix number over axes, so that merging dimensions and splitting them again cancels. Where a view
splits a single axis, that axis is replaced by several and reading starts again.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from torch.fx import Node

from . import _expr as ex
from ._algorithm import Algorithm
from ._expr import Expr
from ._dtypes import DTYPES
from ._trace import _METHODS, Proxy
from .errors import TraceError

try:
    from torch.fx.experimental.symbolic_shapes import statically_known_true
except ImportError:  # its old place

    def statically_known_true(x):
        return x is True


aten, prims = torch.ops.aten, torch.ops.prims


class NotRegion(Exception):
    """Why a contraction does not end a region that can be fused; "" if it is no attention at all."""


class Refine(Exception):
    """An axis must be split into axes of these sizes."""

    def __init__(self, axis: "Axis", sizes: list):
        self.axis, self.sizes = axis, sizes


def same(a, b) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return bool(statically_known_true(a == b))


def is_one(size) -> bool:
    return isinstance(size, int) and size == 1


def product(sizes):
    result = 1
    for s in sizes:
        result = result * s
    return result


@dataclass(eq=False)
class Axis:
    """Rows and streams decide what belongs to the region; a feature's size is a constant of the kernel."""

    size: Any
    kind: str  # "row", "stream", "feature", "batch"; "fixed" for a digit of one value
    name: str = ""
    declared: Any = None  # its size in the text
    key: tuple = ()  # the same at every attempt
    value: int = 0  # of a fixed digit

    def expr(self) -> Expr:
        return ex.const(self.value, "int32") if self.kind == "fixed" else ex.axis(self.name)


@dataclass(frozen=True)
class Index:
    """digits, most significant first; or, where that is lost, any expression."""

    digits: tuple[Axis, ...] = ()
    value: Optional[Expr] = None  # in place of the digits
    axes_of_value: frozenset = frozenset()

    def axes(self) -> frozenset:
        return self.axes_of_value if self.value is not None else frozenset(a for a in self.digits if a.kind != "fixed")


ZERO = Index()


def shape_of(node: Node) -> list:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        raise NotRegion(f"{node.name} is no tensor")
    return list(value.shape)


def dtype_of(node: Node) -> torch.dtype:
    return node.meta["val"].dtype


def name_of(node: Node) -> str:
    schema = getattr(node.target, "_schema", None)
    return schema.name.split("::")[-1] if schema is not None else getattr(node.target, "__name__", str(node.target))


FILL = -1e29

VIEWS = {"view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "unsqueeze", "squeeze", "slice", "select",
         "clone", "alias", "contiguous", "detach", "lift_fresh_copy", "_to_copy", "convert_element_type"}
CREATIONS = {"full", "arange", "iota", "ones", "zeros", "scalar_tensor", "full_like", "ones_like", "zeros_like", "new_zeros",
             "new_ones", "new_full"}
REDUCTIONS = {"amax": "max", "amin": "min", "sum": "sum"}
SOFTMAX = {"_softmax", "_safe_softmax", "softmax"}
CONTRACTIONS = {"mm", "bmm", "baddbmm", "addmm"}
POINTWISE = {"add", "sub", "rsub", "mul", "div", "neg", "abs", "exp", "exp2", "log", "log2", "log1p", "expm1", "sqrt", "rsqrt",
             "sin", "cos", "tan", "tanh", "sigmoid", "relu", "gelu", "silu", "where", "masked_fill", "minimum", "maximum", "clamp",
             "clamp_min", "clamp_max", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not",
             "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "floor", "ceil", "round", "trunc", "pow",
             "square", "reciprocal", "erf", "sign", "floor_divide", "remainder", "isinf", "isnan", "tril", "triu"}
SUPPORTED = VIEWS | CREATIONS | set(REDUCTIONS) | SOFTMAX | POINTWISE | {"mean", "index", "getitem"}
SDPA = {"_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention", "scaled_dot_product_attention",
        "_scaled_dot_product_fused_attention_overrideable"}


@dataclass
class Leaf:
    """A tensor that is passed in, viewed with these sizes."""

    node: Node
    view: list
    name: str


@dataclass
class Region:
    node: Node
    text: str
    leaves: list[Leaf]
    features: str = ""
    inner: set = field(default_factory=set)  # nodes that the region computes


class _NoTrace:
    """Stands for the trace that the pointwise implementations ask for; there are no captured tensors here."""

    fixed = False

    def name_of(self, tensor):
        raise TraceError("a constant tensor")


class Reader:
    """Reads the region that ends in one node."""

    def __init__(self, end: Node):
        self.end = end
        self.splits: dict[tuple, list] = {}  # the n-th axis made -> sizes of its parts

    def read(self) -> Region:
        for _ in range(24):
            try:
                return self._attempt()
            except Refine as refine:
                self.splits[refine.axis.key] = refine.sizes
            except (NotRegion, TraceError) as error:
                # Before any reduction along the keys was met, it is no attention.
                raise NotRegion(str(error).split("\n")[0] if self.reductions else "") from None
            finally:
                ex.forget_known()
        raise NotRegion("its views split axes without end")

    # -- axes ---------------------------------------------------------------------------------------------------------

    def _axis(self, size, kind: str, key: tuple) -> Index:
        """An axis, or those that it had to be split into."""
        axis = Axis(size, kind, key=key)
        if key in self.splits:
            parts = [self._axis(s, kind, (*key, n)) for n, s in enumerate(self.splits[key])]
            return Index(tuple(d for p in parts for d in p.digits))
        constant = kind == "feature" and isinstance(size, int)
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

    def _expr(self, index: Index) -> Expr:
        if index.value is not None:
            return index.value
        result = None
        for axis in index.digits:
            e = axis.expr()
            if result is None:
                result = e
            else:
                size = ex.const(axis.size, "int32") if isinstance(axis.size, int) else ex.size(axis.declared)
                result = ex.make("add", ex.make("mul", result, size), e)
        return result if result is not None else ex.const(0, "int32")

    # -- views --------------------------------------------------------------------------------------------------------

    def _reshape(self, old: list, new: list, index: list[Index]) -> list[Index]:
        """Indices into the old shape from those into the new one."""
        result: list[Index] = []
        i = j = 0
        while i < len(old) or j < len(new):
            olds, news = [old[i]] if i < len(old) else [], [new[j]] if j < len(new) else []
            i, j = i + len(olds), j + len(news)
            while not same(product(olds), product(news)):
                # The side that is behind takes another dimension.
                behind_old = i < len(old) and (j >= len(new) or _smaller(product(olds), product(news)))
                if behind_old:
                    olds.append(old[i])
                    i += 1
                elif j < len(new):
                    news.append(new[j])
                    j += 1
                else:
                    raise NotRegion("a view whose sizes cannot be compared")
            # Ones at the end belong to whoever is alone.
            result.extend(self._regroup(olds, news, index[j - len(news):j]))
        return result

    def _regroup(self, olds: list, news: list, index: list[Index]) -> list[Index]:
        if len(olds) == 1 and len(news) == 1:
            return index
        digits: list[Axis] = []
        for size, part in zip(news, index):
            if is_one(size) and not part.digits:
                continue
            if part.value is not None:
                if len([s for s in news if not is_one(s)]) == 1 and len([s for s in olds if not is_one(s)]) == 1:
                    return [part if not is_one(s) else ZERO for s in olds]
                raise NotRegion("a view of elements at computed positions")
            digits.extend(part.digits)
        result = []
        for n, size in enumerate(olds):
            taken: list[Axis] = []
            if is_one(size):
                result.append(ZERO)
                continue
            while not same(product([a.size for a in taken]), size):
                if not digits:
                    raise NotRegion("a view of a broadcast dimension")
                digit = digits.pop(0)
                if not taken and not same(digit.size, size) and not _smaller(digit.size, size):
                    # One axis covers several of the old dimensions.
                    sizes = [s for s in olds[n:] if not is_one(s)]
                    while len(sizes) > 1 and not same(product(sizes), digit.size):
                        sizes.pop()
                    if not same(product(sizes), digit.size) or len(sizes) < 2:
                        raise NotRegion("a view that splits an axis unevenly")
                    if digit.kind == "fixed":
                        raise NotRegion("a view that splits a fixed position")
                    raise Refine(digit, sizes)
                taken.append(digit)
                if len(taken) > 8:
                    raise NotRegion("a view that splits an axis unevenly")
            result.append(Index(tuple(taken)))
        if any(not is_one(d.size) for d in digits):
            raise NotRegion("a view that splits an axis unevenly")
        return result

    def _through_view(self, node: Node, index: list[Index]) -> tuple[Node, list[Index]]:
        name, source = name_of(node), node.args[0]
        old = shape_of(source)
        if name in ("clone", "alias", "contiguous", "detach", "lift_fresh_copy", "_to_copy", "convert_element_type"):
            return source, index
        if name in ("view", "_unsafe_view", "reshape"):
            return source, self._reshape(old, shape_of(node), index)
        if name == "expand":
            kept = index[len(index) - len(old):]
            new = shape_of(node)[len(index) - len(old):]
            return source, [ZERO if is_one(o) and not is_one(n) else k for o, n, k in zip(old, new, kept)]
        if name == "permute":
            result = [ZERO] * len(old)
            for n, d in enumerate(node.args[1]):
                result[d % len(old)] = index[n]
            return source, result
        if name in ("transpose", "t"):
            a, b = (node.args[1] % len(old), node.args[2] % len(old)) if name == "transpose" else (0, len(old) - 1)
            result = list(index)
            result[a], result[b] = result[b], result[a]
            return source, result
        if name == "unsqueeze":
            d = node.args[1] % (len(old) + 1)
            return source, index[:d] + index[d + 1:]
        if name == "squeeze":
            given = node.args[1] if len(node.args) > 1 else list(range(len(old)))
            dims = {d % len(old) for d in (given if isinstance(given, (list, tuple)) else [given])}
            rest = list(index)
            return source, [ZERO if d in dims and is_one(old[d]) else rest.pop(0) for d in range(len(old))]
        if name == "slice":
            d = (node.args[1] if len(node.args) > 1 else 0) % len(old)
            start = node.args[2] if len(node.args) > 2 and node.args[2] is not None else 0
            step = node.args[4] if len(node.args) > 4 else 1
            if step != 1 or not isinstance(start, int) or start < 0:
                raise NotRegion("a slice with a step or a computed start")
            length, whole = shape_of(node)[d], old[d]
            if start == 0 and same(length, whole):
                return source, index
            if isinstance(length, int) and isinstance(whole, int) and length and start % length == 0 and whole % length == 0:
                if index[d].value is None:  # a chunk
                    chunk = Axis(whole // length, "fixed", value=start // length)
                    return source, index[:d] + [Index((chunk, *index[d].digits))] + index[d + 1:]
            if start == 0:
                return source, index
            moved = ex.make("add", self._expr(index[d]), ex.const(start, "int32"))
            return source, index[:d] + [Index((), moved, index[d].axes())] + index[d + 1:]
        if name == "select":
            d, at = node.args[1] % len(old), node.args[2]
            if not isinstance(at, int) or at < 0:
                raise NotRegion("a selection at a computed position")
            return source, index[:d] + [Index((Axis(old[d], "fixed", value=at),))] + index[d:]
        raise NotRegion(f"{name} is not read")

    # -- what belongs to the region -----------------------------------------------------------------------------------

    def _kinds(self, index: list[Index]) -> set:
        return {axis.kind for part in index for axis in part.axes()}

    def _reaches_contraction(self, node: Node) -> bool:
        """Through operators that can be read, not counting what lies behind contractions."""
        if node not in self.reaches:
            self.reaches[node] = False
            name = name_of(node)
            if node.op == "call_function":
                if name in CONTRACTIONS:
                    self.reaches[node] = True
                elif name in SUPPORTED:
                    self.reaches[node] = any(self._reaches_contraction(a) for a in node.all_input_nodes)
        return self.reaches[node]

    def _significant(self, node: Node) -> int:
        value = node.meta.get("val")
        return sum(not is_one(s) for s in value.shape) if isinstance(value, torch.Tensor) else 0

    def _grows(self, node: Node) -> bool:
        """Computed from less than it holds: cheaper to compute than to read."""
        if node not in self.growing:
            self.growing[node] = False
            name = name_of(node) if node.op == "call_function" else ""
            inputs = [a for a in node.all_input_nodes if isinstance(a.meta.get("val"), torch.Tensor)]
            if name in CREATIONS:
                self.growing[node] = True
            elif name in VIEWS:
                self.growing[node] = self._grows(inputs[0]) or self._significant(inputs[0]) < self._significant(node)
            elif name in POINTWISE:
                here = self._significant(node)
                self.growing[node] = bool(inputs) and all(self._grows(a) or self._significant(a) < here for a in inputs)
            elif name == "index":
                self.growing[node] = all(self._grows(a) for a in inputs[1:]) and self._significant(inputs[0]) < self._significant(node)
        return self.growing[node]

    def _expands(self, node: Node, index: list[Index]) -> bool:
        if node.op != "call_function":
            return False
        name, kinds = name_of(node), self._kinds(index)
        score_like = "row" in kinds and "stream" in kinds
        if name in CONTRACTIONS:
            # An operand that varies along both already is as large as what it makes: the product is passed in.
            return score_like and not self._is_large(node, index)
        if name not in SUPPORTED or name == "getitem":
            return False
        if name in CREATIONS:
            return True
        if self._reaches_contraction(node) and "row" in kinds and (score_like or "feature" not in kinds):
            return True
        return self._grows(node)

    def _is_large(self, node: Node, index: list[Index]) -> bool:
        sides = (index[:-1], [*index[:-2], index[-1]])
        for operand, side in zip(self._operands(node), sides):
            kinds = set()
            for size, part in zip(shape_of(operand)[:-2], side):
                kinds |= set() if is_one(size) else {a.kind for a in part.axes()}
            kinds |= {a.kind for a in side[-1].axes()}
            if {"row", "stream"} <= kinds:
                return True
        return False

    # -- elements -----------------------------------------------------------------------------------------------------

    def _leaf(self, node: Node, index: list[Index]) -> Expr:
        dtype = dtype_of(node)
        if dtype not in DTYPES:
            raise NotRegion(f"{node.name} is of type {dtype}")
        sizes, indices, view = [], [], []
        shape = shape_of(node)
        if not shape:
            shape, index = [1], [ZERO]
        for size, part in zip(shape, index):
            whole = same(product([axis.size for axis in part.digits]), size)
            if part.value is not None or (part.digits and not whole):
                sizes.append(None)  # a computed position, or in a part of the dimension
                indices.append(self._expr(part))
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
            self.known[key] = self._compute(node, index) if self._expands(node, index) else self._leaf(node, index)
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
        if name in SOFTMAX:
            return self._softmax(node, index)
        if name in CREATIONS:
            return self._creation(node, index, name)
        if name in ("_to_copy", "convert_element_type"):
            return self._convert(self.element(node.args[0], index), dtype_of(node))
        if name in VIEWS:
            source, inner = self._through_view(node, index)
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
            row, column = self._expr(index[-2]), self._expr(index[-1])
            inside = ex.make("le" if name == "tril" else "ge", column, ex.make("add", row, diagonal), dtype="bool")
            return ex.select(inside, x, ex.const(0, x.dtype))
        def value(a):
            # Plain numbers stay plain: they give way to tensors when types are promoted.
            plain = not isinstance(a, Node)
            return a if plain else Proxy(self.trace, self._broadcast(a, shape, index))
        args = [value(a) if not isinstance(a, (list, tuple, str)) and a is not None else a for a in node.args]
        kwargs = {k: value(v) if isinstance(v, Node) else v for k, v in node.kwargs.items() if k not in ("out", "dtype")}
        result = _METHODS[name](self.trace, *args, **kwargs).e
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
        at = self._expr(index[0])
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
        return self._leaf(source, parts)

    # -- functions ----------------------------------------------------------------------------------------------------

    def _function(self, node: Node, index: list[Index], label: str, op: str, make) -> Expr:
        """The call of a reduction over one axis. Indices that differ only in the names of axes share a function."""
        axes: list[Axis] = []
        pattern = []
        for part in index:
            if part.value is not None:
                raise NotRegion("a reduction at computed positions")
            for axis in part.digits:
                if axis.kind != "fixed" and axis not in axes:
                    axes.append(axis)
            pattern.append(
                tuple(("fixed", a.value) if a.kind == "fixed" else (axes.index(a), a.declared) for a in part.digits)
            )
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

    def _operands(self, node: Node) -> tuple:
        offset = 1 if name_of(node) in ("baddbmm", "addmm") else 0
        return node.args[offset], node.args[offset + 1]

    def _product(self, node: Node, index: list[Index], inner: Index) -> Expr:
        a, b = self._operands(node)
        batch = index[:-2]
        x = self.element(a, [*batch, index[-2], inner])
        y = self.element(b, [*batch, inner, index[-1]])
        return ex.make("mul", ex.cast(x, "float32"), ex.cast(y, "float32"))

    def _contraction(self, node: Node, index: list[Index]) -> Expr:
        length = shape_of(self._operands(node)[0])[-1]

        def make():
            inner = self._axis(length, "feature", (node, "inner", len(self.functions)))
            if len(inner.digits) != 1:
                raise NotRegion("" if name_of(node) == "mm" else "scores contracted over several dimensions")
            return self._product(node, index, inner), ex.axis(inner.digits[0].name)

        self.scores += 1
        result = self._function(node, index, "scores", "sum", make)
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
        """Reduces the source along dim; `index` has no place for it."""
        self.reductions += self.stream_size is None or same(shape_of(source)[dim], self.stream_size)
        dim %= len(shape_of(source))

        def make():
            # The keys once more, or a sum inside a score.
            size = shape_of(source)[dim]
            kind = "stream" if self.stream_size is None or same(size, self.stream_size) else "feature"
            inner = self._axis(size, kind, (source, dim, label, len(self.functions)))
            if len(inner.digits) != 1:
                raise NotRegion("a reduction over several axes")
            e = self.element(source, [*index[:dim], inner, *index[dim:]])
            e, over = of(e) if of else e, ex.axis(inner.digits[0].name)
            if op == "sum" and kind == "feature":
                e, more = self._merge_sums(e, over)
                return (e, over, *more)
            return e, over

        return self._function(source, index, label, op, make)

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

    # -- the whole ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.algorithm = Algorithm("attention")
        self.axes: list[Axis] = []
        self.size_names: list[tuple[Any, str]] = []
        self.leaves: list[Leaf] = []
        self.known: dict = {}
        self.functions: dict = {}
        self.sums: dict[str, tuple[list[Expr], Expr, list[Expr]]] = {}  # name: arguments, what is summed, over what
        self.reaches: dict = {}
        self.growing: dict = {}
        self.inner: set = set()
        self.scores = self.reductions = 0
        self.problem = ""
        self.stream_size = None
        self.trace = _NoTrace()

    def _finish(self, index: list[Index], value: Expr) -> Region:
        """The output has the end's dimensions, each split into its axes."""
        digits = [axis for part in index for axis in part.digits]
        dtype = dtype_of(self.end) if isinstance(self.end.meta["val"], torch.Tensor) else self.end.meta["val"][0].dtype
        out_type = DTYPES[dtype]
        if out_type not in ("float32", "float16", "bfloat16"):
            raise NotRegion(f"results of type {dtype}")
        if out_type != "float32":
            value = Expr("cast", (value,), out_type)
        self.algorithm.func("out", [ex.axis(a.name) for a in reversed(digits)], value)
        if len(digits) > 8:
            raise NotRegion(f"a result of {len(digits)} dimensions")
        for leaf in self.leaves:
            names = [s if s is not None else f"{leaf.name}_n{n}" for n, s in enumerate(leaf.sizes)]
            self.algorithm.tensor(leaf.name, DTYPES[dtype_of(leaf.node)], list(reversed(names)))
        return Region(self.end, self.algorithm.text(["out"]), self.leaves, inner=self.inner)

    def _attempt(self) -> Region:
        self._start()
        if name_of(self.end) in SDPA:
            return self._attempt_sdpa()
        if name_of(self.end) == "sum":
            return self._attempt_sum()
        a, b = self._operands(self.end)
        if name_of(self.end) in ("baddbmm", "addmm") or dtype_of(self.end) == torch.float64:
            raise NotRegion("")
        weights_first = self._reaches_contraction(a)
        weights_second = self._reaches_contraction(b)
        if not (weights_first or weights_second):
            raise NotRegion("")
        reasons = []
        for first in [True] * weights_first + [False] * weights_second:
            self._start()
            try:
                return self._read_contraction(first)
            except NotRegion as error:
                reasons.append(str(error))
        raise NotRegion(next((r for r in reasons if r), ""))

    def _read_contraction(self, weights_first: bool) -> Region:
        shape = shape_of(self.end)
        kinds = ["batch"] * (len(shape) - 2) + (["row", "feature"] if weights_first else ["feature", "row"])
        index = [self._axis(s, k, (self.end, n)) for n, (s, k) in enumerate(zip(shape, kinds))]
        stream = self._stream(shape_of(self._operands(self.end)[0])[-1])
        return self._weighted(index, stream, self._product(self.end, index, stream), name_of(self.end) == "mm")

    def _attempt_sum(self) -> Region:
        """A product and its sum along the keys, as broadcasting code writes a contraction."""
        factors = summed_product(self.end)
        if factors is None:
            raise NotRegion("")
        source, dim = self.end.args[0], self.end.args[1][0]
        full = shape_of(source)
        dim %= len(full)
        reasons = []
        for weights, values in (factors, factors[::-1]):
            own, other = ([1] * (len(full) - len(shape_of(f))) + shape_of(f) for f in (weights, values))
            if is_one(own[dim]) or is_one(other[dim]) or not self._reaches_contraction(weights):
                continue
            self._start()
            try:
                # What only the weights vary along are rows, what only the values do are features.
                kinds = ["feature" if is_one(o) else "row" if is_one(v) else "batch" for o, v in zip(own, other)]
                outer = [n for n in range(len(full)) if n != dim]
                index = [self._axis(full[n], kinds[n], (self.end, n)) for n in outer]
                stream = self._stream(full[dim])
                inside = [*index[:dim], stream, *index[dim:]]
                value = self._convert(self._pointwise(source, inside, "mul"), torch.float32)
                keep = self.end.args[2] if len(self.end.args) > 2 else self.end.kwargs.get("keepdim", False)
                return self._weighted([*index[:dim], ZERO, *index[dim:]] if keep else index, stream, value, False)
            except NotRegion as error:
                reasons.append(str(error))
        raise NotRegion(next((r for r in reasons if r), ""))

    def _stream(self, size) -> Index:
        self.stream_size = size
        stream = self._axis(size, "stream", (self.end, "stream"))
        if len(stream.digits) != 1:
            raise NotRegion("keys along several axes")
        return stream

    def _weighted(self, index: list[Index], stream: Index, value: Expr, plain: bool) -> Region:
        """The region that sums `value` along the stream."""
        # Without a reduction along the keys it is a chain of products, such as projections or a perceptron.
        # Products of plain matrices may also be projections with a norm between them, which has no exponential.
        plain = plain and not any(name_of(n) in {"exp", "exp2"} | SOFTMAX for n in self.inner)
        if self.scores == 0 or self.reductions == 0 or plain:
            raise NotRegion("")
        if self.problem:
            raise NotRegion(self.problem)
        rows = [a for part in index for a in part.digits if a.kind != "feature"]
        features = [a for part in index for a in part.digits if a.kind == "feature"]
        weighted = self.algorithm.func(
            "weighted_sum", [ex.axis(a.name) for a in (*reversed(features), *reversed(rows))], value, "sum",
            ex.axis(stream.digits[0].name)
        )
        return self._finish(index, weighted)

    def _attempt_sdpa(self) -> Region:
        bound = self._sdpa_arguments()
        query, key, value = bound["query"], bound["key"], bound["value"]
        if bound.get("dropout_p", 0.0):
            raise NotRegion("it drops weights at random")
        shape = [*shape_of(query)[:-1], shape_of(value)[-1]]
        kinds = ["batch"] * (len(shape) - 2) + ["row", "feature"]
        index = [self._axis(s, k, (self.end, n)) for n, (s, k) in enumerate(zip(shape, kinds))]
        if any(len(part.digits) != 1 for part in index):
            raise NotRegion("a query whose dimensions are split")
        batch, row, feature = index[:-2], index[-2], index[-1]
        length = shape_of(key)[-2]
        heads, kv_heads = shape_of(query)[-3], shape_of(key)[-3]
        kv_batch = list(batch)
        if not same(heads, kv_heads):
            if not (isinstance(heads, int) and isinstance(kv_heads, int) and heads % kv_heads == 0):
                raise NotRegion("heads of query and key that are not known to be multiples")
            key_of_head = (self.end, len(shape) - 3)
            if len(batch[-1].digits) == 1 and key_of_head not in self.splits and kv_heads != 1:
                raise Refine(batch[-1].digits[0], [kv_heads, heads // kv_heads])
            kv_batch[-1] = ZERO if kv_heads == 1 else Index(batch[-1].digits[:1])
        inner = self._axis(shape_of(query)[-1], "feature", (self.end, "inner"))
        names = [axis for part in (*batch, row) for axis in part.digits]
        scale = bound.get("scale")
        scale = float(shape_of(query)[-1]) ** -0.5 if scale is None else scale
        q = self._leaf(query, [*batch, row, inner])

        def score_at(stream: Index) -> Expr:
            k = self._leaf(key, [*kv_batch, stream, inner])
            product_ = ex.make("mul", ex.cast(q, "float32"), ex.cast(k, "float32"))
            at = [stream.digits[0], *reversed(names)]
            name = f"scores_{stream.digits[0].name}"
            s = self.algorithm.func(name, [ex.axis(a.name) for a in at], product_, "sum", ex.axis(inner.digits[0].name))
            s = ex.make("mul", s, ex.const(float(scale), "float32"))
            if bound.get("is_causal"):
                seen = ex.make("le", self._expr(stream), self._expr(row), dtype="bool")
                s = ex.select(seen, s, ex.const(float("-inf"), "float32"))
            mask = bound.get("attn_mask")
            if mask is not None:
                m = self._broadcast(mask, [*shape[:-1], length], [*batch, row, stream])
                if m.dtype == "bool":
                    return ex.select(m, s, ex.const(float("-inf"), "float32"))
                s = ex.make("add", s, ex.cast(m, "float32"))
            return s

        stream = self._axis(length, "stream", (self.end, "stream"))
        formals = [ex.axis(a.name) for a in reversed(names)]
        over = ex.axis(stream.digits[0].name)
        score = score_at(stream)
        row_max = self.algorithm.func("row_max", formals, score, "max", over)
        exponential = ex.make("exp", ex.make("sub", score, row_max))
        row_sum = self.algorithm.func("row_sum", formals, exponential, "sum", over)
        v = self._leaf(value, [*kv_batch, stream, feature])
        weighted = ex.make("mul", ex.make("div", exponential, row_sum), ex.cast(v, "float32"))
        out = self.algorithm.func("weighted_sum", [ex.axis(feature.digits[0].name), *formals], weighted, "sum", over)
        return self._finish(index, out)

    def _sdpa_arguments(self) -> dict:
        schema = self.end.target._schema
        bound = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        bound.update({a.name: v for a, v in zip(schema.arguments, self.end.args)})
        bound.update(self.end.kwargs)
        bound["attn_mask"] = bound.get("attn_mask", bound.get("attn_bias"))
        return bound


def _smaller(a, b) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a < b
    if isinstance(a, int) and a == 1:
        return True
    if isinstance(b, int) and b == 1:
        return False
    return bool(statically_known_true(a < b))


def summed_product(node: Node) -> Optional[tuple[Node, Node]]:
    """The factors, if the node is the sum of a product of two tensors along one dimension."""
    source = node.args[0] if node.args else None
    if name_of(node) != "sum" or not isinstance(source, Node) or name_of(source) != "mul":
        return None
    factors = tuple(a for a in source.args if isinstance(a, Node) and isinstance(a.meta.get("val"), torch.Tensor))
    dims = node.args[1] if len(node.args) > 1 else None
    return factors if len(factors) == 2 and isinstance(dims, (list, tuple)) and len(dims) == 1 else None


def is_end(node: Node) -> bool:
    if node.op != "call_function":
        return False
    return name_of(node) in ("bmm", "mm") or name_of(node) in SDPA or summed_product(node) is not None
