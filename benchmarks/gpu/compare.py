"""Times Strobe's kernel packages beside the peers found on the machine, and prints the ratios.

    python3 benchmarks/gpu/compare.py build/packages --library build/src/libstrobe_runtime.so \\
        --out benchmarks/results/h200.json

Packages are <variant>_<dtype>_<head dim>[_<schedule>].skp. Calls with other options
add to the same file. Every system is timed alike: triton.testing.do_bench, which
clears the L2 cache before each launch, the median of its times; all systems of a
case take turns, twice, the second time in the opposite order.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import sys
import time
import traceback

# One process compiles one kernel at a time; several such processes run beforehand.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "gpu")]
import bars
import host_time
import machine
import peers
import variants
from isolation import Child
from strobe_ctypes import require_readable

SIZES = ((16384, 1), (4096, 4), (1024, 16))


@dataclasses.dataclass(frozen=True)
class Case:
    variant: str
    dtype: str
    B: int
    H: int
    group: int
    S: int
    D: int

    def label(self):
        return f"{self.variant} D={self.D} S={self.S} B={self.B} group={self.group}"


def all_cases(options):
    """Most important first; those of one variant and head dimension stay together."""
    chosen = []
    for variant in options.variants:
        for d in options.dims:
            chosen += [
                Case(variant, options.dtype, b, 16, 1, s, d) for s, b in SIZES if not options.sizes or s in options.sizes
            ]
            grouped = variant in ("full", "causal") and d == 64 and not options.no_groups
            if grouped and (not options.sizes or 4096 in options.sizes):
                chosen.append(Case(variant, options.dtype, 4, 16, 8, 4096, d))
    return chosen


def base_row(case, launch_or_system, run):
    row = {"variant": case.variant, "system": getattr(launch_or_system, "system", launch_or_system)}
    row.update(schedule=getattr(launch_or_system, "schedule", ""), dtype=case.dtype, B=case.B, H=case.H, group=case.group)
    row.update(S=case.S, Sk=case.S, D=case.D, run=run)
    return row


def first_calls(case, launches, run, emit):
    """Launches each once; returns [(launch, row, output)] of those that can."""
    ready = []
    for launch in launches:
        row = base_row(case, launch, run)
        row.update(launch.notes)
        try:
            start = time.perf_counter()
            with launch.context():
                output = launch.run()
            torch.cuda.synchronize()
            row["first_call_s"] = round(time.perf_counter() - start, 3)
            ready.append((launch, row, output))
        except Exception as error:
            emit(dict(row, error=f"{type(error).__name__}: {error}"[:300]))
            if "CUDA error" in str(error):
                raise
    return ready


def compare_outputs(ready):
    """Notes in each row how far its result is from that of the first peer; a wrong result has no time."""
    peer = next((output for launch, _, output in ready if launch.system != "strobe"), None)
    for launch, row, output in ready:
        if peer is not None and launch.system == "strobe":
            worst = (output.float() - peer.float()).abs().max().item()
            row["difference"] = round(worst, 5)
            if not worst < 0.05:
                row["error"] = f"differs from a peer by {worst}"


def measure(case, options, emit):
    from triton.testing import do_bench

    problem = peers.Problem(case)
    launches, missing = peers.launches(problem, options.systems, options.packages, options.library)
    for system, why in missing.items():
        emit(dict(base_row(case, system, options.run), error=why))
    ready = first_calls(case, launches, options.run, emit)
    compare_outputs(ready)
    times = {}
    for turn in (ready, ready[::-1]):
        for launch, row, _ in turn:
            if "error" not in row:
                with launch.context():
                    timed = getattr(launch, "timed", launch.run)
                    ms = do_bench(timed, warmup=options.warmup, rep=options.rep, return_mode="median")
                times.setdefault(id(launch), []).append(ms)
    for launch, row, _ in ready:
        if id(launch) in times:
            runs = times[id(launch)]
            ms = sum(runs) / len(runs)
            row.update(ms=round(ms, 5), tflops=round(problem.flops / ms / 1e9, 1), density=round(problem.density, 6))
            row.update(ms_runs=[round(t, 5) for t in runs], drift=round(max(runs) / min(runs) - 1, 4))
        emit(row)


def measuring(cases, options, deadline):
    def work(emit):
        torch.cuda.init()
        for case in cases:
            if time.time() > deadline:
                break
            emit({"begin": case.label()})
            measure(case, options, lambda row: emit({"row": row}))
            emit({"end": case.label()})
            torch._dynamo.reset() if hasattr(torch, "_dynamo") else None
            torch.cuda.empty_cache()

    return work


def precompiling(cases, options):
    """Fills the compilers' caches on disk, so that the measuring process compiles little."""

    def work(emit):
        systems = [name for name in options.systems if name in ("flex", "flex_flash", "fa4")]
        for case in cases:
            problem = peers.Problem(case)
            for launch in peers.launches(problem, systems, options.packages, options.library)[0]:
                try:
                    launch.run()
                    torch.cuda.synchronize()
                except Exception as error:
                    print(f"  {launch.system} {case.label()}: {str(error)[:150]}", flush=True)
            emit({"done": case.label()})

    return work


