"""flex_attention: the meaning of torch.nn.attention.flex_attention, compiled by Strobe."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Callable, NamedTuple, Optional, Union

import torch

from . import _expr as ex
from . import _in_graph
from ._algorithm import Algorithm, softmax_attention
from ._closure import signature
from ._dtypes import DTYPES
from ._library import any_autocast as _any_autocast
from ._library import ask, attention, below_autograd, family_call
from ._library import dispatch_modes as _dispatch_modes
from ._trace import Trace, trace_function
from .errors import ArgumentError, GradientError, operator_error

ScoreMod = Callable[..., torch.Tensor]
MaskMod = Callable[..., torch.Tensor]


class AuxOutput(NamedTuple):
    """What return_aux asks for; the others are None."""

    lse: Optional[torch.Tensor] = None
    max_scores: Optional[torch.Tensor] = None


@dataclass(frozen=True)
class Family:
    """What calls with the same functions share: programs for the types and sizes met so far."""

    number: int
    captured: tuple[int, ...]  # positions among the tensors that the functions hold
    call: Callable  # of _library.family_call
    types: Optional[tuple] = None  # of the tensors that the functions hold, if they asked for them


_families: dict[Any, tuple[Family, ...]] = {}  # several where types decide what is done
_lock = threading.RLock()
_announced: set[str] = set()
_is_compiling, _grad_enabled = torch.compiler.is_compiling, torch.is_grad_enabled  # found faster than in torch
_QUERY_TYPES = (torch.float32, torch.float16, torch.bfloat16)
_PLAIN_TENSORS = (torch.Tensor, torch.nn.Parameter)


def flex_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    score_mod: Optional[ScoreMod] = None,
    block_mask: Union["torch.nn.attention.flex_attention.BlockMask", MaskMod, None] = None,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Optional[dict] = None,
    *,
    return_aux: Any = None,
) -> Any:
    """softmax(score_mod(query @ key^T * scale), masked) @ value, without ever storing the scores.

    The same signature and meaning as ``torch.nn.attention.flex_attention.flex_attention``. `score_mod` and the mask are
    traced once; the tensors that they capture are passed to the kernel, so new values and new lengths need no compilation.

    Args:
        query: (B, Hq, Sq, D), float32, float16 or bfloat16; any strides.
        key: (B, Hkv, Sk, D); B may be 1 for all of query's.
        value: (B, Hkv, Sk, Dv).
        score_mod: score_mod(score, b, h, q_idx, kv_idx) gives the score to use.
        block_mask: a BlockMask, whose mask_mod is used, or a mask_mod(b, h, q_idx, kv_idx) itself; a BlockMask need
            not be built.
        scale: of the scores; by default 1 / sqrt(D).
        enable_gqa: lets Hq be a multiple of Hkv: each key head serves consecutive query heads.
        return_lse: also gives the natural logarithm of each row's sum of exponentials, (B, Hq, Sq) float32.
        kernel_options: accepted and ignored; Strobe schedules by itself.
        return_aux: an AuxRequest; gives (out, AuxOutput) with lse and max_scores as asked for.

    Returns:
        out (B, Hq, Sq, Dv), or (out, lse), or (out, AuxOutput). A row that sees no key has out 0 and lse -inf.

    An element of a captured tensor outside its bounds is read at the nearest legal index. Trigonometric and other
    functions of scores are computed in float32.

    Raises:
        ArgumentError: a tensor's type, rank, size or device is not legal.
        TraceError: score_mod or the mask does something that cannot be compiled; names the file and line.
        GradientError: a tensor requires grad while grad mode is on; there is no backward pass yet.
    """
    del kernel_options
    if _is_compiling():
        capture = _captured if _in_graph.available else _outside
        return capture(query, key, value, score_mod, block_mask, scale, enable_gqa, return_lse, return_aux=return_aux)
    mask_mod = block_mask if block_mask is None or type(block_mask) is FunctionType else _mask_mod_of(block_mask)
    lse, max_scores = (bool(return_lse), False) if return_aux is None else _wanted(return_lse, return_aux)
    held: list[torch.Tensor] = []
    score_key, mask_key = signature(score_mod, held), signature(mask_mod, held)
    family_key = None if score_key is None or mask_key is None else (score_key, mask_key, bool(enable_gqa), lse, max_scores)
    outputs = None
    for family in _families.get(family_key, ()):
        outputs = _call_again(family, query, key, value, held, scale)
        if outputs is not None:
            break
    if outputs is None:
        wanted = (lse, max_scores)
        outputs = _first_call(query, key, value, score_mod, mask_mod, scale, enable_gqa, wanted, held, family_key)
    return _as_asked(outputs, return_aux, lse, max_scores)


def _as_asked(outputs, return_aux: Any, lse: bool, max_scores: bool) -> Any:
    """What flex_attention gives, of the output or outputs."""
    if return_aux is None:
        return (outputs[0], outputs[1]) if lse else outputs
    if not (lse or max_scores):
        return outputs, AuxOutput()
    return outputs[0], AuxOutput(lse=outputs[1] if lse else None, max_scores=outputs[-1] if max_scores else None)


def _wanted(return_lse: bool, return_aux: Any) -> tuple[bool, bool]:
    """Whether lse and max_scores are."""
    if return_lse:
        raise ArgumentError("return_lse and return_aux exclude each other; ask for AuxRequest(lse=True)")
    return bool(getattr(return_aux, "lse", False)), bool(getattr(return_aux, "max_scores", False))


def _captured(query, key, value, score_mod, block_mask, scale, enable_gqa, return_lse, return_aux) -> Any:
    """The call in a graph that is being captured."""
    lse, max_scores = (bool(return_lse), False) if return_aux is None else _wanted(return_lse, return_aux)
    mask_mod = _mask_mod_of(block_mask)
    if torch.compiler.is_dynamo_compiling():
        query, key, value = _autocast(query, key, value)
        outputs = _in_graph.flex_attention(query, key, value, score_mod, mask_mod, scale, bool(enable_gqa), lse, max_scores)
    else:
        outputs = by_text(*_autocast(query, key, value), score_mod, mask_mod, scale, enable_gqa, lse, max_scores)
    return _as_asked(outputs if len(outputs) > 1 else outputs[0], return_aux, lse, max_scores)


@torch.compiler.disable
def _outside(*args, **kwargs):
    """Where Dynamo cannot follow, a graph ends here, and another begins behind."""
    return flex_attention(*args, **kwargs)


def by_text(query, key, value, score_mod, mask_mod, scale, enable_gqa, lse: bool, max_scores: bool) -> list[torch.Tensor]:
    """Traces, and calls the operator with the text, which graphs can keep."""
    _check(query, key, value, enable_gqa)
    scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
    text, captured, _ = _trace(score_mod, mask_mod, _shape_key(query, key, value, enable_gqa, scale), lse, max_scores, [])
    return attention(text, [query, key, value, *captured], [scale])


def _call_again(family: Family, query, key, value, held: list[torch.Tensor], scale) -> Any:
    """The output or outputs if a program of the family fits; else None: what follows finds out why. This is each call's path."""
    if type(query) not in _PLAIN_TENSORS or type(key) not in _PLAIN_TENSORS or type(value) not in _PLAIN_TENSORS:
        return None
    if family.types is not None and family.types != _types_of(held):
        return None
    captured = [held[n] for n in family.captured] if family.captured else ()
    if _grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad
                                    or any(t.requires_grad for t in captured)):
        return None
    if _any_autocast() or _dispatch_modes() or not query.dim():
        return None
    try:
        scale = query.size(-1) ** -0.5 if scale is None else float(scale)
        outputs = family.call(family.number, query, key, value, *captured, scale)
    except RuntimeError as error:
        raise operator_error(error) from None
    return outputs if type(outputs) is torch.Tensor or (outputs and outputs[0] is not None) else None


