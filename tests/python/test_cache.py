"""What a process finds on disk, and how long a first call takes. Kernels for GPUs are made without one."""

import os
import pathlib
import re
import subprocess
import sys
import time

import pytest
import strobe
import torch
from strobe import flex

ROOT = pathlib.Path(__file__).resolve().parents[2]


def prepare(folder, *algorithms, arch="sm_90a"):
    """(what, milliseconds of processor time) of each algorithm, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "STROBE_CACHE": str(folder)}
    done = subprocess.run([sys.executable, "-m", "strobe", "prepare", *algorithms, "--arch", arch],
                          capture_output=True, text=True, env=environment)
    lines = [(line.split()[1], re.search(r"([\d.]+) ms of processor time", line)) for line in done.stdout.splitlines()]
    return [(what, float(took[1]) if took else None) for what, took in lines], done


def test_another_process_loads_what_was_compiled(tmp_path):
    folder = tmp_path / "cache"
    wanted = ["causal dtype=bf16 head_dim=64", "softcap dtype=fp16 head_dim=32"]
    first, done = prepare(folder, *wanted)
    assert [what for what, _ in first] == ["compiled", "compiled"], done.stdout + done.stderr
    again, done = prepare(folder, *wanted)
    assert [what for what, _ in again] == ["kept", "kept"], done.stdout + done.stderr
    # The first one also reads what is read once in a process.
    assert again[1][1] <= 20, f"loading took {again[1][1]:.1f} ms of processor time"
    assert again[1][1] < first[1][1] / 5, f"compiled in {first[1][1]:.0f} ms, loaded in {again[1][1]:.0f} ms"


def test_installed_kernels_are_taken_first(tmp_path):
    folder, algorithm = tmp_path / "kernels", "causal dtype=bf16 head_dim=64"
    folder.mkdir(mode=0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "STROBE_CACHE": "off", "STROBE_KERNELS": str(folder)}

    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "strobe", "prepare", *arguments], capture_output=True, text=True, env=environment)

    done = run(algorithm, "--into", str(folder))
    (entry,) = folder.iterdir()
    assert done.returncode == 0 and entry.suffix == ".skc", done.stdout + done.stderr
    assert "kept" in run(algorithm).stdout
    damaged = bytearray(entry.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    entry.write_bytes(damaged)
    assert "compiled" in run(algorithm).stdout


@pytest.mark.parametrize("other", [("causal dtype=bf16 head_dim=72", "sm_90a"), ("causal dtype=fp16 head_dim=64", "sm_90a"),
                                   ("causal dtype=bf16 head_dim=64", "sm_80")], ids=str)
def test_other_parameters_are_other_entries(tmp_path, other):
    folder = tmp_path / "cache"
    prepare(folder, "causal dtype=bf16 head_dim=64")
    (entry,), done = prepare(folder, other[0], arch=other[1])
    assert entry[0] == "compiled", done.stdout + done.stderr


def _text(score=None, mask=None, dtype=torch.float32, features=16, value_features=16, batch=2, key_batch=2, heads=4, key_heads=4,
          scale=None, lse=False, max_scores=False):
    """What a call's program is kept under, in the process and, with the architecture and the compiler's build, on disk."""
    query = torch.zeros(batch, heads, 8, features, dtype=dtype)
    key = torch.zeros(key_batch, key_heads, 8, features, dtype=dtype)
    value = torch.zeros(key_batch, key_heads, 8, value_features, dtype=dtype)
    shape = flex._shape_key(query, key, value, key_heads != heads, 0.25 if scale is None else scale)
    return flex._trace(score, mask, shape, lse, max_scores, [])[0]


table, other_type = torch.rand(8), torch.rand(8, dtype=torch.float64)
matrix, index, flags = torch.rand(8, 8), torch.arange(8), torch.ones(8, dtype=torch.bool)

#: One change each from the first of its group.
CHANGES = {
    "plain": [{}, {"dtype": torch.float16}, {"dtype": torch.bfloat16}, {"features": 24}, {"value_features": 24}, {"key_batch": 1},
              {"key_heads": 2}, {"lse": True}, {"max_scores": True}, {"lse": True, "max_scores": True}, {"scale": 1e-7}],
    "score": [{"score": f} for f in (
        lambda s, b, h, q, k: s * 1.5, lambda s, b, h, q, k: s * 1.25, lambda s, b, h, q, k: s + 1.5, lambda s, b, h, q, k: s * 2,
        lambda s, b, h, q, k: s - 1.5, lambda s, b, h, q, k: s * q, lambda s, b, h, q, k: s * k, lambda s, b, h, q, k: s * h,
        lambda s, b, h, q, k: s * b, lambda s, b, h, q, k: s * table[q], lambda s, b, h, q, k: s * table[k],
        lambda s, b, h, q, k: s * other_type[q], lambda s, b, h, q, k: s * matrix[q, k], lambda s, b, h, q, k: s * matrix[k, q],
        lambda s, b, h, q, k: s * table[index[q]], lambda s, b, h, q, k: s * torch.tanh(s), lambda s, b, h, q, k: s * torch.exp(s))],
    "mask": [{"mask": f} for f in (
        lambda b, h, q, k: q >= k, lambda b, h, q, k: q > k, lambda b, h, q, k: k >= q, lambda b, h, q, k: q >= k + 1,
        lambda b, h, q, k: q >= k + 2, lambda b, h, q, k: (q >= k) & flags[k], lambda b, h, q, k: (q >= k) | flags[k],
        lambda b, h, q, k: (q >= k) & flags[q], lambda b, h, q, k: (q >= k) & (h > 0), lambda b, h, q, k: (q >= k) & (b > 0))],
}


def test_single_changes_make_other_programs():
    texts = {}
    for group, changes in CHANGES.items():
        for n, change in enumerate(changes):
            text = _text(**change)
            assert text == _text(**change), f"{group} {n} is written in two ways"
            assert text not in texts, f"{group} {n} is taken for {texts[text]}"
            texts[text] = f"{group} {n}"
    assert len(texts) >= 37


def test_sizes_scales_and_values_make_no_other_programs():
    assert _text() == _text(batch=3, key_batch=3) == _text(heads=8, key_heads=8) == _text(scale=0.5)
    first = _text(score=lambda s, b, h, q, k: s * table[q])
    saved = table.clone()
    table.mul_(2)
    try:
        assert first == _text(score=lambda s, b, h, q, k: s * table[q])
    finally:
        table.copy_(saved)


def test_a_damaged_entry_is_replaced(tmp_path):
    folder = tmp_path / "cache"
    prepare(folder, "causal dtype=bf16 head_dim=64")
    (path,) = [p for p in folder.iterdir() if p.is_file()]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert prepare(folder, "causal dtype=bf16 head_dim=64")[0][0][0] == "compiled"
    assert prepare(folder, "causal dtype=bf16 head_dim=64")[0][0][0] == "kept"


def test_mistakes_are_named(tmp_path):
    _, done = prepare(tmp_path / "cache", "causual")
    assert done.returncode == 1 and "did you mean causal?" in done.stdout, done.stdout + done.stderr
    _, done = prepare(tmp_path / "cache", "causal head=64")
    assert done.returncode == 1 and "no parameter head" in done.stdout, done.stdout + done.stderr


def test_first_calls_on_the_cpu(record_property):
    """CPU code is compiled by every process: a new variant's first call, in processor time, is what it costs."""
    query = torch.randn(1, 2, 64, 16)
    strobe.flex_attention(query, query, query)  # what happens once in a process
    times = []
    for window in (3, 5, 7):
        mask = lambda b, h, q, k: (q - k).abs() <= window  # noqa: E731, B023
        start = time.process_time()
        strobe.flex_attention(query, query, query, block_mask=mask)
        times.append(time.process_time() - start)
    record_property("first_call_s", times)
    assert min(times) <= 1.5, f"first calls took {times} s of processor time; 1.5 are asked"


def test_new_shapes_compile_nothing():
    mask = lambda b, h, q, k: q >= k  # noqa: E731
    strobe.flex_attention(*[torch.randn(1, 2, 64, 16) for _ in range(3)], block_mask=mask)
    start = time.process_time()
    for length in (1, 33, 130):
        strobe.flex_attention(*[torch.randn(2, 4, length, 16) for _ in range(3)], block_mask=mask)
    assert time.process_time() - start < 0.1
