"""flex_attention inside a graph that Dynamo captures, without a break.

Dynamo reads score_mod and the mask as the body of a higher-order operator, so that what they capture becomes inputs of the
graph, and guards are set on the rest. Whoever runs that graph (AOTAutograd, as a rule) gets torch.ops.strobe.attention with the
algorithm text in its place: the body is evaluated with proxies, as the functions themselves are in eager calls.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
from torch.fx import GraphModule, Node
from torch.overrides import TorchFunctionMode

from .errors import TraceError

_NAME = "strobe_flex_attention"
_MARKED = 8  # tensors of a body whose places are looked up: query, key, value, score, b, h, q_idx, kv_idx


class _ElementsByTensor(TorchFunctionMode):
    """tensor[q_idx] stays in the graph, where torch would ask for the number behind q_idx."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.__getitem__:
            tensor, index = args
            index = index if isinstance(index, tuple) else (index,)
            if any(isinstance(i, torch.Tensor) for i in index) and all(isinstance(i, (torch.Tensor, int)) for i in index):
                return torch.ops.aten.index(tensor, [torch.as_tensor(i, device=tensor.device) for i in index])
        return func(*args, **(kwargs or {}))


def _evaluate(body: GraphModule, result: Node, given: dict[Node, Any]) -> Any:
    """The value of a node of the body; `given` are those of its inputs."""
    wanted: set[Node] = set()
    stack = [result]
    while stack:
        node = stack.pop()
        if node not in wanted:
            wanted.add(node)
            stack.extend(node.all_input_nodes)
    known = dict(given)
    for node in body.graph.nodes:
        if node in wanted and node not in known:
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
            try:
                known[node] = _call(body, node, args, kwargs)
            except TraceError as error:
                raise TraceError(f"{str(error).splitlines()[0]}\n{_line_of(node)}") from None
    return known[result]


def _call(body: GraphModule, node: Node, args, kwargs) -> Any:
    if node.op == "call_function":
        return node.target(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    owner = body
    for part in str(node.target).split("."):
        owner = getattr(owner, part)
    return owner if node.op == "get_attr" else owner(*args, **kwargs)


def _line_of(node: Node) -> str:
    """The user's line, as a traceback shows it."""
    lines = (node.meta.get("stack_trace") or "").rstrip().splitlines()
    return "\n".join(lines[-2:]) if lines else str(node.target)


class _Body:
    """score_mod and mask_mod again, out of a captured body and its operands."""

    def __init__(self, body: GraphModule, operands: tuple):
        self.body = body
        nodes = list(body.graph.nodes)
        self.given = dict(zip((n for n in nodes if n.op == "placeholder"), operands))
        # A tensor that is passed twice has one place, so places are told by what the body does first.
        marks = [n for n in nodes if n.op == "call_function" and n.target is torch.empty_like][:_MARKED]
        self.marked = [n.args[0] for n in marks]
        self.results = nodes[-1].args[0]

    def tensors(self) -> list[torch.Tensor]:
        return [self.given[n] for n in self.marked[:3]]

    def score_mod(self, *arguments):
        return self._value(self.results[-2], dict(zip(self.marked[3:], arguments)))

    def mask_mod(self, *arguments):
        return self._value(self.results[-1], dict(zip(self.marked[4:], arguments)))

    def _value(self, result, arguments):
        return _evaluate(self.body, result, {**self.given, **arguments}) if isinstance(result, Node) else result


def _run(body, *operands, scale, enable_gqa: bool, has_score: bool, has_mask: bool, lse: bool, max_scores: bool):
    from . import flex

    functions = _Body(body, operands)
    query, key, value = functions.tensors()
    score_mod, mask_mod = functions.score_mod if has_score else None, functions.mask_mod if has_mask else None
    outputs = flex.by_text(query, key, value, score_mod, mask_mod, scale, enable_gqa, lse, max_scores)
    return (*outputs, query.new_empty(()), query.new_empty(()))  # nothing reads the last two


def _operator() -> tuple[Optional[Callable], str]:
    """The higher-order operator, or why this torch has no place for one: torch has no public way to make one that Dynamo reads."""
    try:
        from torch._dynamo.variables import higher_order_ops
        from torch._higher_order_ops.base_hop import BaseHOP

        class Operator(BaseHOP):
            def __init__(self):
                super().__init__(_NAME)

            def __call__(self, body, *operands, **options):
                # Nothing to dispatch on: it is made of operators that are dispatched themselves.
                return _run(body, *operands, **options)

        class Variable(higher_order_ops.BaseHOPVariable):
            def _call_function(self, tx, args, kwargs):
                with _ElementsByTensor():
                    return super()._call_function(tx, args, kwargs)

        higher_order_ops._hop_name_to_variable_class[_NAME] = Variable
        return Operator(), ""
    except (ImportError, AttributeError, TypeError) as error:
        return None, str(error)


_flex, why_not = _operator()
available = _flex is not None


def flex_attention(query, key, value, score_mod, mask_mod, scale, enable_gqa: bool, lse: bool, max_scores: bool) -> Any:
    """What Dynamo reads in the place of strobe.flex_attention: (out, lse and max_scores as wanted)."""

    def body(query, key, value, score, b, h, q_idx, kv_idx):
        for marked in (query, key, value, score, b, h, q_idx, kv_idx):
            torch.empty_like(marked)
        rows = query.shape[:3]
        # Only types and sizes of these are looked at.
        results = [query.new_empty((*rows, value.shape[-1]))]
        for wanted in (lse, max_scores):
            if wanted:
                results.append(query.new_empty(rows, dtype=torch.float32))
        new_score = score if score_mod is None else score_mod(score, b, h, q_idx, kv_idx)
        seen = True if mask_mod is None else mask_mod(b, h, q_idx, kv_idx)
        new_score = new_score if isinstance(new_score, torch.Tensor) else torch.as_tensor(new_score)
        seen = seen if isinstance(seen, torch.Tensor) else torch.as_tensor(seen)
        return (*results, new_score * 1, seen.logical_not().logical_not())  # no output may be an input

    score = query.new_empty((), dtype=torch.float32)
    b, h, q_idx, kv_idx = (query.new_empty((), dtype=torch.int32) for _ in range(4))
    results = _flex(
        body, query, key, value, score, b, h, q_idx, kv_idx, scale=scale, enable_gqa=enable_gqa,
        has_score=score_mod is not None, has_mask=mask_mod is not None, lse=lse, max_scores=max_scores
    )
    return results[:-2]
