"""Times every mask at one length against the time that its live tiles would take in the kernel without a mask.

    python3 benchmarks/gpu/bench_masks.py build/packages --library build/src/libstrobe_runtime.so --out masks.json

Packages are <mask>_<dtype>_<head dim>[_<schedule>].skp; full_<dtype>_<head dim>.skp must be among them: its time divided by
its tiles is the time of a tile. The bar of a mask is 1.25 times that of its live tiles, and 10 us. A tile has the 64 rows of
a warpgroup and the package's own streamed keys, and is live if one of its elements is. `dense` is the share of live elements
in live tiles. Times are triton.testing.do_bench's medians, which clears the L2 cache before each launch; everything is timed
twice, the second time in the opposite order. A few rows of each result are compared with a softmax in float64. Last, as long
as --time-limit allows, FlexAttention is timed with its block mask built beforehand, beside our kernel.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import re
import sys
import time

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "8")
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "gpu")]
import machine
import peers
import programs
import variants
from strobe_ctypes import Package, require_readable

ROWS = 64  # of a warpgroup
MASKS = ("sliding_window", "prefix_lm", "document_mask", *variants.MASKS, "paged")


@dataclasses.dataclass(frozen=True)
class Case:
    variant: str
    D: int
    S: int
    B: int = 1
    H: int = 16
    group: int = 1
    dtype: str = "bf16"


class Problem:
    """Inputs of a mask, and which keys a row sees."""

    def __init__(self, case):
        self.case = case
        if case.variant != "paged":
            usual = peers.Problem(case)
            self.inputs = dict(q=usual.q, k=usual.k, v=usual.v, **usual.tensors)
            self.masks, self.scalars, self.scale = usual.tensors, usual.scalars, usual.scale
            self.k, self.v = usual.k, usual.v
        else:
            torch.manual_seed(0)
            sizes = programs.Sizes(case.B, case.H, case.S, case.S, case.D, case.D, variants.DTYPES[case.dtype], "cuda")
            self.inputs, self.scalars = programs.paged_inputs(sizes), {}
            self.inputs["key_length"].fill_(case.S * 3 // 4)
            self.scale = 1 / math.sqrt(case.D)
            gather = lambda pool: pool[self.inputs["table"].long()].transpose(1, 2).flatten(2, 3)
            self.k, self.v = gather(self.inputs["k"]), gather(self.inputs["v"])

    def live(self, rows):
        """Of the first head and batch entry: (rows, keys)."""
        keys = self.case.S
        if self.case.variant == "paged":
            return (torch.arange(keys, device="cuda") < self.inputs["key_length"][0]).expand(len(rows), keys)
        first = {n: t[:1, :1] if n == "chosen" else t[:1] for n, t in self.masks.items()}
        seen = variants.live(self.case.variant, first, self.scalars, rows, keys)
        return seen.expand(1, 1, len(rows), keys)[0, 0] if seen.dim() > 2 else seen

    def count(self, stream_tile):
        """Live elements, and live tiles of ROWS rows and `stream_tile` keys, of a head."""
        elements = tiles = 0
        wide = -(-self.case.S // stream_tile) * stream_tile - self.case.S
        for rows in torch.arange(self.case.S, device="cuda").split(16 * ROWS):
            seen = torch.nn.functional.pad(self.live(rows), (0, wide))
            elements += int(seen.sum())
            tiles += int(seen.unflatten(1, (-1, stream_tile)).any(-1).unflatten(0, (-1, ROWS)).any(1).sum())
        return elements, tiles

    def difference(self, out):
        """The largest error of some rows of the last head."""
        s = self.case.S
        rows = torch.cat([torch.arange(n, min(n + 3, s)) for n in range(0, s, s // 61 + 1)]).cuda()
        scores = self.inputs["q"][0, -1, rows].double() @ self.k[0, -1].double().T * self.scale
        scores = scores.masked_fill(~self.live(rows), -math.inf)
        expected = programs.softmax(scores) @ self.v[0, -1].double()
        return (out[0, -1, rows].double() - expected).abs().max().item()


def packages_of(case, options):
    for path in sorted(pathlib.Path(options.packages).glob("*.skp")):
        name = re.match(rf"^{case.variant}_{case.dtype}_{case.D}(_[a-z].*)?$", path.stem)
        if name:
            yield (name[1] or "").strip("_"), Package(str(path), library=options.library)


def launch_of(problem, package):
    """(call, out) of a package on a problem."""
    q = problem.inputs["q"]
    outputs = dict(out=torch.full_like(q, math.nan), lse=torch.full(q.shape[:3], math.nan, device="cuda"))
    names = [b["name"] for b in package.describe()["buffers"]]
    every = {n: t for n, t in {**problem.inputs, **outputs}.items() if n in names}
    call = package.prepare(every, dict(scale=problem.scale, **problem.scalars), torch.cuda.current_stream().cuda_stream)
    return call, outputs["out"]


def plan_of(package, case):
    """(rows, keys) of the tiles of the plan that the launcher takes, which weighs them in the same way."""
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
    plans = []
    for plan in package.describe()["plans"]:
        keys = int(re.search(r"stream\(\w+, (\d+)\)", plan["schedule"])[1])
        work = -(-case.S // plan["query_tile"]) * case.H * case.B
        rounds = -(-work // (multiprocessors * plan["kernels"][-1]["blocks_per_sm"]))
        cost = rounds * (plan["cost_per_unit"] + plan["cost_per_step"] * -(-case.S // keys))
        plans.append((cost, plan["query_tile"], keys))
    return min(plans)[1:]


def timed(calls, options):
    """Milliseconds of each, the mean of two medians."""
    from triton.testing import do_bench

    times = {}
    for turn in (list(calls), list(calls)[::-1]):
        for name in turn:
            ms = do_bench(calls[name], warmup=options.warmup, rep=options.rep, return_mode="median")
            times.setdefault(name, []).append(ms)
    return {name: sum(ms) / len(ms) for name, ms in times.items()}


def time_of_tile(d, options):
    """Milliseconds of ROWS x ROWS elements in the kernel without a mask, with the whole device at work."""
    case = Case("full", d, options.length)
    calls = {label: launch_of(Problem(case), package)[0] for label, package in packages_of(case, options)}
    if not calls:
        raise SystemExit(f"there is no package full_bf16_{d}.skp: its time is the measure of all masks")
    best = min(timed(calls, options).values())
    return best, best / (case.H * (case.S / ROWS) ** 2)


def measure(case, tile_ms, options):
    problem = Problem(case)
    for label, package in packages_of(case, options):
        call, out = launch_of(problem, package)
        rows, keys = plan_of(package, case)
        row = dict(dataclasses.asdict(case), system="strobe", schedule=label, tile=[rows, keys])
        try:
            call()
            row["difference"] = problem.difference(out)
            if not row["difference"] < 0.02:
                raise ValueError(f"differs from float64 by {row['difference']}")
            row["ms"] = timed({"": call}, options)[""]
        except Exception as error:
            yield dict(row, error=f"{type(error).__name__}: {error}"[:200])
            continue
        elements, tiles = problem.count(keys)
        ideal = problem.count(ROWS)[1]
        own, least = (n * case.H * wide / ROWS * tile_ms for n, wide in ((tiles, keys), (ideal, ROWS)))
        row.update(live_tiles=tiles * case.H, dense=elements / (tiles * ROWS * keys), bar_ms=1.25 * own + 0.01)
        row.update(live_tiles_64=ideal * case.H, bar_64_ms=1.25 * least + 0.01)
        yield row


def flex_row(case, options):
    """FlexAttention's time beside ours."""
    problem, found = peers.Problem(case), {}
    flex = peers.flex(problem, "TRITON", found)[0]
    flex.run()
    calls = {"flex": flex.run}
    for label, package in packages_of(case, options):
        calls[label or "strobe"] = launch_of(Problem(case), package)[0]
    times = timed(calls, options)
    row = dict(dataclasses.asdict(case), system="flex", ms=times.pop("flex"), strobe_ms=min(times.values()))
    return dict(row, block_mask_ms=found.get("ms"))


