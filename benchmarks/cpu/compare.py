"""Times Strobe on the CPU beside PyTorch's scaled_dot_product_attention, in turns, in one run.

    python3 benchmarks/cpu/compare.py build/benchmarks/strobe_bench_cpu --out benchmarks/results/cpu.json

float32, full and causal, D=64, S=2048 by default; both on the same cores. Without
PyTorch only Strobe is timed.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "gpu"))
import machine

HEADS = 4


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.processor() or "CPU"


def time_strobe(options, variant, seconds):
    """{schedule: ms} of the fastest of several repetitions of the benchmark."""
    pattern = f"^{variant}/.*/fp32/S:{options.length}/D:{options.dim}/"
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [options.binary, f"--benchmark_filter={pattern}", f"--benchmark_out={file.name}"]
        command += [f"--benchmark_min_time={seconds}", "--benchmark_repetitions=3", "--benchmark_out_format=json"]
        environment = dict(os.environ, HL_NUM_THREADS=str(options.threads))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        found = {}
        for row in json.loads(pathlib.Path(file.name).read_text())["benchmarks"]:
            if row.get("error_occurred"):
                print(f"{row['name']}: {row['error_message']}")
            elif row["run_type"] == "iteration":
                schedule = row["name"].split("/")[1]
                found[schedule] = min(found.get(schedule, float("inf")), row["real_time"])
        return found


def time_torch(options, variant, seconds):
    """ms of the fastest of several calls of PyTorch."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, HEADS, options.length, options.dim) for _ in range(3))
    times, end = [], time.time() + 3 * seconds
    with torch.inference_mode():
        while time.time() < end or len(times) < 4:
            start = time.perf_counter()
            torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=variant == "causal")
            times.append((time.perf_counter() - start) * 1e3)
    return min(times)


def measure(options, variant, with_torch):
    """Rows of one variant: the median over turns of each turn's least time."""
    times = {}
    for _ in range(options.turns):
        if with_torch:
            times.setdefault(("torch", "sdpa"), []).append(time_torch(options, variant, options.seconds))
        for schedule, ms in time_strobe(options, variant, options.seconds).items():
            times.setdefault(("strobe", schedule), []).append(ms)
    rows = []
    s, d = options.length, options.dim
    density = (s + 1) / (2 * s) if variant == "causal" else 1.0
    for (system, schedule), turns in times.items():
        ms = statistics.median(turns)
        row = {"variant": variant, "system": system, "schedule": schedule, "dtype": "fp32", "B": 1, "H": HEADS, "group": 1}
        row.update(S=s, Sk=s, D=d, ms=round(ms, 4), ms_turns=[round(t, 4) for t in turns])
        row["tflops"] = round(4 * HEADS * s * s * d * density / ms / 1e9, 4)
        rows.append(row)
    return rows


def show(rows):
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        peer = next((row["ms"] for row in mine if row["system"] == "torch"), None)
        for row in mine:
            ratio = f"  {peer / row['ms']:.2f}x PyTorch" if peer and row["system"] == "strobe" else ""
            print(f"{variant:8} {row['system']:7} {row['schedule']:10} {row['ms']:9.3f} ms  {1e3 * row['tflops']:7.1f} GFLOP/s{ratio}")
        best = min((row["ms"] for row in mine if row["system"] == "strobe"), default=None)
        if peer and best:
            print(f"{variant:8} bar: not slower than PyTorch: {'met' if best <= peer else 'MISSED'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="strobe_bench_cpu")
    parser.add_argument("--variants", default="full,causal")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each timing")
    parser.add_argument("--out", help="result file (JSON)")
    parser.add_argument("--commit")
    options = parser.parse_args()
    try:
        import torch

        print(f"PyTorch {torch.__version__}, {options.threads} threads each")
        with_torch = True
    except ImportError:
        print("PyTorch is not installed: Strobe alone")
        with_torch = False
    rows = [row for variant in options.variants.split(",") for row in measure(options, variant, with_torch)]
    show(rows)
    if options.out:
        result = {**machine.header(options.commit, cpu_name()), "driver": "", "threads": options.threads, "rows": rows}
        pathlib.Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    return 0 if any(row["system"] == "strobe" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
