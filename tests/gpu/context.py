"""One package under test and how a case launches it."""

import contextlib
import fcntl
import math
import os
import random
import tempfile
import time

import torch

import guarded
import oracle
import variants
from strobe_ctypes import StrobeError


class Context:
    def __init__(self, make_package, name, device, quick=False, deadline=None):
        self.name = name
        self.variant, self.dtype_name, self.d, self.dv, self.schedule = variants.parse_file_name(name)
        self.dtype = variants.DTYPES[self.dtype_name]
        self.device, self.quick, self.deadline = device, quick, deadline
        self.make_package, self.package = make_package, make_package()
        plans = self.package.describe()["plans"]
        self.plans, self.kernels = len(plans), sum(len(plan["kernels"]) for plan in plans)
        self.random = random.Random(name)
        self.launches = 0  # whose surroundings were checked
        self.guard_failures = []
        self.largest_error, self.largest_lse_error = 0.0, 0.0

    @property
    def on_gpu(self):
        return self.device == "cuda"

    def over(self):
        return self.deadline is not None and time.time() > self.deadline

    def seed(self, number):
        torch.manual_seed(number)

    def synchronize(self):
        if self.on_gpu:
            torch.cuda.synchronize()

    def stream(self):
        return torch.cuda.current_stream().cuda_stream if self.on_gpu else 0

    @contextlib.contextmanager
    def large(self):
        """Only one process at a time holds tensors of many gigabytes."""
        with open(os.path.join(tempfile.gettempdir(), "strobe_gpu_suite.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if self.on_gpu:
                    torch.cuda.synchronize()
                    torch.cuda.empty_cache()

    def inputs(self, b, h, hk, sq, sk, factor=1.0, poison=False, order=None, pitch=0):
        """q, k, v; with `poison` among NaN, also behind each sequence."""
        rows = 70 if poison else 0
        make = lambda shape, extra, f=1.0: guarded.random_among_poison(
            shape, self.dtype, self.device, order=order, pitch=pitch, extra_rows=extra, factor=f
        )
        return make((b, h, sq, self.d), rows, factor), make((b, hk, sk, self.d), rows), make((b, hk, sk, self.dv), rows)

    def extras(self, b, h, sq, sk, **scalars):
        return variants.extra_arguments(self.variant, b, h, max(sq, sk), self.device, **scalars)

    def outputs(self, b, h, sq, out_order=None, pitch=0, lse_order=None, out_offset=0):
        shape = (b, h, sq, self.dv)
        out_strides = guarded.strides_of(shape, out_order, pitch)
        lse_strides = guarded.strides_of(shape[:3], lse_order)
        return (
            guarded.Guarded(shape, self.dtype, self.device, out_strides, out_offset),
            guarded.Guarded(shape[:3], torch.float32, self.device, lse_strides),
        )

    def prepare(self, q, k, v, out, lse, tensors, scalars, scale=None, plan=-1, stream=None, package=None):
        buffers = dict(q=q, k=k, v=v, out=out, lse=lse, **tensors)
        values = dict(scale=self.scale if scale is None else scale, **scalars)
        package = package or self.package
        return package.prepare(buffers, values, self.stream() if stream is None else stream, plan)

    @property
    def scale(self):
        return 1 / math.sqrt(self.d)

    def run(self, q, k, v, extras=None, scale=None, plan=-1, outputs=None):
        """Launches on fresh guarded outputs; returns (out, lse, problem with what surrounds them)."""
        tensors, scalars = extras or self.extras(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
        out, lse = outputs or self.outputs(q.shape[0], q.shape[1], q.shape[2])
        self.prepare(q, k, v, out.tensor, lse.tensor, tensors, scalars, scale, plan)()
        return out.tensor, lse.tensor, self.check_guards(out, lse)

    def check_guards(self, out, lse):
        self.launches += 1
        problem = "; ".join(f"{name}: {text}" for name, text in (("out", out.problem()), ("lse", lse.problem())) if text)
        if problem:
            self.guard_failures.append(problem)
        return problem

    def check(self, q, k, v, extras=None, scale=None, plan=-1, outputs=None, rows=None):
        """"" if a launch obeys the error rule and leaves its surroundings alone; else what is wrong."""
        extras = extras or self.extras(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
        out, lse, problem = self.run(q, k, v, extras, scale, plan, outputs)
        scale = self.scale if scale is None else scale
        verdict = oracle.judge(self.variant, q, k, v, out, lse, scale, *extras, rows=rows)
        if verdict.ok:
            self.largest_error = max(self.largest_error, verdict.error)
            self.largest_lse_error = max(self.largest_lse_error, verdict.lse_error)
        return "; ".join(text for text in (problem, verdict.text) if text)

    def check_refusal(self, q, k, v, extras, outputs, must_refuse):
        """"" if the launch is right, or refused as an argument's error before anything was written."""
        out, lse = outputs
        try:
            problem = self.check(q, k, v, extras, outputs=outputs)
        except (StrobeError, ValueError) as error:
            if isinstance(error, StrobeError) and error.kind != "argument":
                return f"refused, but as {error.kind}: {error}"
            self.synchronize()
            return out.problem(written=False) or lse.problem(written=False) or ("" if str(error) else "refused without text")
        return problem or ("not refused" if must_refuse else "")


def same_bits(a, b):
    """Elementwise, NaN equal to the same NaN."""
    integer = {2: torch.int16, 4: torch.int32}[a.element_size()]
    return a.view(integer) == b.view(integer)


def same_rows(a, b):
    """Which rows of two (b, h, s, d) tensors have the same bits."""
    return same_bits(a.contiguous(), b.contiguous()).all(-1)