def show(row):
    label = f"{row['variant']:16} D={row['D']:<4}"
    if "error" in row:
        print(f"{label} {row['system']} {row.get('schedule', '')}: {row['error']}", flush=True)
    elif row["system"] == "flex":
        print(f"{label} flex {row['ms'] * 1e3:8.1f} us, ours {row['strobe_ms'] / row['ms']:.2f} of it", flush=True)
    else:
        ratios = f"{row['ms'] / row['bar_ms']:.2f} of the bar {row['bar_ms'] * 1e3:7.1f} us ({row['ms'] / row['bar_64_ms']:.2f})"
        tile = f"{row['live_tiles']} live tiles of {row['tile'][0]} x {row['tile'][1]}, {row['dense']:.2f} dense"
        print(f"{label} {row['ms'] * 1e3:8.1f} us  {ratios}  {tile} {row['schedule']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", help="folder of kernel packages (*.skp)")
    parser.add_argument("--library", help="libstrobe_runtime.so")
    parser.add_argument("--masks", default=",".join(MASKS), help="only these, comma-separated")
    parser.add_argument("--dims", default="64,128", help="only these head dimensions")
    parser.add_argument("--length", type=int, default=16384)
    parser.add_argument("--warmup", type=int, default=10, help="ms")
    parser.add_argument("--rep", type=int, default=40, help="ms")
    parser.add_argument("--time-limit", type=float, default=95, help="seconds; FlexAttention gets what is left of them")
    parser.add_argument("--out", help="write the rows here, as JSON")
    options = parser.parse_args()
    started, rows = time.time(), []
    require_readable(sorted(pathlib.Path(options.packages).glob("*.skp")), options.library)
    cases = [Case(mask, int(d), options.length) for d in options.dims.split(",") for mask in options.masks.split(",")]
    tile_ms = {}
    for case in cases:
        if case.D not in tile_ms:
            full, tile_ms[case.D] = time_of_tile(case.D, options)
            rows.append(dict(dataclasses.asdict(Case("full", case.D, case.S)), system="strobe", ms=full))
            print(f"full             D={case.D:<4} {full * 1e3:8.1f} us", flush=True)
        for row in measure(case, tile_ms[case.D], options):
            rows.append(row)
            show(row)
    for case in cases:
        if case.variant != "paged" and time.time() - started < options.time_limit - 12:
            try:
                rows.append(flex_row(case, options))
            except Exception as error:
                text = f"{type(error).__name__}: {error}"[:200]
                rows.append(dict(dataclasses.asdict(case), system="flex", error=text))
            show(rows[-1])
            torch._dynamo.reset()
    if options.out:
        pathlib.Path(options.out).write_text(json.dumps(dict(machine.header(), rows=rows), indent=1) + "\n")
    return 1 if any("error" in row and row["system"] == "strobe" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
