"""A few launches of one package in odd sizes, for compute-sanitizer; prints one line that counts them.

    python3 tests/gpu/sanitized.py PACKAGE.skp [--library libstrobe_runtime.so] [--planted out_of_bounds]
"""

import argparse
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import variants
from context import Context
from strobe_ctypes import Package

# (B, H, Hk, Sq, Sk): below, at and above tile sizes, more blocks than fit a device at once, no keys
SIZES = ((1, 1, 1, 1, 1), (1, 2, 1, 65, 129), (2, 2, 2, 300, 257), (1, 150, 150, 130, 70), (1, 2, 2, 40, 0))


class Claimed:
    """A tensor that claims to be longer than its memory."""

    def __init__(self, tensor, rows):
        self.tensor, self.dtype, self.shape = tensor, tensor.dtype, list(tensor.shape)
        self.shape[2] += rows

    def dim(self):
        return len(self.shape)

    def stride(self):
        return self.tensor.stride()

    def data_ptr(self):
        return self.tensor.data_ptr()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package")
    parser.add_argument("--library")
    parser.add_argument("--planted", choices=("out_of_bounds",), help="claim that tensors are larger than they are")
    options = parser.parse_args()
    path = pathlib.Path(options.package)
    ctx = Context(lambda: Package(str(path), library=options.library), path.stem, "cuda")
    for b, h, hk, sq, sk in SIZES:
        q, k, v = (torch.ones(shape, dtype=ctx.dtype, device="cuda") for shape in
                   ((b, h, sq, ctx.d), (b, hk, sk, ctx.d), (b, hk, sk, ctx.dv)))  # fmt: skip
        out = torch.zeros(b, h, sq, ctx.dv, dtype=ctx.dtype, device="cuda")
        lse = torch.zeros(b, h, sq, device="cuda")
        extras = ctx.extras(b, h, sq, sk)
        if options.planted:  # by far more than an allocation is rounded up by
            q, out, lse = (Claimed(tensor, 1 << 18) for tensor in (q, out, lse))
        for plan in range(ctx.plans):
            ctx.prepare(q, k, v, out, lse, *extras, plan=plan)()
            torch.cuda.synchronize()
    print(f"launched {len(SIZES) * ctx.plans}", flush=True)


if __name__ == "__main__":
    main()
