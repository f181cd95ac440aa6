"""Requirement 12: compute-sanitizer's tools on kernel packages, and on planted faults that they must find.

    python3 tests/gpu/sanitizer.py build/packages --library build/src/libstrobe_runtime.so --out sanitizer.json

Exit code 1 if a tool reports an error, if a planted fault is not reported, or if nothing ran.
"""

import argparse
import concurrent.futures
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
import variants

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
PLANTED = {"memcheck": "out_of_bounds", "racecheck": "race"}
SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) errors?|RACECHECK SUMMARY: \d+ hazards? displayed \((\d+) errors?, (\d+) warnings?\)")
REPORT = re.compile(r"^=========\s+(?!COMPUTE|ERROR SUMMARY|RACECHECK SUMMARY)(\S.*)$", re.MULTILINE)


def find_tool(given):
    places = [given, shutil.which("compute-sanitizer"), "/usr/local/cuda/bin/compute-sanitizer"]
    places += sorted(pathlib.Path("/usr/local").glob("cuda*/bin/compute-sanitizer"))
    return next((str(place) for place in places if place and pathlib.Path(place).is_file()), None)


def parse(text):
    """(errors or None if the tool did not finish, first lines of its report)."""
    found = SUMMARY.findall(text)
    errors = sum(int(number or 0) for match in found for number in match[:2]) if found else None
    return errors, REPORT.findall(text)[:6]


def command_of(tool, sanitizer, package, options, planted):
    command = [sanitizer, "--tool", tool, "--print-limit", "5"]
    if tool != "initcheck":  # which must see the kernels that fill the inputs
        command += ["--kernel-regex", "kns=strobe"]
    command += [sys.executable, str(HERE / "sanitized.py"), str(package)]
    command += ["--library", options.library] if options.library else []
    return command + (["--planted", PLANTED[tool]] if planted else [])


def check(tool, sanitizer, package, options, deadline, planted=False):
    """One run of one tool on one package, as a row of the result."""
    row = {"tool": tool, "package": package.stem, "planted": planted, "launches": 0, "errors": 0, "ok": False, "note": ""}
    seconds = min(options.run_limit, deadline - time.time())
    if seconds < 5:
        return dict(row, note="not run: time limit", ran=False)
    environment = dict(os.environ, PYTORCH_NO_CUDA_MEMORY_CACHING="1")
    try:
        done = subprocess.run(
            command_of(tool, sanitizer, package, options, planted), env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return dict(row, note=f"stopped after {seconds:.0f} s", ran=True)
    errors, report = parse(done.stdout)
    launched = re.search(r"launched (\d+)", done.stdout)
    kernels = re.search(r"kernels (\d+)", done.stdout)
    row.update(launches=int(launched[1]) if launched else 0, kernels=int(kernels[1]) if kernels else 0)
    row.update(errors=errors, report=report, ran=True)
    if planted:
        row["ok"] = bool(errors)
        row["note"] = "" if row["ok"] else "the planted fault was not found"
    else:
        row["ok"] = errors == 0 and launched is not None
        if errors is None or launched is None:
            row["note"] = "did not finish: " + " | ".join(done.stdout.strip().splitlines()[-3:])[:300]
    return row


def run_all(packages, sanitizer, options):
    deadline = time.time() + options.time_limit
    jobs = [(tool, packages[0], True) for tool in PLANTED if tool in options.tools] + [(tool, package, False) for tool in options.tools for package in packages]
    rows = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(check, tool, sanitizer, package, options, deadline, planted) for tool, package, planted in jobs]
        for future in concurrent.futures.as_completed(futures):
            row = future.result()
            rows.append(row)
            verdict = "ok" if row["ok"] else "FAILED" if row["ran"] else "not run"
            what = f"{row['tool']}{' (planted fault)' if row['planted'] else ''}"
            print(f"{what:26} {row['package']:28} {row['launches']:3} launches  errors {row['errors']}  {verdict} {row['note']}", flush=True)
            for line in [] if row["ok"] else row.get("report", []):
                print(f"      {line}", flush=True)
    return rows


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", help="folder of kernel packages (*.skp)")
    parser.add_argument("--library", help="libstrobe_runtime.so")
    parser.add_argument("--only", action="append", default=[], help="only packages whose name contains this; repeatable")
    parser.add_argument("--tools", type=lambda text: text.split(","), default=list(TOOLS), help="comma-separated")
    parser.add_argument("--jobs", type=int, default=4, help="runs at a time")
    parser.add_argument("--time-limit", type=float, default=400, help="seconds for everything")
    parser.add_argument("--run-limit", type=float, default=120, help="seconds for one run")
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
    packages = [path for path in sorted(pathlib.Path(options.packages).glob("*.skp")) if variants.parse_file_name(path.stem)]
    packages = [path for path in packages if not options.only or any(word in path.stem for word in options.only)]
    if not packages:
        print("no package to check")
        return 1
    rows = run_all(packages, sanitizer, options)
    ran = [row for row in rows if row["ran"]]
    failures = [row for row in ran if not row["ok"]]
    checked = {row["package"]: row.get("kernels", 0) for row in ran if not row["planted"]}
    print(f"{len(ran)} runs on {sum(checked.values())} kernels, {len(failures)} failures, {len(rows) - len(ran)} not run")
    if options.out:
        result = {**machine.header(options.commit), "number": 12, "name": "sanitizers"}
        result.update(cases=len(ran), failures=len(failures), kernels=sum(checked.values()), not_run=len(rows) - len(ran), rows=rows)
        pathlib.Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failures or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
