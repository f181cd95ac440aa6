"""Requirements 7, 8 and 9: many heads, offsets beyond 32 bits, layouts."""

import itertools

import torch

import guarded


def grids(ctx):
    """Numbers of batch entries times heads around and beyond 65,535."""
    sizes = [(65535, 1), (65536, 1), (131072, 1), (8192, 16), (1, 65536)]
    for n, (b, h) in enumerate([(70, 2)] if ctx.quick else sizes):

        def case():
            with ctx.large():
                ctx.seed(n)
                return ctx.check(*ctx.inputs(b, h, h, 16, 16))

        yield f"B={b} H={h} S=16", case


def gentle(extras):
    """Slopes so small that float32 still resolves the biases of positions 2^24 apart."""
    tensors, scalars = extras
    if "slopes" in tensors:
        tensors["slopes"] *= 2.0**-18
    return tensors, scalars


def sampled_rows(ctx, count, near=(), ends=64):
    """Query positions worth a look among many: the ends, those around `near`, and random ones."""
    spots = {*range(min(count, ends)), *range(max(0, count - ends), count)}
    for row in near:
        spots |= {r for r in range(row - 16, row + 16) if 0 <= r < count}
    spots |= {ctx.random.randrange(count) for _ in range(2 * ends)}
    return torch.tensor(sorted(spots), device=ctx.device)