def precompile(cases, options, deadline):
    if not options.precompile_jobs or not {"flex", "flex_flash", "fa4"} & set(options.systems):
        return
    start, seconds = time.time(), min(options.precompile_limit, max(deadline - time.time(), 1))
    parts = [cases[n :: options.precompile_jobs] for n in range(options.precompile_jobs)]
    children = [Child(precompiling(part, options), seconds) for part in parts if part]
    done = sum(len(child.wait()) for child in children)
    print(f"compiled the peers for {done} of {len(cases)} cases in {time.time() - start:.0f} s", flush=True)


class Results:
    """The result file; written after every case."""

    def __init__(self, options):
        self.path = pathlib.Path(options.out) if options.out else None
        self.data = {**machine.header(options.commit), "method": method(options), "rows": [], "host": []}
        if self.path and self.path.is_file():
            old = json.loads(self.path.read_text())
            same = all(old.get(key) == self.data[key] for key in ("device", "commit"))
            if not same and not options.merge_anyway:
                raise SystemExit(f"{self.path} is of {old.get('device')} at {old.get('commit')}; write to another file")
            self.data["rows"], self.data["host"] = old.get("rows", []), old.get("host", [])

    def add(self, row):
        key = lambda r: tuple(r.get(k) for k in (*bars.KEY, "system", "schedule"))
        self.data["rows"] = [old for old in self.data["rows"] if key(old) != key(row)] + [row]

    def add_host(self, record):
        self.data["host"] = [old for old in self.data["host"] if old["package"] != record["package"]] + [record]

    def write(self):
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            rows = {key: self.data[key] for key in self.data if key not in ("rows", "host")}
            text = json.dumps(rows, indent=1)[:-2]
            for key in ("host", "rows"):
                lines = ",\n  ".join(json.dumps(row) for row in self.data[key])
                text += f',\n "{key}": [' + (f"\n  {lines}\n ]" if lines else "]")
            self.path.write_text(text + "\n}\n")


def method(options):
    return (
        f"triton.testing.do_bench(warmup={options.warmup}, rep={options.rep}), median, L2 cleared before each launch; "
        "mean of two turns in opposite order; flops = 4 B H S^2 D density"
    )


def show_row(row):
    figure = f"{row['ms']:.4f} ms {row['tflops']:6.0f} TFLOP/s" if row.get("ms") else f"-- {row.get('error', '')[:120]}"
    label = f"{row['variant']:14} D={row['D']:3} S={row['S']:5} group={row['group']}"
    print(f"{label} {row['system']:10} {row['schedule']:10} {figure}", flush=True)


def measure_all(cases, options, results, deadline):
    """Measures group by group; a group whose process dies goes on with its next case."""
    left = list(cases)
    while left and time.time() < deadline:
        same = lambda c: (c.variant, c.D) == (left[0].variant, left[0].D)
        group = [case for case in left if same(case)]
        child = Child(measuring(group, options, deadline), max(deadline - time.time(), 1) + 15)
        records = child.wait()
        for record in records:
            if "row" in record:
                results.add(record["row"])
                show_row(record["row"])
        results.write()
        begun = {r["begin"] for r in records if "begin" in r}
        ended = {r["end"] for r in records if "end" in r}
        for label in begun - ended:
            print(f"{label}: the process ended ({child.ending()})", flush=True)
        before = len(left)
        left = [case for case in left if case.label() not in begun]
        if len(left) == before:  # it did not even start
            print(f"{left[0].label()}: the process did not start ({child.ending()})", flush=True)
            left.pop(0)
    if left:
        print(f"{len(left)} cases left by the time limit, the next is {left[0].label()}", flush=True)


def numbers(text):
    return [int(word) for word in text.split(",") if word]


def words(allowed):
    def parse(text):
        chosen = [word for word in text.split(",") if word]
        for word in chosen:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"no {word}; there are {', '.join(allowed)}")
        return chosen

    return parse


def parse_arguments(arguments):
    order = ("full", "causal", "softcap", "alibi", "sliding_window", "prefix_lm", "document_mask")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", help="folder of kernel packages (*.skp)")
    parser.add_argument("--library", help="libstrobe_runtime.so (default: see tests/gpu/strobe_ctypes.py)")
    parser.add_argument("--out", help="result file (JSON); an existing one of this device and commit is added to")
    parser.add_argument("--merge-anyway", action="store_true", help="also add to a file of another device or commit")
    parser.add_argument("--variants", type=words(variants.NAMES), default=list(order), help="comma-separated")
    parser.add_argument("--dims", type=numbers, default=[64, 128], help="head dimensions, comma-separated")
    parser.add_argument("--sizes", type=numbers, default=[], help="sequence lengths among 16384,4096,1024")
    parser.add_argument("--systems", type=words(peers.SYSTEMS), default=list(peers.SYSTEMS), help="comma-separated")
    parser.add_argument("--dtype", choices=("bf16", "fp16"), default="bf16")
    parser.add_argument("--no-groups", action="store_true", help="leave out the cases with grouped heads")
    parser.add_argument("--time-limit", type=float, default=540, help="seconds for everything")
    parser.add_argument("--warmup", type=int, default=25, help="ms, for each timing")
    parser.add_argument("--rep", type=int, default=100, help="ms, for each timing")
    parser.add_argument("--precompile-jobs", type=int, default=6, help="processes that compile the peers beforehand; 0: none")
    parser.add_argument("--precompile-limit", type=float, default=150, help="seconds for that")
    parser.add_argument("--no-host-time", action="store_true", help="leave out host times and the replay of graphs")
    parser.add_argument("--commit", help="commit that the packages were built from (default: the checkout's)")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_arguments(arguments)
    options.run = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    deadline = time.time() + options.time_limit
    if "strobe" in options.systems:
        require_readable(sorted(pathlib.Path(options.packages).glob("*.skp")), options.library)
    results, cases = Results(options), all_cases(options)
    print(", ".join(f"{key} {results.data[key]}" for key in ("device", "driver", "commit", "date")), flush=True)
    if "strobe" in options.systems and not options.no_host_time:
        for record in Child(lambda emit: host_time.measure_all(options, emit), 90).wait():
            results.add_host(record)
            print("  ".join(f"{key} {value}" for key, value in record.items()), flush=True)
    precompile(cases, options, deadline)
    measure_all(cases, options, results, deadline)
    results.write()
    bars.show(results.data["rows"])
    return 0 if any(row.get("ms") for row in results.data["rows"]) else 1


if __name__ == "__main__":
    try:
        code = main()
    except Exception:
        traceback.print_exc()
        code = 2
    sys.stdout.flush()
    os._exit(code)
