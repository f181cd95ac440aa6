"""Requirement 12: compute-sanitizer's tools on kernel packages, and on planted faults that they must find.

    python3 tests/gpu/sanitizer.py build/packages --library build/src/libstrobe_runtime.so --out sanitizer.json

Exit code 1 if a tool reports an error, if a planted fault is not reported, if fewer than --kernels kernels passed every
tool, or if nothing ran.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import machine
import programs_suite
import variants

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
# Kernels of race_patterns.py beside the packages: what racecheck must find, and what it must not.
RACES, ORDERED = ("race_of_the_writer", "race_of_the_readers"), ("all_readers_arrive", "all_writers_arrive")
SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) errors?|RACECHECK SUMMARY: \d+ hazards? displayed \((\d+) errors?, (\d+) warnings?\)")
REPORT = re.compile(r"^=========\s+(?!COMPUTE|ERROR SUMMARY|RACECHECK SUMMARY)(\S.*)$", re.MULTILINE)


def find_tool(given):
    places = [given, shutil.which("compute-sanitizer"), "/usr/local/cuda/bin/compute-sanitizer"]
    places += sorted(pathlib.Path("/usr/local").glob("cuda*/bin/compute-sanitizer"))
    return next((str(place) for place in places if place and pathlib.Path(place).is_file()), None)


def version_of(sanitizer):
    text = subprocess.run([sanitizer, "--version"], stdout=subprocess.PIPE, text=True).stdout
    found = re.search(r"Version (\S+)", text)
    return found[1] if found else ""


def parse(text):
    """(errors or None if the tool did not finish, first lines of its report)."""
    found = SUMMARY.findall(text)
    errors = sum(int(number or 0) for match in found for number in match[:2]) if found else None
    return errors, REPORT.findall(text)[:40]


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of one tool on a few packages, or on a kernel of race_patterns.py."""

    tool: str
    packages: tuple = ()
    pattern: str = ""
    planted: bool = False

    def names(self):
        return [self.pattern] if self.pattern else [package.stem for package in self.packages]

    def command(self, sanitizer, options):
        command = [sanitizer, "--tool", self.tool, "--print-limit", "100"]
        if self.tool != "initcheck":  # which must see the kernels that fill the inputs
            command += ["--kernel-regex", "kns=strobe"]
        if self.tool in ("racecheck", "synccheck"):  # which would count them in the machine code, and might miscount
            command += ["--num-cuda-barriers", "64"]
        if self.pattern:
            return command + [sys.executable, str(HERE / "race_patterns.py"), self.pattern]
        command += [sys.executable, str(HERE / "sanitized.py"), *map(str, self.packages)]
        command += ["--library", options.library] if options.library else []
        return command + (["--planted"] if self.planted else [])

    def run(self, sanitizer, options, deadline):
        """A row of the result for each package."""
        common = dict(tool=self.tool, planted=self.planted, launches=0, kernels=0, errors=0, ok=False, note="", report=[])
        seconds = min(options.run_limit, deadline - time.time())
        if seconds < 5:
            return [dict(common, package=name, note="time limit", ran=False) for name in self.names()]
        environment = dict(os.environ, PYTORCH_NO_CUDA_MEMORY_CACHING="1")
        start = time.time()
        try:
            done = subprocess.run(
                self.command(sanitizer, options), env=environment,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return [dict(common, package=name, note=f"stopped after {seconds:.0f} s", ran=True) for name in self.names()]
        common["seconds"] = round(time.time() - start, 1)
        return [self.judge(dict(common, package=name, ran=True), done.stdout) for name in self.names()]

    def judge(self, row, text):
        errors, report = parse(text)
        launched = re.search(rf"^{re.escape(row['package'])}: launched (\d+), kernels (\d+)", text, re.MULTILINE)
        row.update(errors=errors, report=report if errors else [])
        if launched:
            row.update(launches=int(launched[1]), kernels=int(launched[2]))
        if self.planted:
            row["ok"] = bool(errors)
            row["note"] = "" if row["ok"] else "the planted fault was not found"
        else:
            row["ok"] = errors == 0 and launched is not None
            if errors is None or launched is None:
                row["note"] = "did not finish: " + " | ".join(text.strip().splitlines()[-3:])[:300]
        return row


def jobs_for(packages, tools, together):
    """Planted faults first, then group by group: what a time limit cuts off is whole packages."""
    jobs = []
    if "memcheck" in tools:
        planted = next((package for package in packages if variants.parse_file_name(package.stem)), None)
        jobs += [Job("memcheck", (planted,), planted=True)] if planted else []
    if "racecheck" in tools:
        jobs += [Job("racecheck", pattern=name, planted=True) for name in RACES]
        jobs += [Job("racecheck", pattern=name) for name in ORDERED]
    groups = [tuple(packages[n : n + together]) for n in range(0, len(packages), together)]
    return jobs + [Job(tool, group) for group in groups for tool in tools]


def run_all(packages, sanitizer, options):
    """Groups of packages share a process; where one has an error, each runs again by itself."""
    deadline = time.time() + options.time_limit
    rows = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        submit = lambda job: (job, pool.submit(job.run, sanitizer, options, deadline))
        waiting = [submit(job) for job in jobs_for(packages, options.tools, options.together)]
        while waiting:
            job, future = waiting.pop(0)
            found = future.result()
            if len(job.packages) > 1 and any(row["ran"] and not row["ok"] for row in found):
                waiting += [submit(Job(job.tool, (package,))) for package in job.packages]
                continue
            for row in found:
                show(row, options.verbose)
            rows += found
    return rows


def show(row, verbose):
    verdict = "ok" if row["ok"] else "FAILED" if row["ran"] else "not run"
    if verbose or not row["ok"]:
        what = f"{row['tool']}{' (planted fault)' if row['planted'] else ''}"
        print(f"{what:26} {row['package']:28} {row['launches']:3} launches  errors {row['errors']}  {verdict} {row['note']}", flush=True)
        for line in row["report"][:6]:
            print(f"      {line}", flush=True)


def kernels_passed(rows, tools):
    """Kernels of the packages on which every tool ran without an error."""
    passed = {}
    for row in rows:
        if row["ok"] and not row["planted"] and row["kernels"]:
            passed.setdefault(row["package"], {})[row["tool"]] = row["kernels"]
    return sum(max(found.values()) for found in passed.values() if set(found) == set(tools))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", help="folder of kernel packages (*.skp)")
    parser.add_argument("--library", help="libstrobe_runtime.so")
    parser.add_argument("--only", action="append", default=[], help="only packages whose name contains this; repeatable")
    parser.add_argument("--tools", type=lambda text: text.split(","), default=list(TOOLS), help="comma-separated")
    parser.add_argument("--jobs", type=int, default=12, help="runs at a time")
    parser.add_argument("--time-limit", type=float, default=280, help="seconds for everything")
    parser.add_argument("--run-limit", type=float, default=120, help="seconds for one run")
    parser.add_argument("--together", type=int, default=4, help="packages that share a process")
    parser.add_argument("--kernels", type=int, default=60, help="how many must pass every tool")
    parser.add_argument("--verbose", action="store_true", help="a line for each run, not only for failures")
    parser.add_argument("--sanitizer", help="the program compute-sanitizer, if it is not found by itself")
    parser.add_argument("--out", help="write the result here, as JSON")
    parser.add_argument("--commit", help="commit that the packages were built from")
    return parser.parse_args()


def main():
    options = parse_arguments()
    sanitizer = find_tool(options.sanitizer)
    if not sanitizer:
        print("compute-sanitizer is not on this machine (it comes with the CUDA Toolkit); nothing was checked")
        return 1
    known = lambda stem: variants.parse_file_name(stem) or programs_suite.parse(stem)
    packages = [path for path in sorted(pathlib.Path(options.packages).glob("*.skp")) if known(path.stem)]
    packages = [path for path in packages if not options.only or any(word in path.stem for word in options.only)]
    if not packages:
        print("no package to check")
        return 1
    start = time.time()
    rows = run_all(packages, sanitizer, options)
    ran = [row for row in rows if row["ran"]]
    failures = [row for row in ran if not row["ok"]]
    kernels = kernels_passed(rows, options.tools)
    print(f"{len(ran)} runs in {time.time() - start:.0f} s, {len(failures)} failures, {len(rows) - len(ran)} not run; "
          f"{kernels} kernels of {len(packages)} packages passed {', '.join(options.tools)}")  # fmt: skip
    if options.out:
        result = {**machine.header(options.commit), "number": 12, "name": "sanitizers"}
        result.update(tool=version_of(sanitizer), cases=len(ran), failures=len(failures), kernels=kernels,
                      packages=len(packages), not_run=len(rows) - len(ran), rows=rows)  # fmt: skip
        pathlib.Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failures or not ran or (kernels < options.kernels and not options.only) else 0


if __name__ == "__main__":
    sys.exit(main())
