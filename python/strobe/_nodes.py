"""Nodes of ATen graphs, and indices into what they hold.

An index is a mixed-radix number over axes, so that merging dimensions and splitting them again cancels. Where a view
splits a single axis, that axis is replaced by several and reading starts again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import torch
from torch.fx import Node

from . import _expr as ex
from ._expr import Expr

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


class Unsized(Exception):
    """No tensor that is passed has an axis's size: it must be a constant."""

    def __init__(self, axis: "Axis"):
        self.axis = axis


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


@dataclass(eq=False)
class SymbolicStart:
    """A size that has no value yet, hashed by what holds it."""

    size: Any


@dataclass(frozen=True)
class Index:
    """digits, most significant first, and where they count from; or, where that is lost, any expression."""

    digits: tuple[Axis, ...] = ()
    value: Optional[Expr] = None  # in place of the digits
    axes_of_value: frozenset = frozenset()
    start: int | SymbolicStart = 0

    def moved(self, by: int) -> "Index":
        if not isinstance(self.start, int):
            raise NotRegion("a part of a dimension that begins behind a size")
        if self.value is None:
            return Index(self.digits, start=self.start + by)
        return Index((), ex.make("add", self.value, ex.const(by, "int32")), self.axes_of_value)

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
SUPPORTED = VIEWS | CREATIONS | set(REDUCTIONS) | SOFTMAX | POINTWISE | {"mean", "index", "getitem", "cat"}
SDPA = {"_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention", "scaled_dot_product_attention",
        "_scaled_dot_product_fused_attention_overrideable"}


def expr_of(index: Index) -> Expr:
    if not isinstance(index.start, int):
        raise NotRegion("a position behind a size")
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
    if result is None:
        return ex.const(index.start, "int32")
    return ex.make("add", result, ex.const(index.start, "int32")) if index.start else result


def smaller(a, b) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a < b
    if isinstance(a, int) and a == 1:
        return True
    if isinstance(b, int) and b == 1:
        return False
    return bool(statically_known_true(a < b))


def at_most(a, b) -> bool:
    return same(a, b) or smaller(a, b)


def extreme_of(node: Node) -> Optional[Node]:
    """The node max.dim or min.dim, if this one is the values that it gives."""
    source = node.args[0] if name_of(node) == "getitem" and node.args[1] == 0 else None
    return source if isinstance(source, Node) and name_of(source) in ("max", "min") and len(source.args) > 1 else None


def seams(node: Node, dim: int) -> list:
    """Sizes of the tensors that were joined along a dimension, counted from the last (-1), if pointwise work on them gives the node."""
    name, rank = name_of(node), len(shape_of(node))
    if name == "cat":
        at = node.args[1] if len(node.args) > 1 else 0
        return [shape_of(part)[dim] for part in node.args[0]] if at % rank == dim % rank else []
    if name in SOFTMAX or name in POINTWISE or name in ("_to_copy", "convert_element_type", "clone"):
        for source in node.all_input_nodes:
            value = source.meta.get("val")
            if isinstance(value, torch.Tensor) and value.dim() >= -dim and same(value.shape[dim], shape_of(node)[dim]):
                found = seams(source, dim) if source.op == "call_function" else []
                if found:
                    return found
    return []


def operands(node: Node) -> tuple:
    offset = 1 if name_of(node) in ("baddbmm", "addmm") else 0
    return node.args[offset], node.args[offset + 1]


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
