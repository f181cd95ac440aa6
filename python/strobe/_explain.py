"""strobe.explain: what would be compiled for a call, and why."""

from __future__ import annotations

from typing import Any, Callable

import torch

from . import backend, flex
from ._library import ask


def explain(fn: Callable, *args: Any, target: str | None = None, **kwargs: Any) -> str:
    """What Strobe makes of fn(*args, **kwargs): the derivation with its reasons, the mask's tiles, the schedule, the program.

    `fn` is strobe.flex_attention, or any function or module that torch.compile takes: then every attention that was found in
    it is explained, and what was left says why. Nothing of a flex_attention call is run; another function runs once.

    Args:
        target: "host" or "sm_90a"; by default, where the tensors are.
    """
    tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)]
    where = target or ("sm_90a" if any(t.is_cuda for t in tensors) else "host")
    if fn is flex.flex_attention:
        allowed = {k: v for k, v in kwargs.items() if k in ("query", "key", "value", "score_mod", "block_mask", "enable_gqa", "scale")}
        names = ("query", "key", "value", "score_mod", "block_mask", "scale", "enable_gqa")
        allowed.update(zip(names, args))
        return ask("strobe_python_explain", flex.describe_flex_attention(**allowed), where)
    torch._dynamo.reset()
    backend.report(clear=True)
    with torch.no_grad():
        torch.compile(fn, backend="strobe", options={"rest": "eager"})(*args, **kwargs)
    parts = []
    for finding in backend.report():
        parts.append(str(finding))
        if finding.text:
            parts.append(ask("strobe_python_explain", finding.text, where))
    return "\n".join(parts) or "No attention was found."
