"""Requirements 1, 3, 4, 5 and 6: values, tile edges, rows without keys, containment of NaN, empty tensors.

Each section yields (case, function); the function returns "" or what is wrong.
"""

import torch

import variants
from context import same_bits, same_rows


def error_rule(ctx):
    """Random sizes, groups, scalars and magnitudes."""
    draw = ctx.random
    for n in range(6 if ctx.quick else 80):
        limit = 200 if ctx.quick else 1500
        hk, group = draw.randint(1, 3), draw.choice((1, 1, 2, 4, 8))
        b, sq, sk = draw.randint(1, 3), draw.randint(1, limit), draw.randint(1, limit)
        factor, scale = draw.choice((0.1, 1.0, 1.0, 4.0)), draw.choice((1.0, 1.0, 0.3, 2.0)) * ctx.scale
        scalars = dict(cap=draw.choice((30.0, 5.0, 40.0)), window=draw.choice((256, 0, 1, 63, 1000)))
        scalars["prefix"] = draw.choice((256, 0, 1, 200, 5000))
        order = draw.choice(((0, 1, 2, 3), (0, 2, 1, 3), (2, 0, 1, 3)))

        def case():
            ctx.seed(n)
            q, k, v = ctx.inputs(b, hk * group, hk, sq, sk, factor, poison=n % 2 == 0, order=order)
            return ctx.check(q, k, v, ctx.extras(b, hk * group, sq, sk, **scalars), scale=scale)

        used = {name: value for name, value in scalars.items() if name in ctx.extras(1, 1, 1, 1)[1]}
        yield f"B={b} H={hk * group} group={group} Sq={sq} Sk={sk} factor={factor} scale={scale:.3g} {used} seed={n}", case


EDGES = (1, 2, 17, 63, 64, 65, 127, 128, 129, 191, 192, 193, 255, 256, 257, 385)


def tile_edges(ctx):
    """Every square length from 1 to 257 and pairs of lengths around tile sizes, under every plan of the package."""
    squares = [(s, s) for s in ((1, 2, 63, 64, 65, 129) if ctx.quick else range(1, 258))]
    pairs = [(a, b) for a in EDGES for b in EDGES if a != b]
    for plan in range(ctx.plans):
        for n, (sq, sk) in enumerate(squares + (pairs[::40] if ctx.quick else pairs)):

            def case():
                ctx.seed(n)
                # Documents and windows that end within these lengths.
                extras = ctx.extras(1, 2, sq, sk, window=(n * 7) % 100, prefix=(n * 11) % 200)
                return ctx.check(*ctx.inputs(1, 2, 1 + n % 2, sq, sk, poison=n % 3 != 0), extras, plan=plan)

            yield f"Sq={sq} Sk={sk} plan={plan} seed={n}", case


