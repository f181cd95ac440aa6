"""Algorithms whose inputs or outputs are not those of one softmax: their tensors, and what they compute, as plain PyTorch.

A program makes its tensors for given sizes and says what should come out, either
exactly (everything in float64) or as unfused code in the tensors' own type would
compute it. Tensors have torch's order of dimensions, (batch, head, sequence, feature).
"""

import dataclasses
import math
from typing import Callable

import torch

PAGE = 16  # keys a page
POINTS, VALUE_POINTS, PAIR = 4, 8, 128  # of invariant point attention


@dataclasses.dataclass
class Sizes:
    b: int
    h: int
    sq: int
    sk: int
    d: int
    dv: int
    dtype: torch.dtype
    device: str
    n: int = 3  # sequences that share a pair bias

    def random(self, *shape, dtype=None, factor=1.0):
        return (torch.randn(shape, device=self.device) * factor).to(dtype or self.dtype)

    def usual(self, heads=None):
        """q, k and v, with as many heads each."""
        heads = heads or self.h
        q, k = self.random(self.b, heads, self.sq, self.d), self.random(self.b, heads, self.sk, self.d)
        return dict(q=q, k=k, v=self.random(self.b, self.h, self.sk, self.dv))


@dataclasses.dataclass
class Program:
    inputs: Callable  # Sizes -> tensors by name
    compute: Callable  # (tensors, scalars) -> outputs by name
    scalars: Callable = lambda sizes: dict(scale=1 / math.sqrt(sizes.d))
    square: bool = False  # as many queries as keys
    float_outputs: tuple = ("lse",)
    grouped: bool = False


def where(mask, s, otherwise=float("-inf")):
    return s.masked_fill(~mask, otherwise)


def causal(s):
    i, j = torch.arange(s.shape[-2], device=s.device), torch.arange(s.shape[-1], device=s.device)
    return j[None, :] <= i[:, None]


def softmax(s):
    """Rows that see nothing are 0."""
    p = torch.softmax(s, -1)
    return p.masked_fill((s == float("-inf")).all(-1, keepdim=True), 0)


def scores(t, scalars):
    return t["q"] @ t["k"].transpose(-1, -2) * scalars["scale"]


def differential(mask, normalise):
    def compute(t, scalars):
        s = scores(t, scalars)
        s = where(causal(s), s) if mask else s
        first, second = softmax(s[:, 0::2]), softmax(s[:, 1::2])
        factor = t["lambda"].to(s.dtype)[None, :, None, None]
        out = first.to(t["v"].dtype) @ t["v"] - factor * (second.to(t["v"].dtype) @ t["v"])
        if normalise:
            out = out / torch.sqrt(out.square().mean(-1, keepdim=True) + 1e-5)
        return dict(out=out)

    return compute


def two_heads(sizes):
    return dict(sizes.usual(2 * sizes.h), **{"lambda": torch.rand(sizes.h, device=sizes.device)})


def sinks(t, scalars):
    s = scores(t, scalars)
    s = where(causal(s), s)
    sink = t["sink"].to(s.dtype)[None, :, None, None].expand(*s.shape[:-1], 1)
    p = torch.softmax(torch.cat([s, sink], -1), -1)[..., :-1]
    return dict(out=p.to(t["v"].dtype) @ t["v"], lse=torch.logsumexp(torch.cat([s, sink], -1), -1))


def sigmoid(t, scalars):
    s = scores(t, scalars)
    p = where(causal(s), torch.sigmoid(s + scalars["bias"]), 0)
    return dict(out=p.to(t["v"].dtype) @ t["v"])


def with_pair_bias(sizes):
    return dict(sizes.usual(), pair_bias=sizes.random(sizes.b, sizes.h, sizes.sq, sizes.sk))


def sigmoid_pair(t, scalars):
    return dict(out=torch.sigmoid(scores(t, scalars) + t["pair_bias"]).to(t["v"].dtype) @ t["v"])