def _first_call(query, key, value, score_mod, mask_mod, scale, enable_gqa, wanted, held, family_key) -> Any:
    """The output or outputs. Checks the arguments, traces the functions, and runs the text; the next call finds it in the family."""
    query, key, value = _autocast(query, key, value)
    _check(query, key, value, enable_gqa)
    _check_gradients(query, key, value, held)
    scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
    text, captured, trace = _trace(score_mod, mask_mod, _shape_key(query, key, value, enable_gqa, scale), *wanted, held)
    _check_gradients(query, key, value, captured)
    if sys.stderr.isatty():
        _announce(query.device)
    try:
        with below_autograd():
            outputs = attention(text, [query, key, value, *captured], [scale])
    except RuntimeError as error:
        raise operator_error(error) from None
    if family_key is not None and not trace.fixed:
        places = tuple(next(n for n, t in enumerate(held) if t is c) for c in captured)
        _remember(family_key, text, places, len(outputs), _types_of(held) if trace.asked else None)
    return outputs if len(outputs) > 1 else outputs[0]


def _types_of(tensors: list[torch.Tensor]) -> tuple:
    return tuple((t.dtype, t.dim(), t.device.type, t.layout) for t in tensors)


def _remember(family_key, text: str, captured: tuple[int, ...], outputs: int, types: Optional[tuple]) -> None:
    with _lock:
        families = _families.get(family_key, ())
        family = next((f for f in families if f.captured == captured and f.types == types), None)
        if family is None:
            family = Family(int(ask("strobe_python_new_family")), captured, family_call(3 + len(captured), outputs), types)
            _families[family_key] = (*families, family)
        ask("strobe_python_add_to_family", str(family.number), text)