def wide_offsets(ctx):
    """More than 2^31 elements, strides beyond 2^31, 2^22 keys."""
    large = 1 << (14 if ctx.quick else 31)

    def many_elements():
        with ctx.large():
            ctx.seed(1)
            sq = large // (2 * min(ctx.d, ctx.dv)) + 1001
            extras = gentle(ctx.extras(1, 2, sq, 96, window=1 << 30, prefix=50))
            q, k, v = ctx.inputs(1, 2, 1, sq, 96)
            return ctx.check(q, k, v, extras, rows=sampled_rows(ctx, sq, (large // 2 // ctx.d, (1 << 24), (1 << 22))))

    yield "more than 2^31 elements of q and out", many_elements

    def wide_strides():
        with ctx.large():
            ctx.seed(2)
            s, stride = 300, large + 4096
            memory = torch.full((stride + (1 << 20),), float("nan"), dtype=ctx.dtype, device=ctx.device)
            make = lambda start, d: memory.as_strided((1, 2, s, d), (2 * stride, stride, d, 1), start)
            q, k, v = make(0, ctx.d), make(1 << 16, ctx.d), make(1 << 17, ctx.dv)
            for tensor in (q, k, v):
                tensor.copy_(torch.randn(tensor.shape, dtype=ctx.dtype, device=ctx.device))
            shape = (1, 2, s, ctx.dv)
            out = guarded.Guarded(shape, ctx.dtype, ctx.device, (2 * stride, stride, ctx.dv, 1))
            lse = guarded.Guarded(shape[:3], torch.float32, ctx.device)
            return ctx.check(q, k, v, outputs=(out, lse))

    yield "strides beyond 2^31 elements", wide_strides

    def many_keys():
        with ctx.large():
            ctx.seed(3)
            sk = 1 << (12 if ctx.quick else 22)
            sq = sk if ctx.variant == "sliding_window" else 64
            heads = 1 if ctx.variant == "sliding_window" else 2
            tensors, scalars = gentle(ctx.extras(1, heads, sq, sk, prefix=sk - 3))
            if ctx.variant == "document_mask":
                i = torch.arange(sk, device=ctx.device, dtype=torch.int32)
                tensors = {"document": ((i >> 4) % 7)[None].contiguous()}
            q, k, v = ctx.inputs(1, heads, 1, sq, sk)
            return ctx.check(q, k, v, (tensors, scalars), rows=sampled_rows(ctx, sq, ends=8))

    yield "2^22 keys", many_keys


def layouts(ctx):
    """All orders of dimensions, strides of 0, addresses and pitches off 16 bytes: right, or refused as an argument's error."""
    yield from stride_orders(ctx)
    yield from shared_and_misaligned(ctx)
    yield from wrong_arguments(ctx)

    def after():
        return ctx.check(*ctx.inputs(1, 2, 2, 100, 100))

    yield "an ordinary launch after the refusals", after


def stride_orders(ctx):
    b, h, hk, sq, sk = 2, 4, 2, 150, 170
    every, inner = list(itertools.permutations(range(4))), list(itertools.permutations(range(3)))
    for order in every:

        def case():
            ctx.seed(1)
            inputs = ctx.inputs(b, h, hk, sq, sk, order=order)
            outputs = ctx.outputs(b, h, sq, out_order=order)
            if order[3] == 3:  # features innermost: must work
                return ctx.check(*inputs, outputs=outputs)
            return ctx.check_refusal(*inputs, ctx.extras(b, h, sq, sk), outputs, must_refuse=False)

        yield f"dimensions in memory {order}", case
    for n in range(12):

        def case():
            ctx.seed(n)
            orders = [ctx.random.choice(inner) + (3,) for _ in range(4)]
            pitch = ctx.random.choice((0, 8, 64))
            q, _, _ = ctx.inputs(b, h, hk, sq, sk, order=orders[0], pitch=pitch)
            _, k, _ = ctx.inputs(b, h, hk, sq, sk, order=orders[1])
            _, _, v = ctx.inputs(b, h, hk, sq, sk, order=orders[2], pitch=pitch)
            lse_order = ctx.random.choice(inner)
            outputs = ctx.outputs(b, h, sq, out_order=orders[3], pitch=pitch, lse_order=lse_order)
            return ctx.check(q, k, v, outputs=outputs)

        yield f"mixed orders and pitches {n}", case


def shared_and_misaligned(ctx):
    b, h, hk, sq, sk = 2, 4, 2, 150, 170
    for what in ("heads", "batch", "both"):

        def case():
            ctx.seed(2)
            q, k, v = ctx.inputs(b, h, hk, sq, sk)
            heads, batch = what != "batch", what != "heads"
            cut = lambda t: t[: 1 if batch else b, : 1 if heads else hk].expand(b, hk, sk, t.shape[3])
            return ctx.check_refusal(q, cut(k), cut(v), ctx.extras(b, h, sq, sk), ctx.outputs(b, h, sq), must_refuse=False)

        yield f"keys and values expanded over {what}", case
    for target in ("q", "k", "v", "out"):
        for kind in ("address", "pitch"):

            def case():
                ctx.seed(3)
                make = lambda name, shape: guarded.random_among_poison(
                    shape,
                    ctx.dtype,
                    ctx.device,
                    pitch=int(name == target and kind == "pitch"),
                    offset=int(name == target and kind == "address"),
                )
                q, k = make("q", (b, h, sq, ctx.d)), make("k", (b, hk, sk, ctx.d))
                v = make("v", (b, hk, sk, ctx.dv))
                pitch, offset = (int(target == "out" and kind == word) for word in ("pitch", "address"))
                outputs = ctx.outputs(b, h, sq, pitch=pitch, out_offset=offset)
                return ctx.check_refusal(q, k, v, ctx.extras(b, h, sq, sk), outputs, must_refuse=False)

            yield f"{kind} of {target} off by one element", case

    def one_element_dimensions():
        ctx.seed(4)
        q, k, v = ctx.inputs(1, 1, 1, sq, sk)
        odd = lambda t: t.as_strided(t.shape, (7, 3, t.stride(2), 1), t.storage_offset())
        return ctx.check(odd(q), odd(k), odd(v))

    yield "odd strides of dimensions of one element", one_element_dimensions


def wrong_arguments(ctx):
    b, h, hk, sq, sk = 2, 4, 2, 64, 70

    def refusal(change):
        def case():
            ctx.seed(5)
            q, k, v = ctx.inputs(b, h, hk, sq, sk)
            out, lse = ctx.outputs(b, h, sq)
            tensors = change(dict(q=q, k=k, v=v))
            outputs = tensors.pop("outputs", (out, lse))
            extras = ctx.extras(b, h, sq, sk)
            return ctx.check_refusal(tensors["q"], tensors["k"], tensors["v"], extras, outputs, must_refuse=True)

        return case

    def shared_output(tensors):
        out, lse = ctx.outputs(b, h, sq)
        out.tensor = out.tensor[:, :1].expand(b, h, sq, ctx.dv)
        return dict(tensors, outputs=(out, lse))

    changes = {
        "a type of its own": lambda t: dict(t, q=t["q"].float()),
        "fewer values than keys": lambda t: dict(t, v=t["v"][:, :, :-1]),
        "another feature size of k": lambda t: dict(t, k=t["k"][..., :-8]),
        "another batch of k": lambda t: dict(t, k=t["k"][:1], v=t["v"][:1]),
        "rank 3": lambda t: dict(t, q=t["q"][0]),
        "an output whose heads share memory": shared_output,
    }
    for name, change in changes.items():
        yield f"refused: {name}", refusal(change)
