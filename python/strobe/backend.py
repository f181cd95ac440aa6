"""torch.compile(model, backend="strobe"): attention-shaped subgraphs become kernels, the rest goes to Inductor."""

from __future__ import annotations

import importlib.util
import operator
import os
import shutil
import threading
from dataclasses import dataclass
from typing import Optional

import torch
from torch.fx import GraphModule, Node

from ._library import ask, attention
from ._nodes import NotRegion, is_end, name_of, same
from ._region import Reader, Region
from .errors import StrobeError


@dataclass(frozen=True)
class Finding:
    """What became of one contraction: fused, or left to Inductor and why."""

    node: str
    fused: bool
    why: str
    where: str = ""  # the line of the model's code
    text: str = ""  # the algorithm

    def __str__(self) -> str:
        return f"{'fused' if self.fused else 'left '}  {self.node}: {self.why}" + (f"  ({self.where})" if self.where else "")


_findings: list[Finding] = []
_lock = threading.Lock()


def report(clear: bool = False) -> list[Finding]:
    """What the backend found in the graphs compiled so far, in order."""
    with _lock:
        found = list(_findings)
        if clear:
            _findings.clear()
        return found


def _note(finding: Finding) -> None:
    with _lock:
        _findings.append(finding)
    if os.environ.get("STROBE_REPORT"):
        print(f"strobe: {finding}")


def _where(node: Node) -> str:
    trace = node.meta.get("stack_trace") or ""
    lines = [line.strip() for line in trace.splitlines() if line.strip().startswith("File ")]
    return lines[-1] if lines else ""


def _target(node: Node) -> str:
    value = node.meta["val"]
    device = (value if isinstance(value, torch.Tensor) else value[0]).device.type
    return {"cpu": "host", "cuda": "sm_90a"}.get(device, device)


_LARGE = {"bmm", "_softmax", "_safe_softmax", "div", "exp"}


def _materialized_for(region: Region, fused: list[Region]) -> Optional[Node]:
    """A user, outside of all fused regions, of values as large as the scores: they would be computed for it anyway."""
    inner = set().union(*(r.inner for r in fused))
    ends = {r.node for r in fused}

    def leads_inside(user: Node, depth: int = 0) -> bool:
        if user in ends or user in inner:
            return True
        return depth < 8 and bool(user.users) and all(leads_inside(u, depth + 1) for u in user.users)

    for node in region.inner:
        if name_of(node) in _LARGE:
            for user in node.users:
                if not leads_inside(user):
                    return user
    return None


def _replace(graph: torch.fx.Graph, region: Region) -> None:
    end = region.node
    value = end.meta["val"]
    result = value if isinstance(value, torch.Tensor) else value[0]
    with graph.inserting_before(end):
        tensors = []
        for leaf in region.leaves:
            own = list(leaf.node.meta["val"].shape)
            if len(own) == len(leaf.view) and all(same(a, b) for a, b in zip(own, leaf.view)):
                tensors.append(leaf.node)
            else:
                view = graph.call_function(torch.ops.aten.view.default, (leaf.node, _sizes(graph, leaf.view, region)))
                view.meta["val"] = leaf.node.meta["val"].view(leaf.view)
                tensors.append(view)
        call = graph.call_function(attention, (region.text, tensors, []))
        call.meta["val"] = attention(region.text, [t.meta["val"] for t in tensors], [])
        out = graph.call_function(operator.getitem, (call, 0))
        out.meta["val"] = call.meta["val"][0]
        if list(out.meta["val"].shape) != list(result.shape):
            shaped = graph.call_function(torch.ops.aten.view.default, (out, _sizes(graph, list(result.shape), region)))
            shaped.meta["val"] = out.meta["val"].view(list(result.shape))
            out = shaped
    if isinstance(value, torch.Tensor):
        end.replace_all_uses_with(out)
    else:
        for user in list(end.users):
            user.replace_all_uses_with(out)


def _sizes(graph: torch.fx.Graph, sizes: list, region: Region) -> list:
    """Sizes as arguments of a node: of a symbolic one, the graph's own node for it."""
    result: list = []
    unknown = 0
    for size in sizes:
        if isinstance(size, int):
            result.append(size)
            continue
        found = _node_of_size(graph, size, region)
        result.append(found)
        unknown += found == -1
    if unknown > 1:
        raise NotRegion("several sizes of a view that no node of the graph gives")
    return result


