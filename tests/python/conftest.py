"""Finds the package in the source tree and the extension in the build tree."""

import os
import pathlib
import sys

import pytest

root = pathlib.Path(__file__).resolve().parents[2]
if "STROBE_TORCH_LIBRARY" in os.environ:
    sys.path.insert(0, str(root / "python"))

import torch  # noqa: E402


@pytest.fixture(autouse=True)
def no_grad():
    torch.manual_seed(0)
    with torch.no_grad():
        yield