def relu(t, scalars):
    s = scores(t, scalars)
    return dict(out=(s.clamp(min=0) / max(s.shape[-1], 1)).to(t["v"].dtype) @ t["v"])


def squared_relu(t, scalars):
    s = scores(t, scalars)
    p = where(causal(s), s.clamp(min=0).square(), 0)
    return dict(out=(p / (p.sum(-1, keepdim=True) + 1e-6)).to(t["v"].dtype) @ t["v"])


def linear(mask):
    def compute(t, scalars):
        feature = lambda x: torch.where(x > 0, x + 1, torch.exp(x))
        s = feature(t["q"]) @ feature(t["k"]).transpose(-1, -2)
        s = where(causal(s), s, 0) if mask else s
        return dict(out=(s / s.sum(-1, keepdim=True)).to(t["v"].dtype) @ t["v"])

    return compute


def statistics(t, scalars):
    s = scores(t, scalars)
    s = where(causal(s), s)
    p, v = softmax(s), t["v"]
    mean = p.to(v.dtype) @ v
    logs = torch.where(p > 0, torch.log(p), 0)
    variance = p.to(v.dtype) @ v.square() - mean.square()
    return dict(out=mean, lse=torch.logsumexp(s, -1), row_max=s.amax(-1), entropy=-(p * logs).sum(-1), variance=variance)


