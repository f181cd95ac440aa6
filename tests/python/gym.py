"""Masks and score modifiers of the kinds that attention-gym collects, stated from their papers and documentation.

Each entry is made by a function of (heads, length), which gives (score_mod, mask_mod), and names the number of keys that it
is checked at. Windows, documents and images grow with the length, so that other lengths make sense, too.
"""

import math
from typing import Callable, NamedTuple, Optional

import torch
import torch.nn.functional as F


class Entry(NamedTuple):
    make: Callable  # of (heads, length): (score_mod, mask_mod)
    length: int  # of the keys, in checks
    queries: Callable = lambda length: length  # how many to so many keys
    batch: Optional[int] = None  # what it captures is made for so many sequences


def causal(b, h, q, k):
    return q >= k


def _sliding_window(heads, length):
    window = length // 7
    return None, lambda b, h, q, k: (q - k <= window) & (q >= k)


def _bidirectional_window(heads, length):
    reach = length // 9
    return None, lambda b, h, q, k: (q - k).abs() <= reach


def _prefix(heads, length):
    prefix = length // 6
    return None, lambda b, h, q, k: (k < prefix) | (q >= k)


def _sink(heads, length):
    """The first tokens stay visible behind a causal window (StreamingLLM, arXiv:2309.17453)."""
    window = length // 8
    return None, lambda b, h, q, k: (q >= k) & ((q - k <= window) | (k < 4))


def _dilated(heads, length):
    """Every third token of a window (Longformer, arXiv:2004.05150)."""
    reach = length * 18 // 65
    return None, lambda b, h, q, k: ((q - k).abs() <= reach) & ((q - k) % 3 == 0)


