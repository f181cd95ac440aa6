"""What people run first: explain, the doctor, the quick start."""

import os
import pathlib
import subprocess
import sys

import strobe
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), **more}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)


def test_explain_of_a_call():
    query = torch.randn(1, 2, 32, 16)
    text = strobe.explain(strobe.flex_attention, query, query, query, block_mask=lambda b, h, q, k: q >= k)
    for words in ("mask:", "i >= j", "schedule:", "program:"):
        assert words in text, text


def test_explain_of_a_module():
    query = torch.randn(1, 2, 32, 16)
    text = strobe.explain(lambda q, k, v: (q @ k.mT).softmax(-1) @ v, query, query, query)
    assert text.startswith("fused") and "program:" in text, text
    assert strobe.explain(lambda x: x + 1, query) == "No attention was found."


def test_doctor(tmp_path):
    done = run("-m", "strobe", "doctor", STROBE_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("torch", "halide", "ptxas", "cache", "graphs", "Used: the CPU"):
        assert words in done.stdout, done.stdout


def test_doctor_names_a_folder_that_is_not_private(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    done = run("-m", "strobe", "doctor", STROBE_CACHE=str(folder))
    assert "NO  cache" in done.stdout and "0700" in done.stdout, done.stdout


def test_a_missing_extension_says_what_to_do(tmp_path):
    done = run("-c", "import strobe", STROBE_TORCH_LIBRARY=str(tmp_path / "none.so"))
    assert done.returncode != 0 and "pip install ./python" in done.stderr, done.stderr
