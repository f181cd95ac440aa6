"""The table of gym.py: is strobe.flex_attention right, how long does it take beside torch's, how long is the first call?

    python3 tests/python/gym_table.py --device cuda --out benchmarks/results/gym_h200.json --seconds 500 --jobs 8

Writes the JSON after every row, and at the end the table as Markdown beside it (--markdown FILE writes it from the
JSON alone). Rows that the file already has for this commit are kept, so a run that was cut short can be continued. With
several jobs, first calls run beside each other; whatever is timed on the device runs alone. Exit code 1 if a result is wrong.

The package is found as in the tests: STROBE_TORCH_LIBRARY names the extension, STROBE_HALIDE libHalide.so where the
halide package is not installed.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "python"), str(ROOT / "tests" / "gpu")]

#: device -> what is checked, (dtype, features), and what is timed: dtype, heads, features, batch * length
CASES = {
    "cpu": [("float32", 16), ("bfloat16", 64)],
    "cuda": [("bfloat16", 64), ("bfloat16", 128), ("float16", 64)],
}
TIMED = {"cpu": ("float32", 4, 64, 2048), "cuda": ("bfloat16", 16, 64, 16384)}


class Worker:
    """What one process computes: rows, one after another."""

    def __init__(self, device, length, flex, lock):
        import torch

        torch.set_default_device(device)
        torch.set_grad_enabled(False)
        import gym
        import reference
        import strobe

        self.torch, self.gym, self.reference, self.strobe = torch, gym, reference, strobe
        self.device, self.length, self.flex, self.lock = device, length, flex, open(lock, "w")
        self._warm_up()

    def _warm_up(self):
        """What happens once in a process is no part of a first call."""
        query = self.torch.randn(1, 1, 64, 64, dtype=getattr(self.torch, TIMED[self.device][0]))
        self.strobe.flex_attention(query, query, query, lambda s, b, h, q, k: s * 1.5)
        if self.flex:
            from torch.nn.attention.flex_attention import flex_attention

            self.torch.compile(flex_attention)(query, query, query, lambda s, b, h, q, k: s * 1.5)

    @contextlib.contextmanager
    def alone(self):
        """No other worker uses the device meanwhile, first calls excepted."""
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            self.wait()
            fcntl.flock(self.lock, fcntl.LOCK_UN)

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def seconds(self, function):
        self.wait()
        start = time.perf_counter()
        result = function()
        self.wait()
        return result, round(time.perf_counter() - start, 3)

    def milliseconds(self, function):
        function()
        self.wait()
        if self.device == "cuda":
            return self._device_milliseconds(function)
        times = [self.seconds(function)[1] for _ in range(3)]
        repeats = max(3, min(50, int(0.5 / max(min(times), 1e-3))))
        return round(1e3 * statistics.median(self._precise(function) for _ in range(repeats)), 4)

    @staticmethod
    def _precise(function):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    def _device_milliseconds(self, function, calls=10):
        """By events around several calls, queued behind a wait: the host's time does not show."""
        torch, times = self.torch, []
        for _ in range(5):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda._sleep(4_000_000)
            start.record()
            for _ in range(calls):
                function()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / calls)
        return round(statistics.median(times), 5)

    def check(self, name, dtype, features):
        """right, refused or wrong under the error rule; and the time of the first call."""
        torch, reference = self.torch, self.reference
        torch.manual_seed(0)
        maker, length = self.gym.ALL[name]
        heads, dtype = 4, getattr(torch, dtype)
        score_mod, mask_mod = maker(heads, length)
        query, key, value = (torch.randn(2, heads, length, features, dtype=dtype) for _ in range(3))
        case = {"dtype": str(dtype).split(".")[1], "features": features}
        try:
            call = lambda: self.strobe.flex_attention(query, key, value, score_mod, mask_mod, return_lse=True)  # noqa: E731
            (out, lse), case["first_s"] = self.seconds(call)
        except self.strobe.StrobeError as error:
            return {**case, "result": "refused", "why": str(error)[:400]}
        with self.alone():
            want, want_lse = reference.expected(query, key, value, score_mod, mask_mod)
            block_mask = reference.block_mask_of(mask_mod, query, key) if mask_mod else None
            unfused = reference.torch_flex_attention(query, key, value, score_mod, block_mask)
        # Twice the error of PyTorch's own in the same type, and one rounding of the largest result.
        allowed = 2 * (unfused.double() - want).abs().max() + torch.finfo(dtype).eps * want.abs().max()
        error = (out.double() - want).abs().max()
        finite = ~torch.isinf(want_lse)
        lse_error = (lse.double() - want_lse)[finite].abs().max()
        right = bool(error <= allowed) and bool(lse_error <= 1e-3 * (1 + want_lse[finite].abs().max()))
        right = right and bool((torch.isinf(lse) == ~finite).all()) and not bool(out.isnan().any())
        return {**case, "result": "right" if right else "wrong", "error": float(error), "allowed": float(allowed),
                "lse_error": float(lse_error)}

    def time(self, name, say):
        torch = self.torch
        dtype, heads, features, tokens = TIMED[self.device]
        # Images and tiles want powers of two; what some of the entries capture is made for two sequences.
        batch = max(2, tokens // self.length)
        score_mod, mask_mod = self.gym.ALL[name][0](heads, self.length)
        batch = 2 if name in ("per_batch", "graph_bias", "latent_rope") else batch
        shape = (batch, heads, self.length, features)
        query, key, value = (torch.randn(shape, dtype=getattr(torch, dtype)) for _ in range(3))
        row = {"shape": list(shape), "timed_dtype": dtype}
        run = lambda: self.strobe.flex_attention(query, key, value, score_mod, mask_mod)  # noqa: E731
        _, row["strobe_first_s"] = self.seconds(run)
        with self.alone():
            row["strobe_ms"] = self.milliseconds(run)
        if self.flex:
            say(row)
            try:
                row.update(self._time_flex(query, key, value, score_mod, mask_mod))
            except Exception as error:
                row["flex_error"] = f"{type(error).__name__}: {error}"[:300]
        return row

    def _time_flex(self, query, key, value, score_mod, mask_mod):
        torch = self.torch
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        torch._dynamo.reset()
        compiled = torch.compile(flex_attention)
        b, h, length, _ = query.shape

        # As torch's documentation advises: what does not depend on batch or head is built once for all of them.
        over = (b if _reads(mask_mod, 0) else None, h if _reads(mask_mod, 1) else None) if mask_mod else ()

        def make():
            # Not compiled: where it was, a row with a mask took 45 s.
            return create_block_mask(mask_mod, *over, length, length, device=self.device) if mask_mod else None

        def first():
            block_mask = make()
            compiled(query, key, value, score_mod, block_mask)
            return block_mask

        block_mask, took = self.seconds(first)
        with self.alone():
            row = {"flex_first_s": took, "flex_ms": self.milliseconds(lambda: compiled(query, key, value, score_mod, block_mask))}
            if mask_mod:
                row["flex_with_mask_ms"] = self.milliseconds(lambda: compiled(query, key, value, score_mod, make()))
        return row

    def row(self, name, say):
        """The row; what is known of it before torch's code runs is said first, in case that ends the process."""
        row = {"name": name, "cases": []}
        for dtype, features in CASES[self.device]:
            row["cases"].append(self.check(name, dtype, features))
        results = {c["result"] for c in row["cases"]}
        row["result"] = next(r for r in ("wrong", "refused", "right") if r in results)
        if row["cases"][0]["result"] == "right":
            row.update(self.time(name, lambda so_far: say({**row, **so_far})))
        return row


class _Forbidden:
    """Is not there: any use of it is an error."""


def _reads(mask_mod, argument):
    """Whether a mask_mod looks at its batch (0) or head (1)."""
    import torch

    arguments = [torch.zeros((), dtype=torch.int32) for _ in range(4)]
    arguments[argument] = _Forbidden()
    try:
        mask_mod(*arguments)
        return False
    except Exception:
        return True


def work(options):
    """A worker: names come in, rows go out, a line each."""
    rows, sys.stdout = sys.stdout, sys.stderr
    worker = Worker(options.device, options.length, options.flex, options.lock)
    print(json.dumps({"ready": True}), file=rows, flush=True)
    for line in sys.stdin:
        name = line.strip()
        try:
            row = worker.row(name, lambda row: print(json.dumps({"part": row}), file=rows, flush=True))
        except Exception as error:
            row = {"name": name, "result": "wrong", "why": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(row), file=rows, flush=True)


class Table:
    """The rows so far, on disk after each."""

    def __init__(self, options):
        import gym
        import machine

        self.path, self.lock, self.order = pathlib.Path(options.out), threading.Lock(), list(gym.ALL)
        header = machine.header(device=None if options.device == "cuda" else _processor())
        self.data = {**header, "where": options.device, "length": options.length, "jobs": options.jobs, "rows": []}
        if self.path.is_file():
            old = json.loads(self.path.read_text())
            if all(old.get(k) == self.data[k] for k in ("commit", "device", "length")):
                self.data["rows"] = old["rows"]

    def has(self, name):
        return any(r["name"] == name for r in self.data["rows"])

    def add(self, row):
        with self.lock:
            self.data["rows"].append(row)
            self.data["rows"].sort(key=lambda r: self.order.index(r["name"]))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.data, indent=1) + "\n")
            part.replace(self.path)
            shown = {k: row[k] for k in ("strobe_ms", "flex_ms", "strobe_first_s", "flex_first_s", "why", "flex_error") if k in row}
            print(f"{row['name']:<22}{row['result']:<9}{shown}", flush=True)


