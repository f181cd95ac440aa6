"""The GPU suite: kernel packages on an NVIDIA GPU against float64, amid poison, in odd layouts and sizes.

    python3 tests/gpu/suite.py build/packages --library build/src/libstrobe_runtime.so --out summary.json

Packages are <variant>_<dtype>_<head dim>[_<value dim>][_<schedule>].skp. Every package
gets processes of its own. Exit code 1 if a case failed or nothing ran.
"""

import argparse
import json
import os
import pathlib
import sys
import time
import traceback

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import launches
import machine
import sizes
import values
import variants
from context import Context
from isolation import Child
from strobe_ctypes import require_readable

SECTIONS = (
    (1, "error rule", values.error_rule),
    (3, "tile edges", values.tile_edges),
    (4, "fully masked rows", values.rows_without_keys),
    (5, "NaN and infinity containment", values.containment),
    (6, "empty tensors", values.empty_tensors),
    (7, "grid beyond 65,535", sizes.grids),
    (8, "64-bit offsets", sizes.wide_offsets),
    (9, "layouts", sizes.layouts),
    (13, "race stress", launches.races),
    (14, "determinism", launches.determinism),
    (20, "streams and graphs", launches.streams_and_graphs),
)
GUARDS = (10, "poison and guard margins")
SHOWN = 8  # failures of a section that are printed and kept


def lost_context(error):
    return "CUDA error" in str(error) or "illegal memory access" in str(error) or "CUDA driver" in str(error)


def run_section(ctx, number, section, emit):
    cases, failures, texts, started = 0, 0, [], time.time()
    emit({"begin": number})

    def fail(text):
        nonlocal failures
        failures += 1
        if len(texts) < SHOWN:
            texts.append(text[:400])

    note, dead = "", False
    for name, case in section(ctx):
        if ctx.over():
            note = f"stopped by the time limit after {cases} cases"
            break
        cases += 1
        try:
            problem = case()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            dead = ctx.on_gpu and lost_context(error)
        if problem:
            fail(f"{name}: {problem}")
        if dead:
            break
    record = {"section": number, "cases": cases, "failures": failures, "texts": texts, "note": note}
    record.update(seconds=time.time() - started, launches=ctx.launches, guard_failures=len(ctx.guard_failures))
    record.update(guard_texts=ctx.guard_failures[:SHOWN], error=ctx.largest_error, lse_error=ctx.largest_lse_error)
    ctx.launches, ctx.guard_failures = 0, []
    emit(record)
    if dead:
        raise RuntimeError("the CUDA context is lost")


def package_maker(path, options):
    if options.self_check:
        from stand_in import StandIn

        return lambda: StandIn(path.stem)
    from strobe_ctypes import Package

    return lambda: Package(path, library=options.library)


def start_torch(options):
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    if options.self_check:
        torch.set_num_threads(1)
    else:
        torch.cuda.init()
        torch.zeros(1, device="cuda")


def work_on(path, numbers, options, deadline):
    """What the process of a package does."""

    def work(emit):
        start_torch(options)
        device = "cpu" if options.self_check else "cuda"
        ctx = Context(package_maker(path, options), path.stem, device, options.self_check or options.quick, deadline)
        for number, _, section in SECTIONS:
            if number in numbers:
                run_section(ctx, number, section, emit)
        if 14 in numbers:
            emit({"fingerprint": launches.fingerprint(ctx)})

    return work


def fingerprint_of(path, options):
    def work(emit):
        start_torch(options)
        ctx = Context(package_maker(path, options), path.stem, "cpu" if options.self_check else "cuda")
        emit({"fingerprint": launches.fingerprint(ctx)})

    return work