def _shape_key(query, key, value, enable_gqa: bool, scale: float) -> tuple:
    """What of the tensors is written into the text."""
    gqa = enable_gqa and query.shape[1] != key.shape[1]
    same_batch = key.shape[0] == query.shape[0]
    return query.dtype, int(query.shape[-1]), int(value.shape[-1]), gqa, same_batch, 1e-6 <= scale <= 1e6


def _announce(device: torch.device) -> None:
    """A first call takes a second or so: people who watch are told once a kind of device."""
    if device.type not in _announced:
        _announced.add(device.type)
        print(f"strobe: compiling for {device.type}; new variants take a second each, new sizes nothing", file=sys.stderr)


def describe_flex_attention(query, key, value, score_mod=None, block_mask=None, enable_gqa=False, scale=None) -> str:
    """The algorithm text that flex_attention would compile for these arguments."""
    _check(query, key, value, enable_gqa)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    shape_key = _shape_key(query, key, value, enable_gqa, scale)
    return _trace(score_mod, _mask_mod_of(block_mask), shape_key, False, False, [])[0]


def _mask_mod_of(block_mask) -> Optional[MaskMod]:
    if block_mask is None:
        return None
    mask_mod = getattr(block_mask, "mask_mod", None)
    if mask_mod is not None:
        return mask_mod
    if callable(block_mask) and not hasattr(block_mask, "kv_num_blocks"):
        return block_mask
    raise ArgumentError(f"block_mask is a {type(block_mask).__name__}; it must be a BlockMask, a mask_mod or None")


