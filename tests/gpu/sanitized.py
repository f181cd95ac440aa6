"""A few launches of each package in odd sizes, for compute-sanitizer; prints one line a package that counts them.

    python3 tests/gpu/sanitized.py PACKAGE.skp... [--library libstrobe_runtime.so] [--planted]

Packages of the variants with one softmax (variants.py) and of the other algorithms (programs.py).
"""

import argparse
import math
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import programs
import programs_suite
import variants
from strobe_ctypes import Package

# (B, H, Hk, Sq, Sk): below, at and above tile sizes; so many keys that rings of stages come round several times; so many
# blocks of rows that each multiprocessor has eleven; no keys
SIZES = ((1, 1, 1, 1, 1), (1, 2, 1, 65, 129), (2, 2, 2, 300, 257), (1, 1, 1, 130, 2000), (1, 1500, 1500, 10, 40), (1, 2, 2, 40, 0))


class Claimed:
    """A tensor that claims to have more rows than its memory."""

    def __init__(self, tensor, rows):
        self.tensor, self.dtype, self.shape = tensor, tensor.dtype, list(tensor.shape)
        self.shape[2] += rows

    def dim(self):
        return len(self.shape)

    def stride(self):
        return self.tensor.stride()

    def data_ptr(self):
        return self.tensor.data_ptr()


class Variant:
    """The buffers and scalars of a variant with one softmax."""

    def __init__(self, stem):
        self.name, dtype, self.d, self.dv, _ = variants.parse_file_name(stem)
        self.dtype = variants.DTYPES[dtype]

    def arguments(self, b, h, hk, sq, sk):
        # Random: racecheck says nothing of a store that changes no value.
        q, k, v = (torch.randn(shape, dtype=self.dtype, device="cuda") for shape in
                   ((b, h, sq, self.d), (b, hk, sk, self.d), (b, hk, sk, self.dv)))  # fmt: skip
        tensors, scalars = variants.extra_arguments(self.name, b, h, max(sq, sk), "cuda")
        out = torch.zeros(b, h, sq, self.dv, dtype=self.dtype, device="cuda")
        lse = torch.zeros(b, h, sq, device="cuda")
        return dict(q=q, k=k, v=v, out=out, lse=lse, **tensors), dict(scale=1 / math.sqrt(self.d), **scalars)


class Other:
    """The buffers and scalars of an algorithm of programs.py."""

    def __init__(self, stem):
        name, dtype, self.d, self.dv = programs_suite.parse(stem)
        self.program, self.dtype = programs.program(name, self.dv), variants.DTYPES[dtype]

    def arguments(self, b, h, hk, sq, sk):
        if self.program.square:
            sq = sk = min(max(sq, sk), 700)
        sizes = lambda keys, device: programs.Sizes(b, h, sq, keys, self.d, self.dv, self.dtype, device)
        tensors, scalars = self.program.inputs(sizes(sk, "cuda")), self.program.scalars(sizes(sk, "cuda"))
        # Only for the shapes, which do not depend on the number of keys.
        want = self.program.compute(self.program.inputs(sizes(max(sk, 1), "meta")), scalars)
        outputs = {
            name: torch.zeros(t.shape, dtype=torch.float32 if name in self.program.float_outputs else self.dtype, device="cuda")
            for name, t in want.items()
        }
        return dict(tensors, **outputs), scalars


def make(stem):
    """What makes the arguments of a package of this name; None if it is of no known algorithm."""
    if variants.parse_file_name(stem):
        return Variant(stem)
    return Other(stem) if programs_suite.parse(stem) else None


def sizes_for(plans):
    """Kernels that start a block of threads a block of rows come round nothing when there are many."""
    persistent = any(kernel["persistent"] for plan in plans for kernel in plan["kernels"])
    return SIZES if persistent else [(b, min(h, 20), min(hk, 20), sq, sk) for b, h, hk, sq, sk in SIZES]


def launch_all(path, options):
    package, algorithm = Package(str(path), library=options.library), make(path.stem)
    plans = package.describe()["plans"]
    stream = torch.cuda.current_stream().cuda_stream
    sizes = sizes_for(plans)
    for size in sizes:
        buffers, scalars = algorithm.arguments(*size)
        if options.planted:  # by far more than an allocation is rounded up by
            buffers.update({name: Claimed(buffers[name], 1 << 18) for name in ("q", "out", "lse")})
        for plan in range(len(plans)):
            package.prepare(buffers, scalars, stream, plan)()
            torch.cuda.synchronize()
    print(f"{path.stem}: launched {len(sizes) * len(plans)}, kernels {sum(len(plan['kernels']) for plan in plans)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", type=pathlib.Path)
    parser.add_argument("--library")
    parser.add_argument("--planted", action="store_true", help="claim that tensors are larger than they are")
    options = parser.parse_args()
    for path in options.packages:
        launch_all(path, options)


if __name__ == "__main__":
    main()