def _processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, threads: {os.environ.get('OMP_NUM_THREADS', os.cpu_count())}"
    return "unknown processor"


def _next_row(worker, seconds=None):
    """The next row or part of one; None if the process has ended, or is ended because it took too long."""
    killer = threading.Timer(seconds, worker.kill) if seconds else None
    if killer:
        killer.daemon = True
        killer.start()
    line = worker.stdout.readline()
    if killer:
        killer.cancel()
    return json.loads(line) if line else None


def serve(options, names, table, deadline):
    """Keeps one worker busy until there are no names, or no time."""
    command = [sys.executable, __file__, "--worker", "--device", options.device, "--length", str(options.length), "--lock", options.lock]
    command += [] if options.flex else ["--no-flex"]
    environment = {**os.environ, "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    worker = None
    while time.monotonic() < deadline:
        try:
            name = names.get_nowait()
        except queue.Empty:
            break
        if worker is None:
            worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            end = threading.Timer(max(deadline - time.monotonic(), 1), worker.kill)
            end.daemon = True
            end.start()
            if not worker.stdout.readline():
                print("a worker did not start", flush=True)
                return
        worker.stdin.write(name + "\n")
        worker.stdin.flush()
        part, row = None, _next_row(worker)
        if row and "part" in row:
            begin = time.monotonic()
            part, row = row["part"], _next_row(worker, options.flex_seconds)
        if row:
            table.add(row)
        elif part or time.monotonic() < deadline:
            worker.wait()
            slow = part and time.monotonic() - begin >= options.flex_seconds
            why = f"its process ended with {worker.returncode}"
            why = f"not compiled and timed within {options.flex_seconds:.0f} s" if slow else why
            why = "cut off by the time limit" if time.monotonic() >= deadline else why
            table.add({**part, "flex_error": why} if part else {"name": name, "result": "wrong", "why": why})
            worker = None
    if worker is not None and worker.poll() is None:
        worker.kill()


def markdown(data):
    """The table, and what its columns mean."""
    dtype = next((r["timed_dtype"] for r in data["rows"] if "timed_dtype" in r), "")
    lines = [f"# Masks and score modifiers through strobe.flex_attention: {data['device']}", "",
             f"{data['date']}, commit {data['commit']}, torch {data['versions'].get('torch')}, {data['jobs']} processes at a time. "
             f"Timed in {dtype} at length {data['length']}; written by `tests/python/gym_table.py`. Correct: "
             + ", ".join(f"{d} D={f}" for d, f in CASES[data["where"]])
             + ", out within twice the error of unfused PyTorch in the same type, lse within 1e-3. With mask: torch's time with its BlockMask "
             "built at every call (create_block_mask, not compiled), once for all batches and heads where the mask does not depend on them. First call: trace, compile and run.", "",
             "| | correct | Strobe ms | torch ms | with mask ms | Strobe / torch | first call s | torch's first call s |",
             "|---|---|---|---|---|---|---|---|"]

    def cell(row, key, digits=3):
        return f"{row[key]:.{digits}f}" if isinstance(row.get(key), (int, float)) else ""

    for row in data["rows"]:
        cases = row.get("cases", [])
        right = sum(c["result"] == "right" for c in cases)
        verdict = "yes" if cases and right == len(cases) else f"{right} of {len(cases)}: {row['result']}"
        ratio = f"{row['strobe_ms'] / row['flex_ms']:.2f}" if row.get("flex_ms") and row.get("strobe_ms") else ""
        flex = cell(row, "flex_ms") or ("fails" if "flex_error" in row else "")
        lines.append(f"| {row['name']} | {verdict} | {cell(row, 'strobe_ms')} | {flex} | {cell(row, 'flex_with_mask_ms')} | {ratio} | "
                     f"{cell(row, 'strobe_first_s', 2)} | {cell(row, 'flex_first_s', 2)} |")
    reasons = {c.get("why", "") for r in data["rows"] for c in [r, *r.get("cases", [])] if c.get("why")}
    return "\n".join([*lines, *(["", "Refused or wrong, because:", ""] + [f"- {' '.join(w.split())}" for w in sorted(reasons)] if reasons else [])]) + "\n"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", choices=list(CASES), default="cpu")
    options.add_argument("--out", help="the JSON; its Markdown lies beside it")
    options.add_argument("--markdown", help="a JSON file of which to write the Markdown, and nothing else")
    options.add_argument("--only", default="", help="names of gym.py, separated by commas")
    options.add_argument("--length", type=int, help="of the timed sequences (a square of a power of two); checks use those of gym.py")
    options.add_argument("--seconds", type=float, default=3600, help="stop after this time; rows that are done stay")
    options.add_argument("--jobs", type=int, default=1)
    options.add_argument("--no-flex", dest="flex", action="store_false", help="do not time torch's FlexAttention")
    options.add_argument("--flex-seconds", type=float, default=60, help="give torch's FlexAttention up after this time in a row")
    options.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--lock", help=argparse.SUPPRESS)
    options = options.parse_args()
    options.length = options.length or {"cpu": 1024, "cuda": 4096}[options.device]
    if options.markdown:
        path = pathlib.Path(options.markdown)
        path.with_suffix(".md").write_text(markdown(json.loads(path.read_text())))
        return 0
    if options.worker:
        work(options)
        return 0
    if not options.out:
        raise SystemExit("--out is missing")
    deadline = time.monotonic() + options.seconds
    import gym

    table, names = Table(options), queue.Queue()
    for name in [n for n in options.only.split(",") if n] or list(gym.ALL):
        if not table.has(name):
            names.put(name)
    with tempfile.TemporaryDirectory(prefix="strobe-gym-") as folder:
        options.lock = os.path.join(folder, "device")
        # Nothing from an earlier run: a first call is one that compiles.
        os.environ["STROBE_CACHE"] = "off"
        jobs = [threading.Thread(target=serve, args=(options, names, table, deadline)) for _ in range(options.jobs)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    table.path.with_suffix(".md").write_text(markdown(table.data))
    rows = table.data["rows"]
    count = {r: sum(row["result"] == r for row in rows) for r in ("right", "refused", "wrong")}
    print(f"{count}, {names.qsize()} not reached; {table.path}")
    return 1 if count["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
