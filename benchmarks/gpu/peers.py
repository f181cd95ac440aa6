"""Attention systems on one problem: Strobe's packages and the peers found on the machine.

Each gives functions without arguments that launch once, with everything prepared beforehand.
"""

import contextlib
import importlib.util
import math
import pathlib
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "gpu"))
import variants

SYSTEMS = ("strobe", "cudnn", "flex", "flex_flash", "fa4")


class Problem:
    """q, k, v and the variant's extra arguments; heads and batch as in the tables."""

    def __init__(self, case, device="cuda"):
        self.case = case
        torch.manual_seed(0)
        make = lambda heads: torch.randn(case.B, heads, case.S, case.D, device=device, dtype=variants.DTYPES[case.dtype])
        self.q, self.k, self.v = make(case.H), make(case.H // case.group), make(case.H // case.group)
        self.scale = 1 / math.sqrt(case.D)
        self.tensors, self.scalars = variants.extra_arguments(case.variant, case.B, case.H, case.S, device)
        for name, t in self.tensors.items():  # the same in every batch entry and head: one block mask serves FlexAttention
            if name == "chosen":
                t = t[:, :1].expand(-1, case.H, -1, -1)
            if name != "slopes":
                self.tensors[name] = t[:1].expand(case.B, *t.shape[1:]).contiguous()
        pairs = variants.live_pairs(case.variant, self.tensors, self.scalars, case.S, case.S)
        self.density = pairs / case.S**2
        self.flops = 4 * case.B * case.H * case.S**2 * case.D * self.density


class Launch:
    """A system on a problem: `run` launches and returns (or fills) `output`, of shape (B, H, S, D)."""

    def __init__(self, system, run, schedule="", context=None, **notes):
        self.system, self.run, self.schedule, self.notes = system, run, schedule, notes
        self.context = context or contextlib.nullcontext


def strobe(problem, packages, library):
    """One launch for each package of this variant, type and head dimension."""
    from strobe_ctypes import Package

    case, found = problem.case, []
    for path in sorted(pathlib.Path(packages).glob("*.skp")):
        parsed = variants.parse_file_name(path.stem)
        if not parsed or parsed[:4] != (case.variant, case.dtype, case.D, case.D):
            continue
        out = torch.full_like(problem.q, float("nan"))
        lse = torch.full(problem.q.shape[:3], float("nan"), device="cuda")
        tensors = dict(q=problem.q, k=problem.k, v=problem.v, out=out, lse=lse, **problem.tensors)
        package = Package(str(path), library=library)
        stream = torch.cuda.current_stream().cuda_stream
        call = package.prepare(tensors, dict(scale=problem.scale, **problem.scalars), stream)

        def run(call=call, out=out):
            call()
            return out

        launch = Launch("strobe", run, schedule=parsed[4] or "shipped", package=path.stem)
        launch.timed = call
        found.append(launch)
    return found


def cudnn(problem):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if problem.case.variant not in ("full", "causal"):
        return []
    q, k, v, causal, grouped = problem.q, problem.k, problem.v, problem.case.variant == "causal", problem.case.group > 1
    attend = torch.nn.functional.scaled_dot_product_attention
    run = lambda: attend(q, k, v, is_causal=causal, enable_gqa=grouped)
    return [Launch("cudnn", run, context=lambda: sdpa_kernel(SDPBackend.CUDNN_ATTENTION))]


def flex(problem, backend, masks):
    """FlexAttention, its block mask built beforehand; `masks` keeps the mask and the time that building took."""
    import torch._dynamo
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    for name in ("recompile_limit", "cache_size_limit", "accumulated_recompile_limit"):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, 4096)
    q, k, v, s = problem.q, problem.k, problem.v, problem.case.S
    score, mask = variants.flex_mods(problem.case.variant, problem.tensors, problem.scalars)
    if mask is not None and "mask" not in masks:
        times = []
        for _ in range(3):
            torch.cuda.synchronize()
            start = time.perf_counter()
            masks["mask"] = create_block_mask(mask, None, None, s, s, device="cuda", BLOCK_SIZE=(128, 128))
            torch.cuda.synchronize()
            times.append((time.perf_counter() - start) * 1e3)
        masks["ms"] = min(times)
    compiled = torch.compile(flex_attention, dynamic=False)
    options = dict(score_mod=score, block_mask=masks.get("mask"), enable_gqa=problem.case.group > 1)
    run = lambda: compiled(q, k, v, kernel_options={"BACKEND": backend}, **options)
    notes = {"block_mask_ms": round(masks["ms"], 3)} if masks else {}
    return [Launch("flex" if backend == "TRITON" else "flex_flash", run, **notes)]


def fa4(problem):
    keywords = {
        "full": {},
        "causal": dict(causal=True),
        "sliding_window": dict(causal=True, window_size=(256, 0)),
        "softcap": dict(softcap=30.0),
    }.get(problem.case.variant)
    if keywords is None or not fa4_installed():
        return []
    from flash_attn.cute.interface import flash_attn_func

    q, k, v = (t.transpose(1, 2).contiguous() for t in (problem.q, problem.k, problem.v))

    def run():
        result = flash_attn_func(q, k, v, **keywords)
        return (result[0] if isinstance(result, tuple) else result).transpose(1, 2)

    return [Launch("fa4", run)]


def fa4_installed():
    try:
        return importlib.util.find_spec("flash_attn.cute") is not None
    except (ImportError, ValueError):
        return False


def launches(problem, systems, packages, library):
    """[Launch] and {system: why it is missing}."""
    masks, found, missing = {}, [], {}
    makers = {
        "strobe": lambda: strobe(problem, packages, library),
        "cudnn": lambda: cudnn(problem),
        "flex": lambda: flex(problem, "TRITON", masks),
        "flex_flash": lambda: flex(problem, "FLASH", masks) if fa4_installed() else [],
        "fa4": lambda: fa4(problem),
    }
    for system in systems:
        try:
            found += makers[system]()
        except Exception as error:
            missing[system] = f"{type(error).__name__}: {error}"[:300]
    return found, missing
