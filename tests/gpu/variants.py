"""The seven shipped variants as PyTorch code: their extra arguments, masks and score changes.

Tensors are (batch, head, sequence, feature). Positions of queries and keys count
from 0 at the same place, also when their numbers differ.
"""

import random
import re

import torch

NAMES = ("full", "causal", "alibi", "softcap", "sliding_window", "prefix_lm", "document_mask")
MASKED = ("causal", "sliding_window", "prefix_lm", "document_mask")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
# Rounding to a type loses at most this fraction of a value.
ROUNDOFF = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 2.0**-24}

_FILE_NAME = re.compile(r"^(?P<variant>.+?)_(?P<dtype>bf16|fp16|fp32)_(?P<d>\d+)(?:_(?P<dv>\d+))?(?:_(?P<rest>.*))?$")


def parse_file_name(stem):
    """(variant, dtype name, head dim, value dim, schedule) of <variant>_<dtype>_<D>[_<Dv>][_<schedule>], or None."""
    match = _FILE_NAME.match(stem)
    if not match or match["variant"] not in NAMES:
        return None
    d = int(match["d"])
    return match["variant"], match["dtype"], d, int(match["dv"] or d), match["rest"] or ""


def document_ids(length, documents=12, seed=0):
    """Consecutive documents of random lengths, as int32 ids of `length` positions (on the CPU)."""
    if length == 0:
        return torch.zeros(0, dtype=torch.int32)
    generator = random.Random(seed)
    documents = min(documents, length)
    lengths = [1] * documents
    for _ in range(length - documents):
        lengths[generator.randint(0, documents - 1)] += 1
    return torch.repeat_interleave(torch.arange(documents), torch.tensor(lengths)).to(torch.int32)


def extra_arguments(variant, batch, heads, length, device, seed=0, **scalars):
    """(tensors, scalars) that the variant takes beside q, k, v and scale; `scalars` override the defaults."""
    tensors, values = {}, {}
    if variant == "alibi":
        steps = torch.arange(1, heads + 1, device=device, dtype=torch.float32)
        tensors["slopes"] = torch.exp2(-steps * (8.0 / max(heads, 1)))
    elif variant == "softcap":
        values["cap"] = 30.0
    elif variant == "sliding_window":
        values["window"] = 256
    elif variant == "prefix_lm":
        values["prefix"] = 256
    elif variant == "document_mask":
        # A few different rows do, however large the batch.
        rows = torch.stack([document_ids(length, seed=seed + b) for b in range(min(batch, 8))] or [document_ids(length)])
        tensors["document"] = rows.to(device)[torch.arange(batch, device=device) % len(rows)].contiguous()
    for name in values:
        values[name] = scalars.get(name, values[name])
    return tensors, values


def live(variant, tensors, scalars, rows, keys):
    """Which of `keys` key positions each query position of `rows` sees: bool, broadcastable to (B, H, rows, keys), or None."""
    i, j = rows[:, None], torch.arange(keys, device=rows.device)[None, :]
    if variant == "causal":
        return j <= i
    if variant == "sliding_window":
        return (j <= i) & (i - j <= scalars["window"])
    if variant == "prefix_lm":
        return (j < scalars["prefix"]) | (j <= i)
    if variant == "document_mask":
        document = tensors["document"]
        return (document[:, rows][:, :, None] == document[:, None, :keys])[:, None]
    return None


def changed_scores(variant, s, tensors, scalars, rows):
    """The variant's change of the scaled scores s, in whatever type PyTorch's promotion gives."""
    if variant == "alibi":
        j = torch.arange(s.shape[-1], device=s.device)
        return s + tensors["slopes"][None, :, None, None].to(torch.promote_types(s.dtype, torch.float32)) * (
            j[None, :] - rows[:, None]
        )
    if variant == "softcap":
        return scalars["cap"] * torch.tanh(s / scalars["cap"])
    return s


def live_pairs(variant, tensors, scalars, queries, keys):
    """How many (query, key) pairs are live in one head of batch entry 0."""
    i = torch.arange(queries, dtype=torch.int64)
    if variant == "causal":
        return int((i + 1).clamp(max=keys).sum())
    if variant == "sliding_window":
        first, last = (i - int(scalars["window"])).clamp(min=0), (i + 1).clamp(max=keys)
        return int((last - first).clamp(min=0).sum())
    if variant == "prefix_lm":
        return int((i + 1).clamp(min=int(scalars["prefix"])).clamp(max=keys).sum())
    if variant == "document_mask":
        ids = tensors["document"][0].long().cpu()
        n = int(ids.max()) + 1
        return int((torch.bincount(ids[:queries], minlength=n) * torch.bincount(ids[:keys], minlength=n)).sum())
    return queries * keys


def flex_mods(variant, tensors, scalars):
    """(score_mod, mask_mod) of FlexAttention; documents are those of batch entry 0 for all entries."""
    if variant == "alibi":
        slopes = tensors["slopes"]
        return (lambda s, b, h, i, j: s + slopes[h] * (j - i)), None
    if variant == "softcap":
        cap = scalars["cap"]
        return (lambda s, b, h, i, j: cap * torch.tanh(s / cap)), None
    if variant == "causal":
        return None, lambda b, h, i, j: j <= i
    if variant == "sliding_window":
        window = scalars["window"]
        return None, lambda b, h, i, j: (j <= i) & (i - j <= window)
    if variant == "prefix_lm":
        prefix = scalars["prefix"]
        return None, lambda b, h, i, j: (j < prefix) | (j <= i)
    if variant == "document_mask":
        ids = tensors["document"][0].contiguous()
        return None, lambda b, h, i, j: ids[i] == ids[j]
    return None, None
