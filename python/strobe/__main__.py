"""python -m strobe doctor: what is here, and what will be used; prepare: kernels ahead of their first call."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys


def _line(mark: str, what: str, text: str) -> None:
    print(f"{mark}  {what:<12}{text}")


def doctor() -> int:
    """Prints what was found; exit code 1 if nothing can be computed."""
    import torch

    _line("ok", "torch", f"{torch.__version__}" + (f", CUDA {torch.version.cuda}" if torch.version.cuda else ", CPU only"))
    try:
        from . import _library
    except Exception as error:
        _line("NO", "extension", str(error))
        return 1
    _line("ok", "extension", str(_library.library_path()))
    facts = dict(line.split("=", 1) for line in _library.ask("strobe_python_doctor").splitlines())
    _line("ok", "halide", f"{facts['halide']}; the CPU's target is {facts['host']}")
    usable = False
    if "driver" in facts:
        _line("ok", "driver", f"CUDA {facts['driver']}")
    else:
        _line("--", "driver", facts.get("driver_error", "none"))
    for n in range(torch.cuda.device_count()):
        name, capability = torch.cuda.get_device_name(n), torch.cuda.get_device_capability(n)
        here = capability[0] == 8 or capability == (9, 0)
        usable = usable or here
        why = "" if here else "; kernels are made for 8.x and 9.0, so its tensors are refused"
        _line("ok" if here else "--", f"cuda:{n}", f"{name}, compute capability {capability[0]}.{capability[1]}{why}")
    if torch.cuda.device_count() == 0:
        _line("--", "GPU", "none that torch can use")
    if facts.get("ptxas"):
        _line("ok", "ptxas", facts["ptxas"])
    else:
        _line("--", "ptxas", facts.get("ptxas_error") or "none: the driver assembles kernels, at every start of a process")
    if not facts["cache"]:
        _line("--", "cache", "off: GPU kernels are compiled by every process")
    elif "cache_error" in facts:
        _line("NO", "cache", facts["cache_error"])
    else:
        _line("ok", "cache", f"GPU kernels in {facts['cache']}; CPU code is compiled by every process")
    kernels = sum(name.endswith(".skc") for name in os.listdir(facts["installed"])) if os.path.isdir(facts["installed"]) else 0
    _line("ok" if kernels else "--", "kernels", f"{kernels} installed in {facts['installed']}" if kernels else "none were installed")
    from . import _in_graph

    captured = "torch.compile and torch.export capture calls of flex_attention" if _in_graph.available else (
        f"torch {torch.__version__} has no place for flex_attention in graphs: they break there ({_in_graph.why_not})")
    _line("ok" if _in_graph.available else "--", "graphs", captured)
    compiler = shutil.which("g++") or shutil.which("clang++")
    _line("ok" if compiler else "--", "inductor", compiler or "no C++ compiler: what is not fused runs eagerly")
    if usable and importlib.util.find_spec("triton") is None:
        _line("--", "triton", "not installed: on GPUs, what is not fused runs eagerly")
    query = torch.randn(1, 1, 8, 8)
    from . import flex_attention

    with torch.no_grad():
        difference = (flex_attention(query, query, query) - torch.softmax(query @ query.mT / 8**0.5, -1) @ query).abs().max()
    good = bool(difference < 1e-5)
    _line("ok" if good else "NO", "CPU", f"a trial run differs by {float(difference):.1e}")
    print(f"Used: the CPU{' and the GPU' if usable else ''}.")
    return 0 if good else 1


def prepare(algorithms: list[str], architecture: str, folder: str | None = None) -> int:
    """Compiles kernels into the cache on disk, or into a folder to install: a call that needs one loads it."""
    from . import _library
    from .errors import StrobeError

    failed = 0
    for algorithm in algorithms:
        try:
            if folder is not None:
                _library.ask("strobe_python_install", algorithm, architecture, folder)
                _line("ok", "for install", f"{algorithm} for {architecture}")
                continue
            what, took, processor = _library.ask("strobe_python_prepare", algorithm, architecture).split()
            _line("ok", what, f"{algorithm} for {architecture}, {float(took):.0f} ms, {float(processor):.1f} ms of processor time")
        except StrobeError as error:
            _line("NO", "refused", f"{algorithm}: {error}")
            failed += 1
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m strobe", description="Attention compiled from Halide algorithms.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="what is here, and what will be used")
    ahead = commands.add_parser("prepare", help="compile algorithms of generators/ for a GPU, into the cache on disk")
    ahead.add_argument("algorithms", nargs="+", metavar='"NAME dtype=bf16 head_dim=64"', help="an algorithm and its parameters")
    ahead.add_argument("--into", metavar="FOLDER", help="a folder to install beside the extension (kernels), in place of the cache")
    ahead.add_argument("--arch", default="sm_90a", help="sm_90a, sm_80, ... (default sm_90a)")
    arguments = parser.parse_args()
    return doctor() if arguments.command == "doctor" else prepare(arguments.algorithms, arguments.arch, arguments.into)


if __name__ == "__main__":
    sys.exit(main())