class PackageRun:
    """One package's sections, over as many processes as it takes."""

    def __init__(self, path, numbers, options, deadline):
        self.path, self.left, self.options, self.deadline = path, list(numbers), options, deadline
        self.records, self.fingerprints, self.child, self.stage, self.lost = [], [], None, "sections", 0
        self.started = time.time()

    def begin(self):
        if self.stage == "sections":
            work = work_on(self.path, self.left, self.options, self.deadline)
        else:
            work = fingerprint_of(self.path, self.options)
        seconds = min(self.options.package_limit, max(self.deadline - time.time() + 20, 20))
        self.child = Child(work, seconds, self.path.stem)

    def advance(self):
        """False once everything of this package is done."""
        if not self.child.finished():
            return True
        records = self.child.take()
        self.fingerprints += [r["fingerprint"] for r in records if "fingerprint" in r]
        done = [r for r in records if "section" in r]
        self.records += done
        if self.stage == "fingerprint":
            if self.child.code:
                self.lose(14, "second process")
            return False
        self.left = [n for n in self.left if n not in {r["section"] for r in done}]
        if self.child.code and self.left:
            begun = [r["begin"] for r in records if "begin" in r]
            lost = begun[-1] if begun and begun[-1] in self.left else self.left[0]
            self.lose(lost, "" if begun else "before the first section")
            self.left.remove(lost)
            self.lost += 1
            if self.left and self.lost < 4 and time.time() < self.deadline:
                self.begin()
                return True
        for number in self.left:
            self.records.append(blank(number, note="not run"))
        if 14 in self.options.requirements and time.time() < self.deadline:
            self.stage = "fingerprint"
            self.begin()
            return True
        return False

    def lose(self, number, where):
        text = f"the process ended: {self.child.ending()} {where}".strip()
        self.records.append(dict(blank(number), cases=1, failures=1, texts=[text]))

    def finish(self):
        if len(self.fingerprints) == 2:
            same = self.fingerprints[0] == self.fingerprints[1]
            text = [] if same else ["two processes gave different results"]
            self.records.append(dict(blank(14), cases=1, failures=int(not same), texts=text))
        return self.records


def blank(number, note=""):
    return {"section": number, "cases": 0, "failures": 0, "texts": [], "note": note, "seconds": 0.0, "launches": 0,
            "guard_failures": 0, "guard_texts": [], "error": 0.0, "lse_error": 0.0}  # fmt: skip


def run_all(paths, options):
    deadline = time.time() + options.time_limit
    waiting = [PackageRun(path, options.requirements, options, deadline) for path in paths]
    running, results = [], {}
    while waiting or running:
        while waiting and len(running) < options.jobs:
            run = waiting.pop(0)
            if time.time() > deadline:
                results[run.path.stem] = [blank(n, note="not run") for n in options.requirements]
                continue
            run.begin()
            running.append(run)
        for run in list(running):
            if not run.advance():
                running.remove(run)
                results[run.path.stem] = run.finish()
                show_package(run.path.stem, results[run.path.stem], time.time() - run.started)
        time.sleep(0.01)
    return results


def show_package(name, records, seconds):
    cases = sum(r["cases"] for r in records)
    failures = sum(r["failures"] + r["guard_failures"] for r in records)
    error, lse = (max((r[key] for r in records), default=0) for key in ("error", "lse_error"))
    print(f"{name:28} {cases:6} cases {failures:4} failures  max error {error:.1e}  lse {lse:.1e}  {seconds:5.1f} s", flush=True)
    for r in records:
        for text in r["texts"] + r["guard_texts"] + ([r["note"]] if r["note"] else []):
            print(f"    [{r['section']}] {text}", flush=True)