def _autocast(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    device = tensors[0].device.type if isinstance(tensors[0], torch.Tensor) else "cpu"
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        return tuple(t.to(dtype) if t.is_floating_point() and t.dtype != torch.float64 else t for t in tensors)
    return tensors


def _check(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, enable_gqa: bool) -> None:
    for name, t in (("query", query), ("key", key), ("value", value)):
        if not isinstance(t, torch.Tensor):
            raise ArgumentError(f"{name} is a {type(t).__name__}; it must be a tensor")
        if t.dim() != 4:
            raise ArgumentError(f"{name} has {t.dim()} dimensions; it must have 4: (batch, head, position, feature)")
        if t.dtype not in _QUERY_TYPES:
            raise ArgumentError(f"{name} is {t.dtype}; it must be float32, float16 or bfloat16")
        if t.dtype != query.dtype:
            raise ArgumentError(f"{name} is {t.dtype} and query is {query.dtype}; they must be the same")
        if t.device != query.device:
            raise ArgumentError(f"{name} is on {t.device} and query is on {query.device}; they must be on one device")
    if query.device.type not in ("cpu", "cuda", "meta"):
        raise ArgumentError(f"query is on {query.device}; Strobe computes on the CPU and on CUDA devices")
    (b, hq, _, d), (bk, hk, sk, dk), (bv, hv, sv, _) = query.shape, key.shape, value.shape
    if (bk, hk, sk) != (bv, hv, sv):
        raise ArgumentError(f"key is {tuple(key.shape)} and value is {tuple(value.shape)}; batch, heads and length must be equal")
    if d != dk:
        raise ArgumentError(f"query has {d} features and key has {dk}; they must be equal")
    if d < 1 or value.shape[-1] < 1:
        raise ArgumentError("query, key and value need at least one feature")
    if bk not in (b, 1):
        raise ArgumentError(f"query has batch {b} and key has batch {bk}; they must be equal, or key's must be 1")
    if not enable_gqa and hq != hk:
        raise ArgumentError(f"query has {hq} heads and key has {hk}; pass enable_gqa=True for grouped queries")
    if enable_gqa and (hk == 0 or hq % hk):
        raise ArgumentError(f"query has {hq} heads and key has {hk}; query's must be a multiple of key's")


def _check_gradients(query, key, value, captured: list[torch.Tensor]) -> None:
    if not torch.is_grad_enabled():
        return
    named = [("query", query), ("key", key), ("value", value), *(("a captured tensor", t) for t in captured)]
    for name, t in named:
        if t.requires_grad:
            raise GradientError(
                f"{name} requires grad, and strobe.flex_attention has no backward pass yet: call it under "
                "torch.no_grad(), detach the tensor, or use torch's flex_attention for training"
            )


def _trace(score_mod, mask_mod, shape_key, lse: bool, max_scores: bool, held):
    """(text, captured tensors, what else the trace found)."""
    with _lock:
        try:
            return _build(score_mod, mask_mod, shape_key, lse, max_scores, held)
        finally:
            ex.forget_known()


def _build(score_mod, mask_mod, shape_key, lse, max_scores, held):
    torch_dtype, features, value_features, gqa, same_batch, ranged = shape_key
    dtype = DTYPES[torch_dtype]
    a = Algorithm("flex_attention")
    j, i, h, b = a.axis("j", "Sk"), a.axis("i", "Sq"), a.axis("h", "H"), a.axis("b", "B")
    d, c = a.axis("d", value_features), a.axis("c", features)
    heads = "Hk" if gqa else "H"
    batch = "B" if same_batch else 1
    a.tensor("q", dtype, [features, "Sq", "H", "B"])
    a.tensor("k", dtype, [features, "Sk", heads, batch])
    a.tensor("v", dtype, [value_features, "Sk", heads, batch])
    scale = a.scalar("scale", least=1e-6, most=1e6) if ranged else a.scalar("scale")

    shared = ex.group(h, "H", "Hk") if gqa else h
    kv_batch = b if same_batch else ex.const(0, "int32")
    product = ex.make("mul", ex.load("q", [c, i, h, b], dtype), ex.load("k", [c, j, shared, kv_batch], dtype))
    scores = a.func("scores", [j, i, h, b], product, "sum", c)
    score = ex.make("mul", scores, scale)

    trace = Trace(held, a, [j, i, h, b])
    if score_mod is not None:
        score = trace_function(trace, score_mod, [score, b, h, i, j], "score_mod", "float32")
    if mask_mod is not None:
        mask = trace_function(trace, mask_mod, [b, h, i, j], "mask_mod", "bool")
        if mask.op != "const" or mask.args[0] is not True:
            score = ex.select(mask, score, ex.const(float("-inf"), "float32"))
    for n, t in enumerate(trace.tensors):
        rank = max(t.dim(), 1)
        constants = trace.constant_sizes.get(f"t{n}", {})
        a.tensor(f"t{n}", DTYPES[t.dtype], [constants.get(k, f"t{n}_n{k}") for k in range(rank)])

    value = ex.load("v", [d, j, shared, kv_batch], dtype)
    softmax_attention(a, score, value, [i, h, b], j, d, dtype)
    outputs = ["out"] + (["lse"] if lse else []) + (["max_scores"] if max_scores else [])
    return a.text(outputs), trace.tensors, trace