def rows_without_keys(ctx):
    """Rows that see nothing are 0 and -inf, and their neighbours are right."""
    sizes = ((70, 30),) if ctx.quick else ((900, 300), (500, 200), (257, 64), (400, 129), (1000, 1), (640, 192))
    if ctx.variant == "sliding_window":
        for sq, sk in sizes:
            for window in (0, 1, 100):

                def case():
                    ctx.seed(sq)
                    return ctx.check(*ctx.inputs(2, 2, 1, sq, sk), ctx.extras(2, 2, sq, sk, window=window))

                yield f"Sq={sq} Sk={sk} window={window}", case
    elif ctx.variant == "document_mask":
        for sq, sk in sizes:
            for pattern in ("behind", "every third", "tile", "all"):

                def case():
                    ctx.seed(sq)
                    document = torch.zeros(2, max(sq, sk), dtype=torch.int32)
                    i = torch.arange(max(sq, sk))
                    queries = {"behind": i >= sk, "every third": (i >= sk) & (i % 3 == 0), "all": i >= 0}
                    alone = queries.get(pattern, (i >= sk) & (i // 64 % 2 == 0))
                    document[:, alone] = (1000 + i[alone]).to(torch.int32)
                    document[:, :sk] = 0 if pattern != "all" else document[:, :sk] + 5000
                    q, k, v = ctx.inputs(2, 2, 1, sq, sk)
                    return ctx.check(q, k, v, ({"document": document.to(ctx.device)}, {}))

                yield f"Sq={sq} Sk={sk} alone: {pattern}", case
    for sq in (1, 64, 130):  # whatever the mask

        def case():
            return ctx.check(*ctx.inputs(2, 2, 2, sq, 0), ctx.extras(2, 2, sq, 0))

        yield f"Sq={sq} Sk=0", case


def contained(ctx, base, poisoned, may_change):
    """"" if the rows outside may_change kept their bits."""
    out, lse, _ = base
    changed = ~(same_rows(out, poisoned[0]) & same_bits(lse, poisoned[1])) & ~may_change
    count = int(changed.sum())
    return f"{count} rows changed that do not see the poison, first {changed.nonzero()[0].tolist()}" if count else ""


def containment(ctx):
    """NaN and infinities reach the rows that see them and no other; also beyond Sk (see `poison` in the other sections)."""
    b, h, s = 2, 2, 130 if ctx.quick else 500
    ctx.seed(5)
    q, k, v = ctx.inputs(b, h, h, s, s, poison=True)
    extras = ctx.extras(b, h, s, s, window=100, prefix=150)
    base = ctx.run(q, k, v, extras)
    rows = torch.arange(s, device=ctx.device)
    mask = variants.live(ctx.variant, *extras, rows, s)
    mask = torch.ones(b, h, s, s, dtype=torch.bool, device=ctx.device) if mask is None else mask.expand(b, h, s, s)
    for value in (float("nan"), float("inf"), float("-inf")):
        for j in (0, 63, s // 2, s - 1):

            def case():
                bad = k.clone()
                bad[0, 1, j, 3] = value
                seeing = torch.zeros(b, h, s, dtype=torch.bool, device=ctx.device)
                seeing[0, 1] = mask[0, 1, :, j]
                got = ctx.run(q, bad, v, extras)
                problem = contained(ctx, base, got, seeing)
                if value != value and not problem:
                    quiet = int((~got[0].isnan().all(-1) & seeing).sum())
                    problem = f"{quiet} rows see a NaN key and are not NaN" if quiet else ""
                return got[2] or problem

            yield f"key {j} = {value}", case
        for i in (0, 77, s - 1):

            def case():
                bad = q.clone()
                bad[1, 0, i, 5] = value
                own = torch.zeros(b, h, s, dtype=torch.bool, device=ctx.device)
                own[1, 0, i] = True
                got = ctx.run(bad, k, v, extras)
                return got[2] or contained(ctx, base, got, own)

            yield f"query {i} = {value}", case
    yield from other_heads(ctx, q, k, v, extras, base)
    if ctx.variant in variants.MASKED:
        yield from dead_tiles(ctx)


def other_heads(ctx, q, k, v, extras, base):
    def case():
        bad_k, bad_v = k.clone(), v.clone()
        bad_k[1, 1], bad_v[1, 1] = float("nan"), float("inf")
        own = torch.zeros(q.shape[:3], dtype=torch.bool, device=ctx.device)
        own[1, 1] = True
        got = ctx.run(q, bad_k, bad_v, extras)
        return got[2] or contained(ctx, base, got, own)

    yield "all keys and values of one head", case


def dead_tiles(ctx):
    """Keys and values in tiles that no row of a query tile sees are not touched, NaN or not."""
    s, unit = (256, 32) if ctx.quick else (2048, 256)
    ctx.seed(6)
    q, k, v = ctx.inputs(1, 2, 2, s, s)
    extras = ctx.extras(1, 2, s, s, window=unit, prefix=unit)
    if ctx.variant == "document_mask":
        extras = ({"document": (torch.arange(s, device=ctx.device) >= s // 2).to(torch.int32)[None].contiguous()}, {})
    base = ctx.run(q, k, v, extras)
    places = [(slice(6 * unit, None), slice(4 * unit, None))]  # poisoned keys; rows that may change
    if ctx.variant in ("sliding_window", "document_mask"):
        places.append((slice(0, unit), slice(0, 4 * unit + (2 * unit if ctx.variant == "document_mask" else 0))))
    for keys, rows in places:
        for value in (float("nan"), float("inf")):

            def case():
                bad_k, bad_v = k.clone(), v.clone()
                bad_k[:, :, keys], bad_v[:, :, keys] = value, value
                near = torch.zeros(1, 2, s, dtype=torch.bool, device=ctx.device)
                near[:, :, rows] = True
                got = ctx.run(q, bad_k, bad_v, extras)
                return got[2] or contained(ctx, base, got, near)

            yield f"keys and values {keys.start}:{keys.stop or s} = {value}", case


def empty_tensors(ctx):
    """A size of 0 anywhere; no keys give 0 and -inf."""
    sizes = [(0, 2, 64, 64), (2, 0, 64, 64), (2, 2, 0, 64), (0, 0, 0, 0), (0, 2, 0, 0), (2, 2, 0, 0)]
    sizes += [(2, 2, 64, 0), (1, 1, 1, 0), (3, 2, 200, 0), (70, 3, 5, 0)]
    for b, h, sq, sk in sizes:

        def case():
            return ctx.check(*ctx.inputs(b, h, h, sq, sk), ctx.extras(b, h, sq, sk))

        yield f"B={b} H={h} Sq={sq} Sk={sk}", case

    def after():
        return ctx.check(*ctx.inputs(1, 2, 2, 100, 100))

    yield "an ordinary launch after them", after