def _node_of_size(graph: torch.fx.Graph, size, region: Region):
    for node in graph.nodes:
        if node is region.node:
            break
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt) and same(value, size):
            return node
    for leaf in region.leaves:
        for d, s in enumerate(leaf.node.meta["val"].shape):
            if same(s, size):
                node = graph.call_function(torch.ops.aten.sym_size.int, (leaf.node, d))
                node.meta["val"] = s
                return node
    return -1


def _candidates(gm: GraphModule) -> tuple[list[Region], list[tuple[Node, str]]]:
    """Regions that can be computed, and why others cannot."""
    regions, left = [], []
    for node in [n for n in gm.graph.nodes if is_end(n)]:
        try:
            if not isinstance(node.meta["val"], torch.Tensor) and any(
                u.target is not operator.getitem or (u.args[1] != 0 and len(u.users)) for u in node.users
            ):
                raise NotRegion("its log-sum-exp is used, for a backward pass")
            region = Reader(node).read()
            target = _target(node)
            # GPU kernels are refused by the last stage, too; compiled now, they are there for the first call.
            ask("strobe_python_check" if target == "host" else "strobe_python_compile", region.text, target)
            regions.append(region)
        except (NotRegion, StrobeError) as error:
            if str(error):
                left.append((node, str(error).strip()))
    return regions, left


def fuse(gm: GraphModule) -> int:
    """Replaces what can be fused in an ATen graph with operators; gives how many. Notes every finding."""
    regions, left = _candidates(gm)
    while True:
        used = [(r, user) for r in regions if (user := _materialized_for(r, regions)) is not None]
        if not used:
            break
        left += [(r.node, f"its weights are also used by {user.name}, which is not fused") for r, user in used]
        regions = [r for r in regions if all(r is not u for u, _ in used)]
    count, inner = 0, set()
    for region in regions:
        try:
            _replace(gm.graph, region)
        except (NotRegion, StrobeError) as error:
            left.append((region.node, str(error)))
            continue
        count += 1
        inner |= region.inner
        what = f"{len(region.leaves)} tensors, {len(region.inner)} nodes"
        _note(Finding(region.node.name, True, what, _where(region.node), region.text))
    for node, why in left:
        if node not in inner:  # scores, say, that are no attention by themselves, but part of one
            _note(Finding(node.name, False, why, _where(node)))
    if count:
        gm.graph.eliminate_dead_code()
        gm.recompile()
    return count


def _inductor_works(inputs) -> bool:
    cuda = any(isinstance(t, torch.Tensor) and t.is_cuda for t in inputs)
    if cuda:
        return importlib.util.find_spec("triton") is not None
    return any(shutil.which(c) for c in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def strobe_backend(gm: GraphModule, example_inputs: list, *, mode=None, options=None):
    """The backend. With a graph that needs gradients, nothing is fused: there are no backward kernels yet."""
    rest = (options or {}).get("rest", "inductor" if _inductor_works(example_inputs) else "eager")
    if rest == "inductor":
        from torch._inductor.compile_fx import compile_fx, compile_fx_inner

        def inner(graph, inputs, **kwargs):
            if kwargs.get("is_inference", False):
                fuse(graph)
            elif not kwargs.get("is_backward", False):
                _note(Finding("graph", False, "it needs gradients, and there are no backward kernels yet"))
            return compile_fx_inner(graph, inputs, **kwargs)

        # Its key knows nothing of what is fused behind it: another backend's entry would be taken, and ours by others.
        with torch._functorch.config.patch(enable_autograd_cache=False):
            return compile_fx(gm, example_inputs, inner_compile=inner)
    from functorch.compile import make_boxed_func
    from torch._decomp import core_aten_decompositions
    from torch._functorch.aot_autograd import aot_module_simplified

    def inference(graph, inputs):
        fuse(graph)
        return make_boxed_func(graph.forward)

    def training(graph, inputs):
        _note(Finding("graph", False, "it needs gradients, and there are no backward kernels yet"))
        return make_boxed_func(graph.forward)

    return aot_module_simplified(
        gm, example_inputs, fw_compiler=training, bw_compiler=training, inference_compiler=inference,
        decompositions=core_aten_decompositions(),
    )
