"""Reads an attention-shaped region of an ATen graph as an algorithm.

A region ends in a contraction whose one operand, the weights, is computed from other contractions by pointwise work and
reductions along the contracted axis. The result's element at given indices is followed back through the graph. What need not be
part of the region (projections, embeddings, stored biases) becomes a tensor that is passed to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

import torch
from torch.fx import Node

from . import _expr as ex
from ._dtypes import DTYPES
from ._elements import Elements, Leaf
from ._expr import Expr
from ._membership import Membership
from ._nodes import (
    CONTRACTIONS, POINTWISE, SDPA, SOFTMAX, SUPPORTED, ZERO, Index, NotRegion, Refine, Unsized, dtype_of, expr_of, is_one,
    name_of, operands, same, shape_of, summed_product
)
from .errors import TraceError


@dataclass
class Region:
    node: Node
    text: str
    leaves: list[Leaf]
    inner: set = field(default_factory=set)  # nodes that the region computes


#: What leaves a chain of products one, as long as the other operand is no matrix.
_LINEAR = {"add", "sub", "rsub", "mul", "div", "neg"}


class Attempt(Elements):
    """Reads the region as one kind, with axes split as they are known to be by now."""

    def contraction(self, weights_first: bool) -> Region:
        shape = shape_of(self.end)
        kinds = ["batch"] * (len(shape) - 2) + (["row", "feature"] if weights_first else ["feature", "row"])
        index = [self.axis(s, k, (self.end, n)) for n, (s, k) in enumerate(zip(shape, kinds))]
        stream = self._stream(shape_of(operands(self.end)[0])[-1])
        return self._weighted(index, stream, self._product(self.end, index, stream), name_of(self.end) == "mm")

    def sum_of_product(self, weights: Node, values: Node) -> Region:
        """A product and its sum along the keys, as broadcasting code writes a contraction."""
        source, dim = self.end.args[0], self.end.args[1][0]
        full = shape_of(source)
        dim %= len(full)
        own, other = (_padded(f, len(full)) for f in (weights, values))
        # What only the weights vary along are rows, what only the values do are features.
        kinds = ["feature" if is_one(o) else "row" if is_one(v) else "batch" for o, v in zip(own, other)]
        outer = [n for n in range(len(full)) if n != dim]
        index = [self.axis(full[n], kinds[n], (self.end, n)) for n in outer]
        stream = self._stream(full[dim])
        inside = [*index[:dim], stream, *index[dim:]]
        value = self._convert(self._pointwise(source, inside, "mul"), torch.float32)
        keep = self.end.args[2] if len(self.end.args) > 2 else self.end.kwargs.get("keepdim", False)
        return self._weighted([*index[:dim], ZERO, *index[dim:]] if keep else index, stream, value, False)

    def sdpa(self) -> Region:
        bound = self._sdpa_arguments()
        query, key, value = bound["query"], bound["key"], bound["value"]
        if bound.get("dropout_p", 0.0):
            raise NotRegion("it drops weights at random")
        shape = [*shape_of(query)[:-1], shape_of(value)[-1]]
        kinds = ["batch"] * (len(shape) - 2) + ["row", "feature"]
        index = [self.axis(s, k, (self.end, n)) for n, (s, k) in enumerate(zip(shape, kinds))]
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
        inner = self.axis(shape_of(query)[-1], "feature", (self.end, "inner"))
        names = [axis for part in (*batch, row) for axis in part.digits]
        scale = bound.get("scale")
        scale = float(shape_of(query)[-1]) ** -0.5 if scale is None else scale
        q = self.leaf(query, [*batch, row, inner])

        def score_at(stream: Index) -> Expr:
            k = self.leaf(key, [*kv_batch, stream, inner])
            product_ = ex.make("mul", ex.cast(q, "float32"), ex.cast(k, "float32"))
            at = [stream.digits[0], *reversed(names)]
            name = f"scores_{stream.digits[0].name}"
            s = self.algorithm.func(name, [ex.axis(a.name) for a in at], product_, "sum", ex.axis(inner.digits[0].name))
            s = ex.make("mul", s, ex.const(float(scale), "float32"))
            if bound.get("is_causal"):
                seen = ex.make("le", expr_of(stream), expr_of(row), dtype="bool")
                s = ex.select(seen, s, ex.const(float("-inf"), "float32"))
            mask = bound.get("attn_mask")
            if mask is not None:
                m = self._broadcast(mask, [*shape[:-1], length], [*batch, row, stream])
                if m.dtype == "bool":
                    return ex.select(m, s, ex.const(float("-inf"), "float32"))
                s = ex.make("add", s, ex.cast(m, "float32"))
            return s

        stream = self.axis(length, "stream", (self.end, "stream"))
        formals = [ex.axis(a.name) for a in reversed(names)]
        over = ex.axis(stream.digits[0].name)
        score = score_at(stream)
        row_max = self.algorithm.func("row_max", formals, score, "max", over)
        exponential = ex.make("exp", ex.make("sub", score, row_max))
        row_sum = self.algorithm.func("row_sum", formals, exponential, "sum", over)
        v = self.leaf(value, [*kv_batch, stream, feature])
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

    def _bends_scores(self) -> bool:
        """Something else than products lies between the contractions: a function of scores, or a factor of their size."""
        def of_their_size(a) -> bool:
            shape = shape_of(a) if isinstance(a.meta.get("val"), torch.Tensor) else []
            return len(shape) > 1 and not is_one(shape[-1]) and not is_one(shape[-2]) and not self.membership.reaches_contraction(a)

        for node in self.inner & set(self.membership.known_to_reach()):
            name = name_of(node)
            if name in POINTWISE and (name not in _LINEAR or any(of_their_size(a) for a in node.all_input_nodes)):
                return True
        return False

    def _has_heads(self) -> bool:
        """Features as few as heads have: batched perceptrons, which look the same, have more."""
        return all(isinstance(a.size, int) and a.size <= 256 for a in self.axes if a.kind == "feature")

    def _stream(self, size) -> Index:
        self.stream_size = size
        stream = self.axis(size, "stream", (self.end, "stream"))
        if len(stream.digits) != 1:
            raise NotRegion("keys along several axes")
        return stream

    def _weighted(self, index: list[Index], stream: Index, value: Expr, plain: bool) -> Region:
        """The region that sums `value` along the stream."""
        # Products of plain matrices may be projections with a norm between them, which has no exponential, or a perceptron.
        plain = plain and not (self.reductions and any(name_of(n) in {"exp", "exp2"} | SOFTMAX for n in self.inner))
        if plain or not (self.reductions or (self._bends_scores() and self._has_heads())):
            raise NotRegion("")
        if self.scores == 0:
            raise NotRegion("its scores are no contraction of queries and keys" if self.reductions else "")
        if self.problem:
            raise NotRegion(self.problem)
        rows = [a for part in index for a in part.digits if a.kind != "feature"]
        features = [a for part in index for a in part.digits if a.kind == "feature"]
        weighted = self.algorithm.func(
            "weighted_sum", [ex.axis(a.name) for a in (*reversed(features), *reversed(rows))], value, "sum",
            ex.axis(stream.digits[0].name)
        )
        return self._finish(index, weighted)

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
        declared = {s for leaf in self.leaves for s in leaf.sizes}
        for axis in self.axes:
            if isinstance(axis.size, int) and isinstance(axis.declared, str) and axis.declared not in declared:
                raise Unsized(axis)
        for leaf in self.leaves:
            names = [s if s is not None else f"{leaf.name}_n{n}" for n, s in enumerate(leaf.sizes)]
            self.algorithm.tensor(leaf.name, DTYPES[dtype_of(leaf.node)], list(reversed(names)))
        return Region(self.end, self.algorithm.text(["out"]), self.leaves, inner=self.inner)


def _padded(node: Node, rank: int) -> list:
    shape = shape_of(node)
    return [1] * (rank - len(shape)) + shape


class Reader:
    """Reads the region that ends in one node."""

    def __init__(self, end: Node):
        self.end = end
        self.splits: dict[tuple, list] = {}
        self.unsized: set[tuple] = set()
        self.latest: Optional[Attempt] = None

    def read(self) -> Region:
        for _ in range(24):
            try:
                return self._read()
            except Refine as refine:
                self.splits[refine.axis.key] = refine.sizes
            except Unsized as unsized:
                self.unsized.add(unsized.axis.key)
            except (NotRegion, TraceError) as error:
                # Without a reduction along the keys, it is no attention.
                why = str(error).split("\n")[0]
                if not (self.latest is not None and self.latest.reductions):
                    why = "another contraction lies between its softmax and itself, as where heads are mixed" if self._mixes_softmax() else ""
                raise NotRegion(why) from None
            finally:
                ex.forget_known()
        raise NotRegion("its views split axes without end")

    def _mixes_softmax(self) -> bool:
        """A softmax along the keys lies behind other contractions."""
        if name_of(self.end) not in CONTRACTIONS:
            return False
        keys = shape_of(operands(self.end)[0])[-1]
        stack, seen = [(operand, 0) for operand in operands(self.end)], set()
        while stack:
            node, passed = stack.pop()
            if node in seen or node.op != "call_function" or passed > 2:
                continue
            seen.add(node)
            name = name_of(node)
            if name in SOFTMAX and same(shape_of(node)[-1], keys):
                return True
            if name in CONTRACTIONS and same(shape_of(operands(node)[0])[-1], keys):
                continue  # summed over already
            if name in SUPPORTED or name in CONTRACTIONS:
                stack += [(source, passed + (name in CONTRACTIONS)) for source in node.all_input_nodes]
        return False

    def _attempt(self) -> Attempt:
        self.latest = Attempt(self.end, self.splits, self.unsized)
        return self.latest

    def _read(self) -> Region:
        if name_of(self.end) in SDPA:
            return self._attempt().sdpa()
        if name_of(self.end) == "sum":
            return self._first_of([lambda a, f=f: a.sum_of_product(*f) for f in self._summed()])
        if name_of(self.end) in ("baddbmm", "addmm") or dtype_of(self.end) == torch.float64:
            raise NotRegion("")
        reaches = Membership().reaches_contraction
        first, second = (reaches(operand) for operand in operands(self.end))
        return self._first_of([lambda a, w=w: a.contraction(w) for w in [True] * first + [False] * second])

    def _summed(self) -> list[tuple[Node, Node]]:
        """(weights, values): the factors of a product that is summed, in each order that may make sense."""
        factors = summed_product(self.end)
        if factors is None:
            return []
        rank = len(shape_of(self.end.args[0]))
        dim = self.end.args[1][0] % rank
        if any(is_one(_padded(f, rank)[dim]) for f in factors):
            return []
        reaches = Membership().reaches_contraction
        return [order for order in (factors, factors[::-1]) if reaches(order[0])]

    def _first_of(self, ways: list) -> Region:
        reasons = []
        for way in ways:
            try:
                return way(self._attempt())
            except NotRegion as error:
                reasons.append(str(error))
        raise NotRegion(next((r for r in reasons if r), ""))
