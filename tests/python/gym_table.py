"""The table of gym.py: is strobe.flex_attention right, how long does it take beside torch's, how long is the first call?

    python3 tests/python/gym_table.py --device cuda --out benchmarks/results/gym_h100.json --seconds 400 --jobs 14

Processes (gym_worker.py) compile and check rows beside each other; when all are compiled, the rows are timed one after another,
while nobody else uses the device. Writes the JSON after every row, and at the end the table as Markdown beside it
(--markdown FILE writes it from the JSON alone). Rows that the file already has for this commit are kept, so a run that was
cut short can be continued. Exit code 1 if a result is wrong.

The package is found as in the tests: STROBE_TORCH_LIBRARY names the extension, STROBE_HALIDE libHalide.so where the
halide package is not installed.
"""

import argparse
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = [str(ROOT / "python"), str(ROOT / "tests" / "python"), str(ROOT / "tests" / "gpu")]
sys.path[:0] = FOLDERS


class Process:
    """A worker, started when it is first asked, and again after it ended."""

    def __init__(self, options, deadline):
        flex = "flex" if options.flex else "no-flex"
        self.command = [sys.executable, str(ROOT / "tests" / "python" / "gym_worker.py"), options.device, str(options.length), flex]
        # A first call is one that compiles: nothing from an earlier run.
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(FOLDERS), "STROBE_CACHE": "off",
                            "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        self.patience, self.deadline, self.process = options.flex_seconds, deadline, None

    def _answer(self, seconds):
        """The next answer; None if the process has ended, or is ended because it took too long."""
        killer = threading.Timer(max(min(seconds, self.deadline - time.monotonic()), 0.1), self.process.kill)
        killer.daemon = True
        killer.start()
        line = self.process.stdout.readline()
        killer.cancel()
        return json.loads(line) if line else None

    def ask(self, do, name):
        """What it answers; without an answer, what was known before and why there is no more."""
        if self.process is None:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment)
            if not self._answer(1e6):
                raise SystemExit("a worker did not start" if time.monotonic() < self.deadline else "there was no time to start")
        self.process.stdin.write(json.dumps({"do": do, "name": name}) + "\n")
        self.process.stdin.flush()
        known, begin = {}, time.monotonic()
        answer = self._answer(1e6)
        while answer and answer.pop("more", False):
            known, begin = answer, time.monotonic()
            answer = self._answer(self.patience)
        if answer is not None:
            return answer
        code, self.process = self.process.wait(), None
        if time.monotonic() >= self.deadline:
            return {**known, "cut": True}
        slow = bool(known) and time.monotonic() - begin >= self.patience
        why = f"not compiled within {self.patience:.0f} s" if slow else f"its process ended with {code}"
        return {**known, "flex_error": why} if known else {"name": name, "result": "wrong", "why": why}

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


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
                self.data["rows"] = [r for r in old["rows"] if "strobe_ms" in r or r["result"] != "right"]

    def row(self, name):
        return next((r for r in self.data["rows"] if r["name"] == name), None)

    def add(self, row):
        """A row, or more about one."""
        with self.lock:
            known = self.row(row["name"]) or {}
            rows = [r for r in self.data["rows"] if r is not known] + [{**known, **row}]
            self.data["rows"] = sorted(rows, key=lambda r: self.order.index(r["name"]))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.data, indent=1) + "\n")
            part.replace(self.path)
            shown = {k: v for k, v in row.items() if k.endswith(("_ms", "_first_s")) or k in ("why", "flex_error")}
            print(f"{row['name']:<22}{row.get('result', ''):<9}{shown}", flush=True)


def _processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, threads: {os.environ.get('OMP_NUM_THREADS', os.cpu_count())}"
    return "unknown processor"


def fill(options, names, table):
    """Rows for the names, as far as the time goes."""
    begin = time.monotonic()
    end, compiled_by = begin + options.seconds, begin + options.seconds * 0.75
    left, by = queue.Queue(), {}
    for name in names:
        left.put(name)
    processes = [Process(options, end) for _ in range(min(options.jobs, len(names)))]

    def compile_some(process):
        while time.monotonic() < compiled_by:
            try:
                name = left.get_nowait()
            except queue.Empty:
                return
            row = process.ask("compile", name)
            if not row.pop("cut", False):
                table.add(row)
                by[name] = process

    threads = [threading.Thread(target=compile_some, args=(p,)) for p in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"compiled after {time.monotonic() - begin:.0f} s", flush=True)
    for name, process in sorted(by.items(), key=lambda item: names.index(item[0])):
        if "shape" in table.row(name) and time.monotonic() < end:
            answer = process.ask("time", name)
            if not answer.pop("cut", False) and "strobe_ms" in answer:
                table.add({"name": name, **answer})
    for process in processes:
        process.end()


def markdown(data):
    """The table, and what its columns mean."""
    from gym_worker import CASES

    dtype = next((r["timed_dtype"] for r in data["rows"] if "timed_dtype" in r), "")
    lines = [f"# Masks and score modifiers through strobe.flex_attention: {data['device']}", "",
             f"{data['date']}, commit {data['commit']}, torch {data['versions'].get('torch')}, {data['jobs']} processes at a time. "
             f"Timed in {dtype} at length {data['length']}; written by `tests/python/gym_table.py`. Correct: "
             + ", ".join(f"{d} D={f}" for d, f in CASES[data["where"]])
             + ", out within twice the error of unfused PyTorch in the same type, lse within 1e-3. With mask: torch's time with its BlockMask "
             "built at every call (create_block_mask, not compiled), once for all batches and heads where the mask does not depend on them; the host's "
             "time is counted there, elsewhere the device's. First call: trace, compile and run, all processes at once.", "",
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
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--out", help="the JSON; its Markdown lies beside it")
    options.add_argument("--markdown", help="a JSON file of which to write the Markdown, and nothing else")
    options.add_argument("--only", default="", help="names of gym.py, separated by commas")
    options.add_argument("--length", type=int, help="of the timed sequences (a square of a power of two); checks use those of gym.py")
    options.add_argument("--seconds", type=float, default=3600, help="stop after this time; rows that are done stay")
    options.add_argument("--jobs", type=int, default=1)
    options.add_argument("--no-flex", dest="flex", action="store_false", help="do not time torch's FlexAttention")
    options.add_argument("--flex-seconds", type=float, default=60, help="give torch's FlexAttention up after this time in a row")
    options = options.parse_args()
    options.length = options.length or {"cpu": 1024, "cuda": 4096}[options.device]
    if options.markdown:
        path = pathlib.Path(options.markdown)
        path.with_suffix(".md").write_text(markdown(json.loads(path.read_text())))
        return 0
    if not options.out:
        raise SystemExit("--out is missing")
    import gym

    table = Table(options)
    names = [n for n in options.only.split(",") if n] or list(gym.ALL)
    names = [n for n in names if table.row(n) is None]
    fill(options, names, table)
    table.path.with_suffix(".md").write_text(markdown(table.data))
    rows = table.data["rows"]
    count = {r: sum(row["result"] == r for row in rows) for r in ("right", "refused", "wrong")}
    timed = sum("strobe_ms" in r for r in rows)
    print(f"{count}, {timed} timed, {len(gym.ALL) - len(rows)} not reached; {table.path}")
    return 1 if count["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
