"""Strobe: attention compiled from Halide algorithms, for PyTorch.

    import strobe
    out = strobe.flex_attention(query, key, value, block_mask=lambda b, h, q, kv: q >= kv)
"""

from . import backend
from ._explain import explain
from ._library import attention
from ._named import operators
from .errors import ArgumentError, CompileError, GradientError, StrobeError, TraceError
from .flex import AuxOutput, flex_attention

__all__ = [
    "ArgumentError",
    "AuxOutput",
    "CompileError",
    "GradientError",
    "StrobeError",
    "TraceError",
    "attention",
    "backend",
    "explain",
    "flex_attention",
    "operators",
]


def _register() -> None:
    import torch._dynamo

    from .backend import strobe_backend

    if "strobe" not in torch._dynamo.list_backends(exclude_tags=()):
        torch._dynamo.register_backend(name="strobe")(strobe_backend)


_register()
