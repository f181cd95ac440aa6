"""A few launches of each package in odd sizes, for compute-sanitizer; prints one line a package that counts them.

    python3 tests/gpu/sanitized.py PACKAGE.skp... [--library libstrobe_runtime.so] [--planted]

Packages of the variants with one softmax (variants.py) and of the other algorithms (programs.py). Each plan of a package
runs on every size, on tensors whose strides it can take.
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


# Of the inputs of algorithms with as many rows as keys: where a tensor has both and features too, racecheck would take minutes.
MOST_ELEMENTS = 1 << 22
MAP_STRIDE = 16  # bytes that strides of tensors read through a tensor map are multiples of


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

    def square_length(self, b, h, sq, sk):
        """The longest length up to the larger of both at which the inputs stay small."""
        length = min(max(sq, sk), 700)
        while length > 1:
            tensors = self.program.inputs(programs.Sizes(b, h, length, length, self.d, self.dv, self.dtype, "meta"))
            if sum(t.numel() for t in tensors.values()) <= MOST_ELEMENTS:
                break
            length = length * 3 // 4
        return length

    def arguments(self, b, h, hk, sq, sk):
        if self.program.square:
            sq = sk = self.square_length(b, h, sq, sk)
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


def with_strides_of(tensor, multiple):
    """The tensor's values, with outer strides of a multiple of so many bytes; the tensor itself if it has them."""
    elements = multiple // tensor.element_size()
    strides = [stride for stride, size in zip(tensor.stride()[:-1], tensor.shape) if size > 1]
    if elements <= 1 or all(stride % elements == 0 for stride in strides):
        return tensor
    *outer, width = tensor.shape
    memory = torch.empty(*outer, -(-width // elements) * elements, dtype=tensor.dtype, device=tensor.device)
    return memory[..., :width].copy_(tensor)


def fit_to(plan, buffers):
    """What is read through tensor maps by this plan, with the strides that they can have; a plan without keeps odd ones."""
    mapped = {tensor_map["buffer"] for tensor_map in plan["tensor_maps"]}
    return {name: with_strides_of(t, MAP_STRIDE) if name in mapped else t for name, t in buffers.items()}


def launch_all(path, options):
    package, algorithm = Package(str(path), library=options.library), make(path.stem)
    plans = package.describe()["plans"]
    stream = torch.cuda.current_stream().cuda_stream
    sizes = sizes_for(plans)
    for size in sizes:
        buffers, scalars = algorithm.arguments(*size)
        for index, plan in enumerate(plans):
            fitting = fit_to(plan, buffers)
            if options.planted:  # by far more than an allocation is rounded up by
                fitting.update({name: Claimed(fitting[name], 1 << 18) for name in ("q", "out", "lse")})
            package.prepare(fitting, scalars, stream, index)()
            torch.cuda.synchronize()
    print(f"{path.stem}: launched {len(sizes) * len(plans)}, kernels {sum(len(plan['kernels']) for plan in plans)}", flush=True)


def self_check():
    """What a plan with a tensor map gets, without a GPU."""
    odd, even = torch.randn(2, 5, 129).to(torch.bfloat16), torch.randn(3, 16)
    plan = dict(tensor_maps=[dict(buffer="odd"), dict(buffer="even")])
    fitted = fit_to(plan, dict(odd=odd, even=even, free=odd))
    assert fitted["free"] is odd and fitted["even"] is even
    assert torch.equal(fitted["odd"], odd) and fitted["odd"].stride() == (5 * 136, 136, 1), fitted["odd"].stride()
    assert fit_to(dict(tensor_maps=[]), dict(odd=odd))["odd"] is odd
    for name in programs.NAMES:
        other = Other(f"{name}_bf16_64")
        for b, h, _, sq, sk in SIZES:
            if other.program.square:
                length = other.square_length(b, h, sq, sk)
                assert 1 <= length <= max(sq, sk), (name, length)
    assert 128 < Other("ipa_bf16_16").square_length(1, 1, 130, 2000) < 200


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", type=pathlib.Path)
    parser.add_argument("--library")
    parser.add_argument("--planted", action="store_true", help="claim that tensors are larger than they are")
    parser.add_argument("--self-check", action="store_true", help="check the arguments that it makes, on the CPU")
    options = parser.parse_args()
    if options.self_check:
        return self_check()
    if not options.packages:
        parser.error("no package given")
    for path in options.packages:
        launch_all(path, options)


if __name__ == "__main__":
    main()
