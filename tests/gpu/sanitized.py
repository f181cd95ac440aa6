"""A few launches of one package in odd sizes, for compute-sanitizer; prints one line that counts them.

    python3 tests/gpu/sanitized.py PACKAGE.skp [--library libstrobe_runtime.so] [--planted out_of_bounds|race]
"""

import argparse
import ctypes
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


# Every thread writes one word of shared memory and reads its neighbour's, with no barrier in between.
RACE = b"""
.version 7.8
.target sm_80
.address_size 64
.visible .entry strobe_planted_race(.param .u64 result) {
    .reg .b32 %r<6>;
    .reg .b64 %rd<4>;
    .shared .align 4 .b8 words[512];
    mov.u32 %r1, %tid.x;
    shl.b32 %r2, %r1, 2;
    mov.u32 %r3, words;
    add.u32 %r2, %r2, %r3;
    st.shared.u32 [%r2], %r1;
    xor.b32 %r4, %r1, 64;
    shl.b32 %r4, %r4, 2;
    add.u32 %r4, %r4, %r3;
    ld.shared.u32 %r5, [%r4];
    ld.param.u64 %rd1, [result];
    mul.wide.u32 %rd2, %r1, 4;
    add.u64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r5;
    ret;
}
"""


def launch_race():
    """Launches RACE on torch's context."""
    result = torch.zeros(128, dtype=torch.int32, device="cuda")
    torch.cuda.synchronize()
    cuda = ctypes.CDLL("libcuda.so.1")
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    address = ctypes.c_uint64(result.data_ptr())
    parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(address), ctypes.c_void_p))
    for code in (
        cuda.cuModuleLoadData(ctypes.byref(module), RACE),
        cuda.cuModuleGetFunction(ctypes.byref(function), module, b"strobe_planted_race"),
        cuda.cuLaunchKernel(function, 1, 1, 1, 128, 1, 1, 0, None, parameters, None),
    ):
        if code:
            sys.exit(f"CUDA error {code}")
    torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package")
    parser.add_argument("--library")
    parser.add_argument("--planted", choices=("out_of_bounds", "race"),
                        help="claim that tensors are larger than they are; launch a kernel that lacks a barrier")
    options = parser.parse_args()
    if options.planted == "race":
        launch_race()
        print("launched 1", flush=True)
        return
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
    print(f"launched {len(SIZES) * ctx.plans}, kernels {ctx.kernels}", flush=True)


if __name__ == "__main__":
    main()
