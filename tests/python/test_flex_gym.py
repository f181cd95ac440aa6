"""Every mask and score modifier of gym.py through strobe.flex_attention, against float64."""

import gym
import pytest
import reference
import strobe
import torch


#: What they capture is indexed by a number first, which makes a tensor at every call.
TRACED_AGAIN = {"bias_half"}


@pytest.mark.parametrize("name", list(gym.ALL))
def test_against_float64(name, monkeypatch):
    entry = gym.ALL[name]
    heads, features = 4, 16
    score_mod, mask_mod = entry.make(heads, entry.length)
    query, key, value = (torch.randn(2, heads, n, features) for n in (entry.queries(entry.length), entry.length, entry.length))
    out, lse = strobe.flex_attention(query, key, value, score_mod, mask_mod, return_lse=True)
    want_out, want_lse = reference.expected(query, key, value, score_mod, mask_mod)
    reference.check(out, want_out)
    reference.check(lse, want_lse, what="lse")
    traces = []
    trace = strobe.flex._trace
    monkeypatch.setattr(strobe.flex, "_trace", lambda *arguments: traces.append(name) or trace(*arguments))
    assert torch.equal(strobe.flex_attention(query, key, value, score_mod, mask_mod, return_lse=True)[0], out)
    assert bool(traces) == (name in TRACED_AGAIN), "the second call of the same functions"