def summarise(results, options, seconds):
    rows = []
    for number, title, _ in (*SECTIONS, (*GUARDS, None)):
        mine = [(name, r) for name, records in sorted(results.items()) for r in records if r["section"] == number]
        if number == GUARDS[0]:
            mine = [(name, r) for name, records in sorted(results.items()) for r in records]
            cases, failures = (sum(r[key] for _, r in mine) for key in ("launches", "guard_failures"))
            notes = [f"{name}: {text}" for name, r in mine for text in r["guard_texts"]]
        else:
            if number not in options.requirements:
                continue
            cases, failures = (sum(r[key] for _, r in mine) for key in ("cases", "failures"))
            notes = [f"{name}: {text}" for name, r in mine for text in r["texts"] + ([r["note"]] if r["note"] else [])]
        rows.append({"number": number, "name": title, "cases": cases, "failures": failures, "notes": notes[:40]})
        rows[-1]["seconds"] = round(sum(r["seconds"] for _, r in mine), 1)
        if number == 20 and options.self_check:
            rows[-1]["notes"].append("not run: needs a GPU")
    rows.sort(key=lambda row: row["number"])
    everything = [r for records in results.values() for r in records]
    return {
        **machine.header(options.commit, "stand-in on the CPU" if options.self_check else None),
        "packages": sorted(results),
        "cases": sum(r["cases"] for r in everything),
        "failures": sum(r["failures"] + r["guard_failures"] for r in everything),
        "seconds": round(seconds, 1),
        "largest_error": {name: max((r["error"] for r in records), default=0) for name, records in sorted(results.items())},
        "largest_lse_error": max((r["lse_error"] for r in everything), default=0),
        "requirements": rows,
    }


def show(summary):
    print(f"\n{'':3} {'requirement':32} {'cases':>7} {'failures':>8} {'seconds':>8}")
    for row in summary["requirements"]:
        print(f"{row['number']:3} {row['name']:32} {row['cases']:7} {row['failures']:8} {row['seconds']:8.1f}")
    print(f"{'':3} {'all (without the guard checks)':32} {summary['cases']:7} {summary['failures']:8} {summary['seconds']:8.1f} elapsed")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="?", help="folder of kernel packages (*.skp)")
    parser.add_argument("--library", help="libstrobe_runtime.so (default: see strobe_ctypes.py)")
    parser.add_argument("--only", action="append", default=[], help="only packages whose name contains this; repeatable")
    parser.add_argument("--requirements", default="", help="only these numbers, such as 1,3,9")
    parser.add_argument("--jobs", type=int, default=4, help="packages at a time")
    parser.add_argument("--time-limit", type=float, default=420, help="seconds for everything; what is left is reported as not run")
    parser.add_argument("--package-limit", type=float, default=120, help="seconds after which a package's process is ended")
    parser.add_argument("--quick", action="store_true", help="few cases of each section")
    parser.add_argument("--out", help="write the summary here, as JSON")
    parser.add_argument("--commit", help="commit that the packages were built from (default: the checkout's)")
    parser.add_argument("--self-check", action="store_true", help="no GPU: run few cases on a stand-in made of PyTorch")
    options = parser.parse_args(arguments)
    numbers = [number for number, _, _ in SECTIONS]
    options.requirements = [int(n) for n in options.requirements.split(",") if n] or numbers
    unknown = [n for n in options.requirements if n not in numbers]
    if unknown:
        parser.error(f"no section for requirement {unknown}; there are {numbers}")
    if not options.packages and not options.self_check:
        parser.error("name the folder of packages, or --self-check")
    return options


def find_packages(options):
    if options.self_check:
        paths = [pathlib.Path(f"{name}_{dtype}_64.skp") for name in variants.NAMES for dtype in ("bf16", "fp16")]
    else:
        paths = sorted(pathlib.Path(options.packages).glob("*.skp"))
    paths = [p for p in paths if not options.only or any(word in p.stem for word in options.only)]
    for path in [p for p in paths if not variants.parse_file_name(p.stem)]:
        print(f"left out: {path.name} is not named <variant>_<dtype>_<head dim>[_<value dim>][_<schedule>].skp")
        paths.remove(path)
    return paths


def main(arguments=None):
    options = parse(arguments)
    paths = find_packages(options)
    if not options.self_check:
        require_readable(paths, options.library)
    started = time.time()
    summary = summarise(run_all(paths, options), options, time.time() - started)
    summary["seconds"] = round(time.time() - started, 1)
    show(summary)
    if options.out:
        pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(options.out).write_text(json.dumps(summary, indent=1) + "\n")
    if not summary["cases"]:
        print("no case ran")
    return 1 if summary["failures"] or not summary["cases"] else 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception:
        traceback.print_exc()
        code = 2
    sys.stdout.flush()
    os._exit(code)
