"""The variants with one softmax and the usual tensors as PyTorch code: their extra arguments, masks and score changes.

Tensors are (batch, head, sequence, feature). Positions of queries and keys count
from 0 at the same place, also when their numbers differ.
"""

import math
import random
import re

import torch

# The other masks: documents that are causal inside, lengths of each sequence, patterns of positions, chosen blocks.
MASKS = ("packed_causal", "varlen", "dilated", "longformer", "neighbourhood", "block_diffusion", "block_routing")
NAMES = ("full", "causal", "alibi", "softcap", "sliding_window", "prefix_lm", "document_mask", *MASKS)
MASKED = ("causal", "sliding_window", "prefix_lm", "document_mask", "packed_causal")
BLOCK, CHOICES = 64, 4  # of block_routing
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
    elif variant == "dilated":
        values.update(reach=256, step=4)
    elif variant == "longformer":
        values.update(reach=256, **{"global": 16})
    elif variant == "neighbourhood":
        # A square image, with as many neighbours as in the paper's later stages.
        values.update(width=max(1, math.isqrt(length)), reach=6)
    elif variant == "block_diffusion":
        values.update(length=max(1, length // 2), block=32)
    elif variant == "varlen":
        generator = random.Random(seed)
        pick = lambda: torch.tensor([generator.randint(length // 2, length) for _ in range(batch)], dtype=torch.int32)
        tensors["query_length"], tensors["key_length"] = pick().to(device), pick().to(device)
    elif variant == "block_routing":
        generator = torch.Generator().manual_seed(seed)
        blocks = -(-length // BLOCK)
        chosen = torch.randint(0, max(blocks, 1), (min(batch, 8), min(heads, 64), blocks, CHOICES), generator=generator)
        pick = torch.arange(batch) % max(len(chosen), 1), torch.arange(heads) % max(chosen.shape[1], 1)
        tensors["chosen"] = chosen.to(torch.int32)[pick[0]][:, pick[1]].contiguous().to(device)
    elif variant in ("document_mask", "packed_causal"):
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
    if variant == "dilated":
        return ((i - j).abs() <= scalars["reach"]) & ((i - j) % scalars["step"] == 0)
    if variant == "longformer":
        return ((i - j).abs() <= scalars["reach"]) | (i < scalars["global"]) | (j < scalars["global"])
    if variant == "neighbourhood":
        width, reach = scalars["width"], scalars["reach"]
        return ((i // width - j // width).abs() <= reach) & ((i % width - j % width).abs() <= reach)
    if variant == "block_diffusion":
        return diffusion(i, j, scalars["length"], scalars["block"])
    if variant == "varlen":
        return ((i < tensors["query_length"][:, None, None]) & (j < tensors["key_length"][:, None, None]))[:, None]
    if variant == "block_routing":
        chosen = tensors["chosen"][:, :, rows // BLOCK]  # (B, H, rows, CHOICES)
        blocks = torch.arange(-(-keys // BLOCK), device=rows.device)
        return (chosen[..., None] == blocks).any(-2)[..., torch.arange(keys, device=rows.device) // BLOCK] & (j <= i)
    if variant in ("document_mask", "packed_causal"):
        document = tensors["document"]
        same = (document[:, rows][:, :, None] == document[:, None, :keys])[:, None]
        return same & (j <= i) if variant == "packed_causal" else same
    return None


def diffusion(i, j, length, block):
    """Noisy positions, then as many clean ones, both in blocks."""
    clean_i, clean_j, block_i, block_j = i >= length, j >= length, i % length // block, j % length // block
    noisy = ~clean_i & ((~clean_j & (block_i == block_j)) | (clean_j & (block_j < block_i)))
    return noisy | (clean_i & clean_j & (block_j <= block_i))


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
    if variant in MASKS:
        first = {name: t[:1, :1] if name == "chosen" else t[:1] for name, t in tensors.items()}
        device = next(iter(tensors.values())).device if tensors else "cpu"
        parts = torch.arange(queries, device=device).split(256)
        return sum(int(live(variant, first, scalars, rows, keys).sum()) for rows in parts)
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
    if variant == "packed_causal":
        ids = tensors["document"][0].contiguous()
        return None, lambda b, h, i, j: (ids[i] == ids[j]) & (j <= i)
    if variant == "dilated":
        reach, step = scalars["reach"], scalars["step"]
        return None, lambda b, h, i, j: ((i - j).abs() <= reach) & ((i - j) % step == 0)
    if variant == "longformer":
        reach, seen = scalars["reach"], scalars["global"]
        return None, lambda b, h, i, j: ((i - j).abs() <= reach) | (i < seen) | (j < seen)
    if variant == "neighbourhood":
        w, reach = scalars["width"], scalars["reach"]
        return None, lambda b, h, i, j: ((i // w - j // w).abs() <= reach) & ((i % w - j % w).abs() <= reach)
    if variant == "block_diffusion":
        return None, lambda b, h, i, j: diffusion(i, j, scalars["length"], scalars["block"])
    if variant == "varlen":
        queries, keys = tensors["query_length"][0], tensors["key_length"][0]
        return None, lambda b, h, i, j: (i < queries) & (j < keys)
    if variant == "block_routing":
        chosen = tensors["chosen"][0, 0].contiguous()

        def routed(b, h, i, j):
            seen = j < 0
            for n in range(CHOICES):
                seen = seen | (chosen[i // BLOCK, n] == j // BLOCK)
            return seen & (j <= i)

        return None, routed
    return None, None
