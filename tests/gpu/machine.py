"""What a result file says about where, when and from which commit it came."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def commit(given=None):
    """The commit on the command line, in STROBE_COMMIT, or of the checkout; "-dirty" when tracked files differ from it."""
    if given or os.environ.get("STROBE_COMMIT"):
        return given or os.environ["STROBE_COMMIT"]
    head = output_of("git", "rev-parse", "--short=12", "HEAD")
    return head + ("-dirty" if head and output_of("git", "status", "--porcelain", "-uno") else "") or "unknown"


def versions():
    found = {"python": platform.python_version()}
    for name in ("torch", "triton", "flash-attn-4", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def gpu_names():
    """(device, driver version) as nvidia-smi (or another process) tells them: no CUDA context is made here."""
    line = output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").splitlines()
    if line:
        name, _, driver = line[0].partition(", ")
        return name, driver
    name = output_of(sys.executable, "-c", "import torch; print(torch.cuda.get_device_name())")
    version = pathlib.Path("/proc/driver/nvidia/version")
    found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", version.read_text()) if version.is_file() else None
    return name or "none", found[0] if found else "none"


def header(commit_given=None, device=None):
    name, driver = gpu_names()
    return {
        "device": device or name,
        "driver": driver,
        "versions": versions(),
        "commit": commit(commit_given),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }
