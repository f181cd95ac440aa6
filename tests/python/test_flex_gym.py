"""Every mask and score modifier of gym.py through strobe.flex_attention, against float64."""

import gym
import pytest
import reference
import strobe
import torch


@pytest.mark.parametrize("name", list(gym.ALL))
def test_against_float64(name):
    entry = gym.ALL[name]
    heads, features = 4, 16
    score_mod, mask_mod = entry.make(heads, entry.length)
    query, key, value = (torch.randn(2, heads, n, features) for n in (entry.queries(entry.length), entry.length, entry.length))
    out, lse = strobe.flex_attention(query, key, value, score_mod, mask_mod, return_lse=True)
    want_out, want_lse = reference.expected(query, key, value, score_mod, mask_mod)
    reference.check(out, want_out)
    reference.check(lse, want_lse, what="lse")
