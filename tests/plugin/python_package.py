"""Attention written in Python, scheduled by the plugin, against numpy."""

import sys

import halide as hl
import numpy as np

FEATURES, LENGTH, HEADS = 8, 50, 2


def attention():
    q, k, v = (hl.ImageParam(hl.Float(32), 3, name) for name in "qkv")
    d, i, j, h = (hl.Var(name) for name in "dijh")
    f = hl.RDom([(0, q.dim(0).extent())])
    key = hl.RDom([(0, k.dim(1).extent())])
    dot, s, m, l, o, out = (hl.Func(name) for name in ("dot", "s", "m", "l", "o", "attention"))
    dot[j, i, h] = 0.0
    dot[j, i, h] += q[f.x, i, h] * k[f.x, j, h]
    s[j, i, h] = hl.select(j <= i, dot[j, i, h] * hl.f32(0.5), hl.f32(float("-inf")))
    m[i, h] = hl.f32(float("-inf"))
    m[i, h] = hl.max(m[i, h], s[key.x, i, h])
    l[i, h] = 0.0
    l[i, h] += hl.exp(s[key.x, i, h] - m[i, h])
    o[d, i, h] = 0.0
    o[d, i, h] += hl.exp(s[key.x, i, h] - m[i, h]) * v[d, key.x, h]
    out[d, i, h] = o[d, i, h] / l[i, h]
    for p in (q, k, v):
        p.dim(0).set_bounds(0, FEATURES)
    out.output_buffer().dim(0).set_bounds(0, FEATURES)
    return (q, k, v), out


def main(plugin):
    hl.load_plugin(plugin)
    params, out = attention()
    pipeline = hl.Pipeline(out)
    results = pipeline.apply_autoscheduler(hl.get_host_target(), hl.AutoschedulerParams("Strobe", {}))
    assert "stream(" in results.schedule_source, results.schedule_source

    random = np.random.default_rng(0)
    q, k, v = (random.standard_normal((HEADS, LENGTH, FEATURES), dtype=np.float32) for _ in range(3))
    for p, x in zip(params, (q, k, v)):
        p.set(hl.Buffer(x))
    got = np.array(pipeline.realize([FEATURES, LENGTH, HEADS]))

    s = 0.5 * np.einsum("hid,hjd->hij", q.astype(np.float64), k.astype(np.float64))
    s[:, np.triu(np.ones((LENGTH, LENGTH), bool), 1)] = -np.inf
    p = np.exp(s - s.max(-1, keepdims=True))
    expected = np.einsum("hij,hjd->hid", p / p.sum(-1, keepdims=True), v)
    if got.shape != expected.shape:
        got = got.T
    error = np.abs(got - expected).max()
    print("largest error", error)
    assert error < 1e-5, (got, expected)


main(sys.argv[1])
