"""Texts of flex_attention become GPU kernels: generated and assembled, not run."""

import gym
import pytest
import strobe
import torch
from strobe._library import ask
from strobe.flex import describe_flex_attention


@pytest.mark.parametrize("name", ["causal", "documents", "global_window", "bias_half", "softcap", "per_batch"])
def test_assembles(name):
    score_mod, mask_mod = gym.ALL[name].make(4, 64)
    query = torch.empty(2, 4, 64, 64, dtype=torch.bfloat16)
    ask("strobe_python_compile", describe_flex_attention(query, query, query, score_mod, mask_mod), "sm_90a")


def test_wide_integers():
    labels = torch.zeros(64, dtype=torch.int64)
    query = torch.empty(2, 4, 64, 64, dtype=torch.bfloat16)
    text = describe_flex_attention(query, query, query, None, lambda b, h, q, k: labels[q] == labels[k])
    ask("strobe_python_compile", text, "sm_90a")


def test_older_machines():
    query = torch.empty(2, 4, 64, 64, dtype=torch.bfloat16)
    text = describe_flex_attention(query, query, query, None, lambda b, h, q, k: k <= q)
    ask("strobe_python_compile", text, "sm_86")
    with pytest.raises(strobe.CompileError, match="no code generator for sm_75"):
        ask("strobe_python_compile", text, "sm_75")


def test_float32():
    query = torch.empty(2, 4, 64, 40, dtype=torch.float32)
    text = describe_flex_attention(query, query, query, lambda s, b, h, q, k: s + (q - k), None)
    ask("strobe_python_compile", text, "sm_90a")