def _global_window(heads, length):
    """Some tokens see and are seen by all, the others see a window (Longformer)."""
    everywhere = torch.zeros(length, dtype=torch.bool)
    everywhere[:: length // 4 + 1] = True
    reach = length // 16
    return None, lambda b, h, q, k: everywhere[q] | everywhere[k] | ((q - k).abs() <= reach)


def _offsets(length):
    ends = torch.tensor([0, length // 5, length * 6 // 13, length * 6 // 13 + 1, length], dtype=torch.int32)
    ids = torch.repeat_interleave(torch.arange(4, dtype=torch.int32), ends[1:] - ends[:-1])
    return ends, ids


def _documents(heads, length):
    _, ids = _offsets(length)
    return None, lambda b, h, q, k: ids[q] == ids[k]


def _documents_of(inner):
    """A mask inside each packed document, by positions counted from the document's start."""

    def make(heads, length):
        starts, ids = _offsets(length)

        def mask(b, h, q, k):
            return (ids[q] == ids[k]) & inner(b, h, q - starts[ids[q]], k - starts[ids[k]])

        return None, mask

    return make


def _packed_causal(heads, length):
    starts, ids = _offsets(length)
    return None, lambda b, h, q, k: (k >= starts[ids[q]]) & (q >= k)


def _shared_prefix(heads, length):
    """Answers packed behind the prompt that they share: they see all of it, and themselves causally."""
    starts, ids = _offsets(length)
    prompt = torch.tensor([0, 0, 2, 2])

    def mask(b, h, q, k):
        mine = ids[q]
        first, behind = starts[prompt[mine]], starts[prompt[mine] + 1]
        return ((k >= starts[mine]) & (q >= k)) | ((mine != prompt[mine]) & (k >= first) & (k < behind))

    return None, mask


def _neighbourhood(where_is, width, height, reach):
    """Each pixel sees a square around it, pushed inside the image at its edges (arXiv:2204.07143)."""

    def mask(b, h, q, k):
        (qx, qy), (kx, ky) = where_is(q), where_is(k)
        cx = qx.clamp(reach, width - 1 - reach)
        cy = qy.clamp(reach, height - 1 - reach)
        return ((cx - kx).abs() <= reach) & ((cy - ky).abs() <= reach)

    return mask


def _natten(heads, length):
    side = math.isqrt(length)
    return None, _neighbourhood(lambda n: (n // side, n % side), side, side, side // 4)


def _tiled_natten(heads, length):
    side = math.isqrt(length)
    across = side // 2

    def where_is(n):
        tile, inside = n // 4, n % 4
        return tile % across * 2 + inside % 2, tile // across * 2 + inside // 2

    return None, _neighbourhood(where_is, side, side, side // 8)


def _morton_natten(heads, length):
    """Pixels in the order of a Z curve: the bits of x and y alternate."""

    def every_other_bit(n):
        n = n & 0x55555555
        n = (n | (n >> 1)) & 0x33333333
        n = (n | (n >> 2)) & 0x0F0F0F0F
        return (n | (n >> 4)) & 0x00FF00FF

    side = math.isqrt(length)
    return None, _neighbourhood(lambda n: (every_other_bit(n), every_other_bit(n >> 1)), side, side, side // 4)


def _sliding_tile_2d(heads, length):
    """Tiles of pixels see a window of tiles; text behind the image is seen by all (arXiv:2502.04507)."""
    tile = length // 16
    pixels, text = 12 * tile, 3 * tile

    def mask(b, h, q, k):
        (qy, qx), (ky, kx) = ((n // tile // 4, n // tile % 4) for n in (q, k))
        cy, cx = qy.clamp(1, 1), qx.clamp(1, 2)
        near = ((ky - cy).abs() <= 1) & ((kx - cx).abs() <= 1)
        image = (q < pixels) & (k < pixels)
        return (image & near) | ((k >= pixels) & (k < pixels + text)) | ((q >= pixels) & (k < pixels + text))

    return None, mask


def _sliding_tile_3d(heads, length):
    size, text = length // 8, length // 16

    def place(n):
        tile = n // size
        return tile // 4, tile % 4 // 2, tile % 2

    def mask(b, h, q, k):
        near = None
        for a, c in zip(place(q), place(k)):
            one = (c >= a.clamp(0, 1) - 0) & (c <= a.clamp(0, 1) + 0)
            near = one if near is None else near & one
        return near | (k >= length - text)

    return None, mask


def _block_diffusion(heads, length):
    """Noised tokens, then clean ones: the training mask of arXiv:2503.09573, section 3.1."""
    half, block = length // 2, length // 16

    def mask(b, h, q, k):
        q_noised, k_noised = q < half, k < half
        qb, kb = q % half // block, k % half // block
        own = (qb == kb) & (q_noised == k_noised)
        before = (qb > kb) & q_noised & ~k_noised
        clean = (qb >= kb) & ~q_noised & ~k_noised
        return own | before | clean

    return None, mask


def _per_batch(heads, length):
    """Another length for each sequence of the batch."""
    lengths = torch.tensor([length, length // 2])
    return None, lambda b, h, q, k: k < lengths[b]

def _groups(heads, length):
    """Sequences of one length, stacked: causal in each."""
    size = length // 5
    return None, lambda b, h, q, k: (q // size == k // size) & causal(b, h, q % size, k % size)


def _image_intervals(heads, length):
    """Text looks at the keys of the image that came last before it (Flamingo, arXiv:2204.14198)."""
    images = 5
    first = torch.tensor([2, 7, 8, 20, 29]) * length // 65
    intervals = torch.stack([first, torch.cat([first[1:], torch.tensor([length])])], dim=1)
    image_of = torch.arange(length) * images // length

    def mask(b, h, q, k):
        interval = intervals[image_of[k]]
        return (q >= interval[0]) & (q < interval[1])

    return None, mask


def _tree(heads, length):
    """A tree of drafted tokens behind a prefix: each node sees the way from the root to itself (arXiv:2305.09781)."""
    nodes = length // 4
    prefix = length - nodes
    ancestors = torch.eye(nodes, dtype=torch.bool, device="cpu")
    for node in range(1, nodes):
        ancestors[node] |= ancestors[(node - 1) // 2]
    ancestors = ancestors.to(torch.get_default_device())

    def mask(b, h, q, k):
        node = (k - prefix).clamp(min=0, max=nodes - 1)
        return (k < prefix) | ((k >= prefix) & (k < prefix + nodes) & ancestors[q, node])

    return None, mask


def _drafts(heads, length):
    """Blocks drafted after one prefix, each causal in itself."""
    block = length // 8
    prefix = length - 5 * block

    def mask(b, h, q, k):
        behind = k - prefix
        own = (k >= prefix) & (q // block == behind // block) & (behind % block <= q % block)
        return (k < prefix) | own

    return None, mask


def _spatial(sink):
    """Neighbouring frames of a video behind a prompt (Sparse VideoGen, arXiv:2502.01776)."""

    def make(heads, length):
        prompt, frame = length // 9, length // 8
        width = math.floor(2 * frame / 4) * 4
        seen_by_all = prompt + frame if sink else prompt
        return None, lambda b, h, q, k: (k < seen_by_all) | (q < prompt) | (torch.abs(q - k) < width)

    return make


def _temporal(heads, length):
    """The same place in every frame (Sparse VideoGen)."""
    prompt, frame = length // 9, length // 8
    width = 2 * frame // 4

    def mask(b, h, q, k):
        near = torch.abs((q - prompt) % frame - (k - prompt) % frame) < width
        return (k < prompt) | (q < prompt) | near

    return None, mask


def _tiles(heads, length):
    """Tile of a video, tiles, and for each tile of queries those of keys with the best scores (arXiv:2505.13389)."""
    tile = max(length // 16, 1)
    tiles = -(-length // tile)
    scores = torch.randn(2, heads, tiles, tiles)
    return tile, tiles, scores.topk(max(tiles // 4, 1), dim=-1).indices


def _tile_topk(padded):
    def make(heads, length):
        tile, tiles, chosen = _tiles(heads, length)
        sizes = torch.randint(1, tile + 1, (tiles,))

        def mask(b, h, q, k):
            selected = (chosen[b, h, q // tile] == (k // tile).unsqueeze(-1)).any(dim=-1)
            return selected & (k % tile < sizes[k // tile]) if padded else selected

        return None, mask

    return make


def _tile_map(heads, length):
    """The same as a table of tiles."""
    tile, tiles, chosen = _tiles(heads, length)
    table = torch.zeros(2, heads, tiles, tiles, dtype=torch.bool).scatter_(3, chosen, True)
    sizes = torch.randint(1, tile + 1, (tiles,))
    return None, lambda b, h, q, k: table[b, h, q // tile, k // tile] & (k % tile < sizes[k // tile])


def _tile_padding(heads, length):
    tile, tiles, _ = _tiles(heads, length)
    sizes = torch.randint(1, tile + 1, (tiles,))
    return None, lambda b, h, q, k: k % tile < sizes[k // tile]


def _alibi(heads, length):
    def mod(score, b, h, q, k):
        return score + torch.exp2(-((h + 1) * 8.0 / heads)) * (k - q)

    return mod, None


def _alibi_table(heads, length):
    slopes = torch.exp2(-torch.arange(1, heads + 1) * 8.0 / heads)
    return (lambda score, b, h, q, k: score + slopes[h] * (k - q)), causal


def _softcap(heads, length):
    return (lambda score, b, h, q, k: 5.0 * torch.tanh(score / 5.0)), None


def _relative(heads, length):
    return (lambda score, b, h, q, k: score + (q - k)), None


def _bias(heads, length):
    bias = torch.randn(heads, length, length)
    return (lambda score, b, h, q, k: score + bias[h, q, k]), None


def _bias_half(heads, length):
    bias = torch.randn(1, length, length, dtype=torch.bfloat16)
    return (lambda score, b, h, q, k: score + bias[0][q][k]), causal


def _buckets(heads, length):
    """T5: distances fall into buckets, exact up close and logarithmic further on (arXiv:1910.10683)."""
    table = torch.randn(32, heads)

    def mod(score, b, h, q, k):
        back = k - q
        far = back.abs()
        large = 8 + (torch.log(far.clamp(min=1).float() / 8) / math.log(128 / 8) * 8).long()
        bucket = torch.where(far < 8, far.long(), large.clamp(max=15)) + 16 * (back > 0).long()
        return score + table[bucket, h]

    return mod, None


def _sandwich(heads, length):
    """Sums of cosines of the distance, in a table (arXiv:2212.10356)."""
    distance = torch.arange(2 * length - 1) - (length - 1)
    table = torch.cos(distance[:, None] / 10000 ** (torch.arange(8) / 8)).sum(-1)
    factor = heads / (8.0 * torch.arange(1, heads + 1))
    return (lambda score, b, h, q, k: score + table[q - k + (length - 1)] * factor[h]), causal


def _graph_bias(heads, length):
    """A bias by the distance of two nodes of a graph (arXiv:2106.05234)."""
    hops = torch.randint(0, 5, (2, length, length), dtype=torch.int32)
    table = torch.randn(heads, 5)
    return (lambda score, b, h, q, k: score + table[h, hops[b, q, k]]), None


def _graph_edges(heads, length):
    """A bias by the kinds of the edges on the way between two nodes, averaged (arXiv:2106.05234)."""
    hops, kinds = 4, 6
    bias = torch.randn(heads, hops, kinds)
    tables = [bias[:, n] for n in range(hops)]
    path = torch.randint(0, kinds, (2, length, length, hops), dtype=torch.int32)
    lengths = torch.randint(0, hops + 1, (2, length, length), dtype=torch.int32)

    def mod(score, b, h, q, k):
        long, total = lengths[b, q, k], 0.0
        for n, table in enumerate(tables):
            total = total + torch.where(long > n, table[h, path[b, q, k, n]], 0.0)
        return score + total / torch.clamp(long, min=1)

    return mod, None


def _latent_rope(heads, length):
    """The rotary part of multi-head latent attention as a second product (arXiv:2405.04434)."""
    q_rope, k_rope = torch.randn(2, heads, length, 8), torch.randn(2, 1, length, 8)
    return (lambda score, b, h, q, k: score + 0.3 * torch.dot(q_rope[b, h, q], k_rope[b, h // heads, k])), None


def _activation(function):
    """log(f(s) + 1): the softmax of it is f(s) + 1, normalised."""
    return lambda heads, length: ((lambda score, b, h, q, k: torch.log(function(score) + 1.0)), None)


def _temperature(heads, length):
    """A temperature a head, in a captured tensor, and one in a tensor without dimensions."""
    per_head, all_heads = torch.rand(heads) + 0.5, torch.tensor(1.25)
    return (lambda score, b, h, q, k: score * per_head[h] * all_heads), causal


def _masked_score(heads, length):
    """A mask written as a score of -inf."""
    return (lambda score, b, h, q, k: torch.where(q >= k, score, -float("inf"))), None


def _dropped_heads(heads, length):
    return None, lambda b, h, q, k: (h % 2 == 0) | (q >= k)


#: by name
ALL = {
    "causal": Entry(lambda heads, length: (None, causal), 65),
    "sliding_window": Entry(_sliding_window, 65),
    "bidirectional_window": Entry(_bidirectional_window, 65),
    "prefix_lm": Entry(_prefix, 65),
    "sink": Entry(_sink, 65),
    "dilated_window": Entry(_dilated, 65),
    "global_window": Entry(_global_window, 65),
    "documents": Entry(_documents, 65),
    "documents_causal": Entry(_documents_of(causal), 65),
    "packed_causal": Entry(_packed_causal, 65),
    "shared_prefix": Entry(_shared_prefix, 65),
    "natten": Entry(_natten, 64),
    "tiled_natten": Entry(_tiled_natten, 64),
    "morton_natten": Entry(_morton_natten, 64),
    "sliding_tile_2d": Entry(_sliding_tile_2d, 64),
    "sliding_tile_3d": Entry(_sliding_tile_3d, 64),
    "block_diffusion": Entry(_block_diffusion, 64),
    "groups": Entry(_groups, 65),
    "image_intervals": Entry(_image_intervals, 65, lambda length: length // 2),
    "tree": Entry(_tree, 65, lambda length: length // 4),
    "drafts": Entry(_drafts, 65, lambda length: length // 8 * 5),
    "spatial": Entry(_spatial(False), 65),
    "spatial_sink": Entry(_spatial(True), 65),
    "temporal": Entry(_temporal, 65),
    "tile_topk": Entry(_tile_topk(False), 64, batch=2),
    "tile_topk_padded": Entry(_tile_topk(True), 65, batch=2),
    "tile_map": Entry(_tile_map, 65, batch=2),
    "tile_padding": Entry(_tile_padding, 65),
    "per_batch": Entry(_per_batch, 65, batch=2),
    "dropped_heads": Entry(_dropped_heads, 65),
    "alibi": Entry(_alibi, 65),
    "alibi_table": Entry(_alibi_table, 65),
    "softcap": Entry(_softcap, 65),
    "relative": Entry(_relative, 33),
    "bias": Entry(_bias, 65),
    "bias_half": Entry(_bias_half, 65),
    "t5_buckets": Entry(_buckets, 65),
    "sandwich": Entry(_sandwich, 65),
    "graph_bias": Entry(_graph_bias, 65, batch=2),
    "graph_edges": Entry(_graph_edges, 65, batch=2),
    "latent_rope": Entry(_latent_rope, 65, batch=2),
    "gelu": Entry(_activation(F.gelu), 65),
    "relu": Entry(_activation(F.relu), 65),
    "sigmoid": Entry(_activation(torch.sigmoid), 65),
    "temperature": Entry(_temperature, 65),
    "masked_score": Entry(_masked_score, 65),
}
