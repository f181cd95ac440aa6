"""Which nodes belong to a region, and which are tensors that are passed to it."""

from __future__ import annotations

import torch
from torch.fx import Node

from ._nodes import (
    CONTRACTIONS, CREATIONS, POINTWISE, SUPPORTED, VIEWS, Index, extreme_of, is_one, name_of, operands, shape_of
)


def _kinds(index: list[Index]) -> set:
    return {axis.kind for part in index for axis in part.axes()}


def _significant(node: Node) -> int:
    value = node.meta.get("val")
    return sum(not is_one(s) for s in value.shape) if isinstance(value, torch.Tensor) else 0


class Membership:
    """Remembers what it was asked."""

    def __init__(self):
        self.reaches: dict[Node, bool] = {}
        self.growing: dict[Node, bool] = {}

    def reaches_contraction(self, node: Node) -> bool:
        """Through operators that can be read, not counting what lies behind contractions."""
        if node not in self.reaches:
            self.reaches[node] = False
            name = name_of(node)
            if node.op == "call_function":
                if name in CONTRACTIONS:
                    self.reaches[node] = True
                elif name in SUPPORTED or name in ("max", "min"):
                    self.reaches[node] = any(self.reaches_contraction(a) for a in node.all_input_nodes)
        return self.reaches[node]

    def known_to_reach(self) -> list[Node]:
        return [node for node, reaches in self.reaches.items() if reaches]

    def _grows(self, node: Node) -> bool:
        """Computed from less than it holds: cheaper to compute than to read."""
        if node not in self.growing:
            self.growing[node] = False
            name = name_of(node) if node.op == "call_function" else ""
            inputs = [a for a in node.all_input_nodes if isinstance(a.meta.get("val"), torch.Tensor)]
            if name in CREATIONS:
                self.growing[node] = True
            elif name in VIEWS:
                self.growing[node] = self._grows(inputs[0]) or _significant(inputs[0]) < _significant(node)
            elif name in POINTWISE:
                here = _significant(node)
                self.growing[node] = bool(inputs) and all(self._grows(a) or _significant(a) < here for a in inputs)
            elif name == "index":
                self.growing[node] = all(self._grows(a) for a in inputs[1:]) and _significant(inputs[0]) < _significant(node)
        return self.growing[node]

    def expands(self, node: Node, index: list[Index]) -> bool:
        if node.op != "call_function":
            return False
        name, kinds = name_of(node), _kinds(index)
        score_like = "row" in kinds and "stream" in kinds
        if name in CONTRACTIONS:
            # An operand that varies along both already is as large as what it makes: the product is passed in.
            return score_like and not self._is_large(node, index)
        if name not in SUPPORTED or (name == "getitem" and extreme_of(node) is None):
            return False
        if name in CREATIONS:
            return True
        if self.reaches_contraction(node) and "row" in kinds and (score_like or "feature" not in kinds):
            return True
        return self._grows(node)

    def _is_large(self, node: Node, index: list[Index]) -> bool:
        sides = (index[:-1], [*index[:-2], index[-1]])
        for operand, side in zip(operands(node), sides):
            kinds = set()
            for size, part in zip(shape_of(operand)[:-2], side):
                kinds |= set() if is_one(size) else {a.kind for a in part.axes()}
            kinds |= {a.kind for a in side[-1].axes()}
            if {"row", "stream"} <= kinds:
                return True
        return False
