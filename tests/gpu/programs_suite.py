"""The algorithms of programs.py on an NVIDIA GPU: each package against float64 on ragged sizes.

    python3 tests/gpu/programs_suite.py build/packages --library build/src/libstrobe_runtime.so --out programs.json

Packages are <algorithm>_<dtype>_<head dim>[_<value dim>][_<schedule>].skp. Each output is judged
by the error rule of oracle.py: at most twice the largest error of unfused PyTorch in the same type
and a rounding of the largest result, at most 1.5 times its mean error. Outputs start as poison with
margins, inputs lie among NaN, and a second run must give the same bits. Exit code 1 if a case failed.
"""

import argparse
import json
import pathlib
import re
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import guarded
import machine
import programs
import variants

PATTERN = re.compile(r"^(?P<name>.+?)_(?P<dtype>bf16|fp16|fp32)_(?P<d>\d+)(?:_(?P<dv>\d+))?(?:_(?P<rest>[a-z].*))?$")
LENGTHS = ((1, 1), (7, 5), (64, 64), (65, 63), (130, 257), (300, 100), (100, 300), (512, 512), (777, 1031))
# Multiples of 8: tensor maps can describe biases of these, and many blocks have the same tile of a bias.
MANY_SEQUENCES = {(136, 264): 43, (264, 72): 43}
LENGTHS += tuple(MANY_SEQUENCES)
SCALES = (1.0, 0.25)


def parse(stem):
    match = PATTERN.match(stem)
    if not match or match["name"] not in programs.NAMES:
        return None
    return match["name"], match["dtype"], int(match["d"]), int(match["dv"] or match["d"])


def among_poison(t):
    """The same values in memory that is NaN around them."""
    if not t.is_floating_point() or not t.numel():
        return t
    memory = torch.full((t.numel() + 2 * guarded.MARGIN,), float("nan"), dtype=t.dtype, device=t.device)
    inside = memory[guarded.MARGIN : guarded.MARGIN + t.numel()].view(t.shape)
    return inside.copy_(t)


def loose(t):
    """The same values, a row an element further than it need be: what no bulk copy reads may lie so."""
    if t.dim() < 2 or not t.is_floating_point():
        return t
    memory = torch.full((*t.shape[:-1], t.shape[-1] + 1), float("nan"), dtype=t.dtype, device=t.device)
    return memory[..., :-1].copy_(t)


def judge(name, got, want, plain, dtype):
    error, unfused, size = (got.double() - want).abs(), (plain.double() - want).abs(), want.abs()
    error = torch.where(got.double() == want, 0, error)  # infinities
    unfused = torch.where(plain.double() == want, 0, unfused)
    finite = size.masked_fill(size.isinf(), 0)
    unit = variants.ROUNDOFF[dtype]
    bound = 2 * unfused.max() + unit * finite.max()
    mean = 1.5 * unfused.mean() + unit * finite.mean() * 0.5
    if not error.max() <= bound:
        return f"{name}: max error {error.max():.3e} > {bound:.3e} (unfused {unfused.max():.3e})"
    if not error.mean() <= mean:
        return f"{name}: mean error {error.mean():.3e} > {mean:.3e} (unfused {unfused.mean():.3e})"
    return ""


def outputs_of(want, program, dtype, device):
    kinds = {name: torch.float32 if name in program.float_outputs else dtype for name in want}
    return {name: guarded.Guarded(t.shape, kinds[name], device) for name, t in want.items()}


def run_case(package, program, sizes, factor, plan, loosely=False):
    copied = {m["buffer"] for m in package.describe()["plans"][plan]["tensor_maps"]}
    tensors = {name: loose(t) if loosely and name not in copied else among_poison(t) for name, t in program.inputs(sizes).items()}
    scalars = program.scalars(sizes)
    if "scale" in scalars:
        scalars["scale"] *= factor
    want = program.compute(programs.exact(tensors), scalars)
    plain = program.compute(tensors_of_one_type(tensors, sizes.dtype), scalars)
    stream = torch.cuda.current_stream().cuda_stream
    results = []
    for _ in range(2):
        outputs = outputs_of(want, program, sizes.dtype, sizes.device)
        package.prepare({**tensors, **{n: o.tensor for n, o in outputs.items()}}, scalars, stream, plan)()
        results.append(outputs)
    problems = [f"{n}: {text}" for n, o in results[0].items() if (text := o.problem())]
    problems += [f"{n}: a second run differs" for n, o in results[0].items() if not torch.equal(o.memory, results[1][n].memory)]
    problems += [text for n, o in results[0].items() if (text := judge(n, o.tensor, want[n], plain[n], o.tensor.dtype))]
    return "; ".join(problems)


def tensors_of_one_type(tensors, dtype):
    """What unfused code in this type has; what is float32 beside it stays so where the formulas convert it."""
    return {n: t.to(dtype) if t.is_floating_point() and t.dtype != torch.float32 else t for n, t in tensors.items()}


def run_package(path, options):
    from strobe_ctypes import Package, StrobeError

    name, dtype, d, dv = parse(path.stem)
    program, package = programs.program(name, dv), Package(path, library=options.library)
    cases, failures = 0, []
    for plan in (-1, *range(len(package.describe()["plans"]))):
        for n, (sq, sk) in enumerate(LENGTHS[::3] if options.quick else LENGTHS):
            many = MANY_SEQUENCES.get((sq, sk), 3)
            sk = sq if program.square else sk
            for factor in SCALES:
                torch.manual_seed(n)
                sizes = programs.Sizes(2, 3, sq, sk, d, dv, variants.DTYPES[dtype], "cuda", many)
                cases += 1
                try:
                    problem = run_case(package, program, sizes, factor, plan, loosely=factor != 1.0)
                except StrobeError as error:
                    # A plan may need strides that these tensors do not have; the launcher must find another.
                    problem = "" if plan >= 0 and "must be a multiple of 16" in str(error) else f"{error}"[:300]
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}"[:300]
                if problem:
                    failures.append(f"Sq={sq} Sk={sk} scale x {factor} plan={plan} seed={n}: {problem}")
                if "CUDA error" in problem:
                    return cases, failures
    return cases, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", help="folder of kernel packages (*.skp)")
    parser.add_argument("--library", help="libstrobe_runtime.so")
    parser.add_argument("--only", action="append", default=[], help="only packages whose name contains this; repeatable")
    parser.add_argument("--quick", action="store_true", help="a third of the sizes")
    parser.add_argument("--out", help="write the summary here, as JSON")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    paths = [p for p in sorted(pathlib.Path(options.packages).glob("*.skp")) if parse(p.stem)]
    paths = [p for p in paths if not options.only or any(word in p.stem for word in options.only)]
    rows = []
    for path in paths:
        start = time.time()
        cases, failures = run_package(path, options)
        print(f"{path.stem:34} {cases:4} cases {len(failures):4} failures  {time.time() - start:5.1f} s", flush=True)
        for text in failures[:6]:
            print(f"    {text}", flush=True)
        rows.append(dict(package=path.stem, cases=cases, failures=len(failures), texts=failures[:12]))
        if any("CUDA error" in text for text in failures):
            print("the CUDA context is lost: the other packages are not run")
            break
    if options.out:
        summary = dict(machine.header(None), packages=rows)
        pathlib.Path(options.out).write_text(json.dumps(summary, indent=1) + "\n")
    return 1 if not rows or any(row["failures"] for row in rows) or len(rows) < len(paths) else 0


if __name__ == "__main__":
    sys.exit(main())
