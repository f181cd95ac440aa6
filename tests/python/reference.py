"""Attention in float64 by torch's own eager flex_attention, and how results compare with it."""

import pathlib
import warnings

import torch
from torch.nn.attention.flex_attention import create_block_mask
from torch.nn.attention.flex_attention import flex_attention as torch_flex_attention

ROOT = pathlib.Path(__file__).resolve().parents[2]


def block_mask_of(mask_mod, query, key):
    b, h, sq, _ = query.shape
    return create_block_mask(mask_mod, b, h, sq, key.shape[2], device=query.device)


def expected(query, key, value, score_mod=None, mask_mod=None, **options):
    """(out, lse) in float64."""
    block_mask = block_mask_of(mask_mod, query, key) if mask_mod else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch_flex_attention(
            query.double(), key.double(), value.double(), score_mod, block_mask, return_lse=True, **options
        )


def check(got, want, tolerance=2e-5, what="out"):
    got = got.double()
    assert got.shape == want.shape, f"{what}: got {tuple(got.shape)}, expected {tuple(want.shape)}"
    both_infinite = (got == want) & torch.isinf(want)
    difference = torch.where(both_infinite, torch.zeros_like(want), (got - want).abs())
    limit = tolerance * (1 + want.abs().nan_to_num(posinf=0, neginf=0))
    bad = ~(difference <= limit)
    if bad.any():
        at = tuple(int(n) for n in bad.nonzero()[0])
        raise AssertionError(
            f"{what} at {at}: got {got[at]!r}, expected {want[at]!r}; {int(bad.sum())} of {bad.numel()} elements differ"
        )
