"""Host time of a launch, and the replay of a launch from a CUDA graph."""

import math
import pathlib
import time

import torch

import variants

LAUNCHES = 100  # before each wait: fewer than the driver queues


def best(call, rounds=20):
    """Least microseconds of host time per call; the device catches up between the rounds."""
    least = math.inf
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(LAUNCHES):
            call()
        least = min(least, (time.perf_counter() - start) / LAUNCHES * 1e6)
    torch.cuda.synchronize()
    return least


def measure(path, library):
    from strobe_ctypes import Package

    variant, dtype, d, dv, _ = variants.parse_file_name(path.stem)
    make = lambda width: torch.randn(1, 2, 64, width, device="cuda", dtype=variants.DTYPES[dtype])
    q, k, v, out = make(d), make(d), make(dv), make(dv)
    lse = torch.zeros(1, 2, 64, device="cuda")
    tensors, scalars = variants.extra_arguments(variant, 1, 2, 64, "cuda")
    buffers, values = dict(q=q, k=k, v=v, out=out, lse=lse, **tensors), dict(scale=1 / math.sqrt(d), **scalars)
    package = Package(str(path), library=library)
    start = time.perf_counter()
    package.load()
    loading = time.perf_counter() - start
    call = package.prepare(buffers, values, torch.cuda.current_stream().cuda_stream)
    call()
    host = best(call)
    expected = out.clone(), lse.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        package.prepare(buffers, values, torch.cuda.current_stream().cuda_stream)()
    out.fill_(float("nan"))
    lse.fill_(float("nan"))
    graph.replay()
    torch.cuda.synchronize()
    same = bool(torch.equal(out, expected[0]) and torch.equal(lse, expected[1]))
    record = {"package": path.stem, "host_us": round(host, 2), "load_ms": round(loading * 1e3, 2)}
    record.update(graph_replay_host_us=round(best(graph.replay), 2), graph_equals_eager=same)
    del graph
    return record


def measure_all(options, emit):
    """For each package; host_us includes the call through ctypes."""
    torch.cuda.init()
    for path in sorted(pathlib.Path(options.packages).glob("*.skp")):
        parsed = variants.parse_file_name(path.stem)
        if parsed and parsed[0] in options.variants and parsed[2] in options.dims and parsed[1] == options.dtype:
            try:
                emit(measure(path, options.library))
            except Exception as error:
                emit({"package": path.stem, "error": f"{type(error).__name__}: {error}"[:300]})
