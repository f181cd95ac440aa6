"""Requirements 13, 14 and 20: races, determinism, streams and graphs."""

import hashlib
import time

import torch

from context import same_bits


def equal(a, b):
    """A tensor of one bool: the same bits everywhere."""
    return same_bits(a[0], b[0]).all() & same_bits(a[1], b[1]).all()


def races(ctx):
    """Bit-equal reruns while another stream moves memory."""
    runs = 10 if ctx.quick else 1000
    for b, h, hk, sq, sk in ((2, 4, 2, 700, 900), (1, 16, 16, 200, 3000)):
        if ctx.quick:
            sq, sk = sq // 10, sk // 10

        def case():
            ctx.seed(sq)
            q, k, v = ctx.inputs(b, h, hk, sq, sk, poison=True)
            tensors, scalars = ctx.extras(b, h, sq, sk)
            first = ctx.run(q, k, v, (tensors, scalars))
            out, lse = torch.empty_like(first[0]), torch.empty_like(first[1])
            call = ctx.prepare(q, k, v, out, lse, tensors, scalars)
            different = torch.zeros((), dtype=torch.int64, device=ctx.device)
            busy = torch.cuda.Stream() if ctx.on_gpu else None
            load = torch.empty(2, 1 << (27 if ctx.on_gpu else 4), dtype=torch.uint8, device=ctx.device)
            for n in range(runs):
                if busy and n % 4 == 0:
                    with torch.cuda.stream(busy):
                        load[n // 4 % 2].copy_(load[1 - n // 4 % 2])
                out.fill_(float("nan"))
                lse.fill_(float("nan"))
                call()
                different += ~equal(first, (out, lse))
            ctx.synchronize()
            count = int(different)
            return first[2] or (f"{count} of {runs} reruns differ" if count else "")

        yield f"{runs} runs of B={b} H={h} group={h // hk} Sq={sq} Sk={sk}", case


def fingerprint(ctx):
    """A digest of results on inputs that every process makes alike."""
    digest = hashlib.sha256()
    generator = torch.Generator().manual_seed(7)
    for b, h, hk, sq, sk in ((1, 2, 1, 100, 100), (2, 4, 2, 333, 257)):
        make = lambda *shape: torch.randn(shape, generator=generator).to(ctx.dtype).to(ctx.device)
        q, k, v = make(b, h, sq, ctx.d), make(b, hk, sk, ctx.d), make(b, hk, sk, ctx.dv)
        out, lse, _ = ctx.run(q, k, v)
        digest.update(out.view(torch.int16 if out.element_size() == 2 else torch.int32).cpu().contiguous().numpy().tobytes())
        digest.update(lse.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def determinism(ctx):
    """The same bits in every batch position and for every batch size (and in another process: see suite.py)."""
    for plan in range(ctx.plans):
        for sq, sk in ((130, 70), (500, 400)):

            def case():
                ctx.seed(sq)
                q, k, v = ctx.inputs(1, 4, 2, sq, sk)
                tensors, scalars = ctx.extras(1, 4, sq, sk)
                alone = ctx.run(q, k, v, (tensors, scalars), plan=plan)
                many = 3 if ctx.quick else 37
                repeat = lambda t: t.expand(many, *t.shape[1:]).contiguous()
                if "slopes" not in tensors:  # which has no batch
                    tensors = {name: repeat(t) for name, t in tensors.items()}
                together = ctx.run(repeat(q), repeat(k), repeat(v), (tensors, scalars), plan=plan)
                same = same_bits(together[0], alone[0]).all() & same_bits(together[1], alone[1]).all()
                return alone[2] or together[2] or ("" if bool(same) else "batch positions differ from a batch of one")

            yield f"batch positions Sq={sq} Sk={sk} plan={plan}", case


class Launcher:
    """Inputs and outputs at fixed addresses, whose contents change."""

    def __init__(self, ctx, b=2, h=4, hk=2, sq=300, sk=260):
        self.ctx, (self.q, self.k, self.v) = ctx, ctx.inputs(b, h, hk, sq, sk)
        self.extras = ctx.extras(b, h, sq, sk)
        self.out = torch.full((b, h, sq, ctx.dv), float("nan"), dtype=ctx.dtype, device=ctx.device)
        self.lse = torch.full((b, h, sq), float("nan"), device=ctx.device)

    def call(self, stream=None, package=None):
        return self.ctx.prepare(self.q, self.k, self.v, self.out, self.lse, *self.extras, stream=stream, package=package)

    def fresh(self):
        for tensor in (self.q, self.k, self.v):
            tensor.normal_()

    def expected(self):
        """Eager results on the current stream for the present inputs."""
        out, lse, _ = self.ctx.run(self.q, self.k, self.v, self.extras)
        return out, lse

    def matches(self, expected):
        return bool(equal(expected, (self.out, self.lse)))


def streams_and_graphs(ctx):
    if not ctx.on_gpu:
        return
    yield "side stream behind a slow producer", lambda: slow_producer(ctx)
    yield "three streams at once", lambda: several_streams(ctx)
    yield "graph: 100 replays with new inputs", lambda: graph(ctx, ctx.package, warm=True)
    yield "graph: captured as the very first launch", lambda: graph(ctx, ctx.make_package(), warm=False)


def slow_producer(ctx):
    work = Launcher(ctx)
    new = [torch.randn_like(tensor) for tensor in (work.q, work.k, work.v)]
    work.expected()  # the code is loaded
    side = torch.cuda.Stream()
    call = work.call(side.cuda_stream)
    with torch.cuda.stream(side):
        call()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(100_000_000)  # 50 ms or more
        for old, fresh in zip((work.q, work.k, work.v), new):
            old.copy_(fresh)
        start = time.perf_counter()
        call()
        host = time.perf_counter() - start
    waited = side.query()
    side.synchronize()
    if waited or host > 0.02:
        return f"the launch took {host * 1e3:.1f} ms of host time: it waited for the device"
    return "" if work.matches(work.expected()) else "the launch did not wait for its stream's producer"


def several_streams(ctx):
    works = [Launcher(ctx, b=1 + n, sq=200 + 100 * n, sk=300 + 50 * n) for n in range(3)]
    expected = [work.expected() for work in works]
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in works]
    calls = [work.call(stream.cuda_stream) for work, stream in zip(works, streams)]
    different = 0
    for _ in range(10):
        for work in works:
            work.out.fill_(float("nan"))
        torch.cuda.synchronize()
        for _ in range(20):
            for call in calls:
                call()
        torch.cuda.synchronize()
        different += sum(not work.matches(want) for work, want in zip(works, expected))
    return f"{different} of 30 results differ from those of one stream" if different else ""


def graph(ctx, package, warm):
    work = Launcher(ctx)
    if warm:
        work.call(package=package)()
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        work.call(torch.cuda.current_stream().cuda_stream, package)()
    different, replays = 0, 100
    for _ in range(replays):
        work.fresh()
        work.out.fill_(float("nan"))
        work.lse.fill_(float("nan"))
        captured.replay()
        different += not work.matches(work.expected())
    torch.cuda.synchronize()
    del captured
    return f"{different} of {replays} replays differ from eager launches" if different else ""