def rope_inputs(sizes):
    s, d = max(sizes.sq, sizes.sk), sizes.d
    angle = torch.arange(s, device=sizes.device)[:, None] / 10000 ** (torch.arange(d // 2, device=sizes.device) * 2 / d)
    angle = torch.cat([angle, angle], -1)
    t = sizes.usual()
    like_out = (sizes.b, sizes.h, sizes.sq, sizes.dv)
    t.update(cosine=torch.cos(angle).contiguous(), sine=torch.sin(angle).contiguous())
    t.update(weights=1 + sizes.random(2, d, dtype=torch.float32, factor=0.1))
    return dict(t, gate=sizes.random(*like_out), residual=sizes.random(*like_out))


def rotated(x, weights, t):
    x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weights.to(x.dtype)
    half = x.shape[-1] // 2
    partner = torch.cat([-x[..., half:], x[..., :half]], -1)
    rows = x.shape[-2]
    return x * t["cosine"][:rows].to(x.dtype) + partner * t["sine"][:rows].to(x.dtype)


def rope(t, scalars):
    q, k = rotated(t["q"], t["weights"][0], t), rotated(t["k"], t["weights"][1], t)
    s = q @ k.transpose(-1, -2) * scalars["scale"]
    s = where(causal(s), s)
    out = softmax(s).to(t["v"].dtype) @ t["v"]
    return dict(out=out * torch.sigmoid(t["gate"]) + t["residual"], lse=torch.logsumexp(s, -1))


def evoformer_inputs(sizes):
    s, part = sizes.sq, (sizes.b, sizes.n, sizes.h, sizes.sq)
    hidden = torch.rand(sizes.b, sizes.n, s, device=sizes.device) < 0.1
    t = {name: sizes.random(*part, sizes.d) for name in ("q", "k")}
    t.update({name: sizes.random(*part, sizes.dv) for name in ("v", "gate")})
    return dict(t, mask_bias=-1e4 * hidden.float(), pair_bias=sizes.random(sizes.b, sizes.h, s, s))


def evoformer(t, scalars):
    s = scores(t, scalars) + t["mask_bias"].to(t["q"].dtype)[:, :, None, None, :] + t["pair_bias"][:, None]
    return dict(out=(torch.softmax(s, -1).to(t["v"].dtype) @ t["v"]) * torch.sigmoid(t["gate"]))


def mla_inputs(sizes):
    return dict(q=sizes.random(sizes.b, sizes.h, sizes.sq, sizes.d), latent=sizes.random(sizes.b, sizes.sk, sizes.d))


def mla(value_dim):
    def compute(t, scalars):
        latent = t["latent"][:, None]
        s = t["q"] @ latent.transpose(-1, -2) * scalars["scale"]
        p = softmax(where(causal(s), s))
        return dict(out=p.to(latent.dtype) @ latent[..., : value_dim()])

    return compute


def paged_inputs(sizes):
    parts = -(-sizes.sk // PAGE)
    pages = sizes.b * parts + 3
    table = torch.randperm(pages, device=sizes.device)[: sizes.b * parts].reshape(sizes.b, parts).to(torch.int32)
    length = torch.randint(0, sizes.sk + 1, (sizes.b,), device=sizes.device, dtype=torch.int32)
    pool = lambda width: sizes.random(pages, sizes.h, PAGE, width)
    return dict(q=sizes.random(sizes.b, sizes.h, sizes.sq, sizes.d), k=pool(sizes.d), v=pool(sizes.dv), table=table, key_length=length)


def paged(t, scalars):
    gather = lambda pool: pool[t["table"].long()].transpose(1, 2).flatten(2, 3)  # (B, H, keys, D)
    k, v = gather(t["k"]), gather(t["v"])
    s = t["q"] @ k.transpose(-1, -2) * scalars["scale"]
    seen = torch.arange(k.shape[2], device=k.device) < t["key_length"][:, None]
    return dict(out=softmax(where(seen[:, None, None], s)).to(v.dtype) @ v)


def ipa_inputs(sizes):
    points = lambda count: sizes.random(sizes.b, sizes.h, sizes.sq, count, 3, dtype=torch.float32)
    t = dict(sizes.usual(), q_points=points(POINTS), k_points=points(POINTS), v_points=points(VALUE_POINTS))
    t.update(bias=sizes.random(sizes.b, sizes.h, sizes.sq, sizes.sk), pair=sizes.random(sizes.b, sizes.sq, sizes.sk, PAIR))
    return dict(t, gamma=torch.rand(sizes.h, device=sizes.device) * 0.1)


def ipa(t, scalars):
    distance = (t["q_points"][:, :, :, None] - t["k_points"][:, :, None]).square().sum((-1, -2))
    s = scores(t, scalars) + t["bias"] - t["gamma"].to(distance.dtype)[None, :, None, None] * distance
    p = torch.softmax(s, -1)
    points = torch.einsum("bhij,bhjpx->bhipx", p.to(t["v_points"].dtype), t["v_points"])
    pairs = torch.einsum("bhij,bijf->bhif", p.to(t["pair"].dtype), t["pair"])
    out = p.to(t["v"].dtype) @ t["v"]
    return dict(out=out, lse=torch.logsumexp(s, -1), out_points=points, out_pair=pairs)


def with_sink(sizes):
    return dict(sizes.usual(), sink=torch.randn(sizes.h, device=sizes.device))


def scaled(**more):
    return lambda sizes: dict(scale=1 / math.sqrt(sizes.d), **more)


def usual(sizes):
    return sizes.usual()


PROGRAMS = {
    "differential": Program(two_heads, differential(True, True)),
    "differential_full": Program(two_heads, differential(False, False)),
    "sinks": Program(with_sink, sinks),
    "sigmoid": Program(usual, sigmoid, scaled(bias=-2.0)),
    "sigmoid_pair": Program(with_pair_bias, sigmoid_pair),
    "relu": Program(usual, relu),
    "squared_relu": Program(usual, squared_relu),
    "linear": Program(usual, linear(False), lambda sizes: {}),
    "linear_causal": Program(usual, linear(True), lambda sizes: {}),
    "statistics": Program(usual, statistics, float_outputs=("lse", "row_max", "entropy", "variance")),
    "rope": Program(rope_inputs, rope, square=True),
    "evoformer": Program(evoformer_inputs, evoformer, square=True),
    "paged": Program(paged_inputs, paged),
    "ipa": Program(ipa_inputs, ipa, square=True, float_outputs=("lse", "out_points", "out_pair")),
}


def program(name, dv):
    return Program(mla_inputs, mla(lambda: dv)) if name == "mla" else PROGRAMS[name]


NAMES = (*PROGRAMS, "mla")


def exact(tensors):
    return {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}
