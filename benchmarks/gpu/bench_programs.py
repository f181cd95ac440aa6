"""Times the algorithms that are no single softmax beside what computes them otherwise, and prints the ratios.

    python3 benchmarks/gpu/bench_programs.py build/packages --library build/src/libstrobe_runtime.so --out programs.json

Packages are <algorithm>_<dtype>_<head dim>[_<value dim>][_<schedule>].skp; those of one algorithm and its
dimensions compete. The systems of a case take turns, twice, the second time in the opposite order; the time is
triton.testing.do_bench's median, which clears the L2 cache before each launch. `plain` is our own causal package,
`wider` our own package of the same algorithm with the next multiple of 64 features. TFLOP/s count the products of
matrices that the algorithm asks for, and of causal ones the live half.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import sys

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "8")
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "gpu")]
import machine
import programs
from programs_suite import PATTERN
from strobe_ctypes import Package, require_readable


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    d: int
    dv: int
    b: int
    h: int
    s: int
    n: int = 1
    peers: tuple = ("compiled",)
    bar: str = ""  # as in the requirement

    def label(self):
        return f"{self.name} D={self.d}/{self.dv} B={self.b} N={self.n} H={self.h} S={self.s}"


def cases():
    for d, least in ((64, "1.3x two flex calls"), (128, "1.05x two flex calls")):
        for s in (16384, 4096, 1024):
            yield Case("differential_full", d, 2 * d, 16384 // s, 1024 // d, s, peers=("flex",), bar=least)
    for d, peers in ((64, ("compiled",)), (128, ("flex", "compiled"))):
        for b in (1, 4, 16):
            bar = {(64, 1): "80 us", (64, 16): "1.0 ms"}.get((d, b), "0.7 of flex's time" if d == 128 else "")
            yield Case("evoformer", d, d, b, 4, 256, 256, peers, bar)
    for name in ("linear", "linear_causal"):
        for d in (64, 128):
            for s, peers in ((1024, ("compiled",)), (4096, ("compiled",)), (16384, ()), (65536, ())):
                yield Case(name, d, d, 1, 16, s, peers=peers)
    for s in (256, 1024):
        yield Case("ipa", 16, 16, 1, 12, s, peers=("compiled",), bar="4x torch.compile")
    for d in (64, 128):
        for name in ("sigmoid", "sinks", "rope"):
            share = "15 %" if name == "rope" else "10 %"
            yield Case(name, d, d, 4, 16, 4096, peers=("plain",), bar=f"within {share} of plain")
    for name in ("full", "causal"):
        for d in (40, 48, 72, 80, 96, 104):
            yield Case(name, d, d, 4, 16, 4096, peers=("wider",), bar="0.8 of the next multiple of 64's TFLOP/s")
    for name, d, dv in (("causal", 192, 128), ("mla", 192, 128), ("mla", 576, 512)):
        yield Case(name, d, dv, 4, 16, 4096, peers=())


CAUSAL = ("causal", "mla", "rope", "sigmoid", "sinks")


def flops(case):
    """Of the products of matrices: two an element of each."""
    features = case.d + case.dv
    if case.name == "differential_full":
        features *= 2
    if case.name == "ipa":
        features += 3 * (programs.POINTS + programs.VALUE_POINTS) + programs.PAIR
    if case.name in ("linear", "linear_causal"):  # the sums of features times values, and what rows make of them
        return 2 * 2 * case.d * case.dv * case.s * case.b * case.h
    elements = case.s * (case.s + 1) / 2 if case.name in CAUSAL else case.s**2
    sequences = case.b * case.h * (case.n if case.name == "evoformer" else 1)
    return 2 * features * elements * sequences


def tensors_of(case):
    if case.name in ("full", "causal"):
        program = programs.Program(programs.usual, None)
    else:
        program = programs.program(case.name, case.dv)
    sizes = programs.Sizes(case.b, case.h, case.s, case.s, case.d, case.dv, torch.bfloat16, "cuda", case.n)
    torch.manual_seed(0)
    return program, program.inputs(sizes), program.scalars(sizes)


def output_shapes(case):
    lead = (case.b, case.n, case.h, case.s) if case.name == "evoformer" else (case.b, case.h, case.s)
    shapes = {"out": ((*lead, case.dv), torch.bfloat16), "lse": (lead, torch.float32)}
    shapes["out_points"] = ((*lead, programs.VALUE_POINTS, 3), torch.float32)
    shapes["out_pair"] = ((*lead, programs.PAIR), torch.float32)
    return shapes


def strobe(case, name, t, scalars, packages, library):
    """A launch for each package of this algorithm and these dimensions: (label, call, the output that it fills)."""
    found = []
    for path in sorted(pathlib.Path(packages).glob("*.skp")):
        match = PATTERN.match(path.stem)
        wanted = (name, "bf16", case.d, case.dv)
        if not match or (match["name"], match["dtype"], int(match["d"]), int(match["dv"] or match["d"])) != wanted:
            continue
        package = Package(str(path), library=library)
        shapes, buffers = output_shapes(case), [b["name"] for b in package.describe()["buffers"]]
        outputs = {n: torch.empty(s, dtype=kind, device="cuda") for n, (s, kind) in shapes.items() if n in buffers}
        every = {n: x for n, x in {**t, **outputs}.items() if n in buffers}
        values = {n: x for n, x in scalars.items() if n in [s["name"] for s in package.describe()["scalars"]]}
        call = package.prepare(every, values, torch.cuda.current_stream().cuda_stream)
        label = ("strobe" if name == case.name else "plain") + (f" {match['rest']}" if match["rest"] else "")
        found.append((label, call, outputs["out"]))
    return found


def two_flex_calls(t, scalars):
    from torch.nn.attention.flex_attention import flex_attention

    compiled = torch.compile(flex_attention, dynamic=False)
    halves = [(t["q"][:, n::2].contiguous(), t["k"][:, n::2].contiguous()) for n in range(2)]

    def run():
        return [compiled(q, k, t["v"], scale=scalars["scale"]) for q, k in halves]

    def check():
        first, second = run()
        return first - t["lambda"][None, :, None, None].to(first.dtype) * second

    return run, check


def flex_evoformer(case, t, scalars):
    from torch.nn.attention.flex_attention import flex_attention

    n, pair, mask = case.n, t["pair_bias"], t["mask_bias"].flatten(0, 1)
    q, k, v, gate = (t[name].flatten(0, 1) for name in ("q", "k", "v", "gate"))

    def biased(s, b, h, i, j):
        return s + pair[b // n, h, i, j] + mask[b, j]

    def attend(q, k, v, gate):
        return flex_attention(q, k, v, score_mod=biased, scale=scalars["scale"]) * torch.sigmoid(gate)

    compiled = torch.compile(attend, dynamic=False)
    run = lambda: compiled(q, k, v, gate)
    return run, lambda: run().unflatten(0, (case.b, n))


def wider(case):
    return dataclasses.replace(case, d=-(-case.d // 64) * 64, dv=-(-case.dv // 64) * 64)


def peer(case, system, program, t, scalars, options):
    """(label, timed, output) of another system."""
    if system == "plain":
        return [(label, call, None) for label, call, _ in strobe(case, "causal", t, scalars, options.packages, options.library)]
    if system == "wider":
        _, tensors, values = tensors_of(wider(case))
        found = strobe(wider(case), case.name, tensors, values, options.packages, options.library)
        return [(label.replace("strobe", "wider"), call, None) for label, call, _ in found]
    if system == "flex":
        timed, check = flex_evoformer(case, t, scalars) if case.name == "evoformer" else two_flex_calls(t, scalars)
        return [("flex", timed, check)]
    compiled = torch.compile(program.compute, dynamic=False)
    run = lambda: compiled(t, scalars)
    return [("compiled", run, lambda: run()["out"])]


def measure(case, options):
    from triton.testing import do_bench

    program, t, scalars = tensors_of(case)
    ours = strobe(case, case.name, t, scalars, options.packages, options.library)
    if not ours:
        return []
    systems, errors = [(label, call, lambda call=call, out=out: (call(), out)[1]) for label, call, out in ours], {}
    for system in case.peers:
        try:
            systems += peer(case, system, program, t, scalars, options)
        except Exception as error:
            errors[system] = f"{type(error).__name__}: {error}"[:200]
    ready, expected = [], None
    for label, timed, check in systems[::-1]:  # peers first: what they give is the measure
        try:
            output = check() if check else timed()
            torch.cuda.synchronize()
            if not label.startswith("strobe"):
                expected = output if check else expected
            elif expected is not None and not (worst := (output.float() - expected.float()).abs().max().item()) < 0.05:
                raise ValueError(f"differs from a peer by {worst}")
            ready.append((label, timed))
        except Exception as error:
            errors[label] = f"{type(error).__name__}: {error}"[:200]
    times = {}
    for turn in (ready, ready[::-1]):
        for label, timed in turn:
            times.setdefault(label, []).append(do_bench(timed, warmup=options.warmup, rep=options.rep, return_mode="median"))
    rows = []
    for label, ms in times.items():
        timed, mean = wider(case) if label.startswith("wider") else case, sum(ms) / len(ms)
        figures = dict(ms=round(mean, 5), tflops=round(flops(timed) / mean / 1e9, 1))
        rows.append(result(case, timed, label, **figures, ms_runs=[round(x, 5) for x in ms], drift=round(max(ms) / min(ms) - 1, 4)))
    show(case, rows, errors)
    return rows + [result(case, case, label, error=text) for label, text in errors.items()]


def result(case, timed, label, **measured):
    """A row as the result files name it; `case` is what the rows of one comparison share."""
    system, _, schedule = label.partition(" ")
    sizes = dict(B=timed.b, N=timed.n, H=timed.h, S=timed.s, Sk=timed.s, D=timed.d, Dv=timed.dv)
    named = dict(case=case.label(), variant=case.name, system=system, schedule=schedule, dtype="bf16")
    return dict(named, **sizes, bar=case.bar, **measured)


def show(case, rows, errors):
    best = min((row["ms"] for row in rows if row["system"].startswith("strobe")), default=math.nan)
    figures = lambda row: f"{row['ms'] * 1e3:.1f} us {row['tflops']:.0f} TFLOP/s ({row['ms'] / best:.2f}x)"
    text = "  ".join(f"{row['system']} {row['schedule']}".strip() + f" {figures(row)}" for row in rows)
    print(f"{case.label():48} {text}  {'bar: ' + case.bar if case.bar else ''}", flush=True)
    for system, error in errors.items():
        print(f"    {system}: {error}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", help="folder of kernel packages (*.skp)")
    parser.add_argument("--library", help="libstrobe_runtime.so")
    parser.add_argument("--only", action="append", default=[], help="only algorithms whose name starts so; repeatable")
    parser.add_argument("--dims", default="", help="only these head dimensions, comma-separated")
    parser.add_argument("--no-peers", action="store_true", help="time our own packages alone")
    parser.add_argument("--warmup", type=int, default=20, help="ms")
    parser.add_argument("--rep", type=int, default=100, help="ms")
    parser.add_argument("--out", help="write the rows here, as JSON")
    options = parser.parse_args()
    dims = [int(d) for d in options.dims.split(",") if d]
    require_readable(sorted(pathlib.Path(options.packages).glob("*.skp")), options.library)
    rows = []
    for case in cases():
        named = not options.only or any(case.name.startswith(word) for word in options.only)
        if named and (not dims or case.d in dims):
            if options.no_peers:
                case = dataclasses.replace(case, peers=tuple(p for p in case.peers if p == "plain"))
            rows += measure(case, options)
            torch.cuda.empty_cache()
    if options.out:
        pathlib.Path(options.out).write_text(json.dumps(dict(machine.header(), rows=rows), indent=1) + "\n")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
