"""The PyTorch face on a GPU: host time, streams, graphs, threads, devices, caches. Its masks: tests/python/gym_table.py.

    python3 tests/gpu/torch_face.py --library build/lib/libstrobe_torch.so --halide libHalide.so --out torch_face.json

Needs torch with CUDA and nothing else: the extension is built elsewhere, for any torch from 2.10. The file is written
after every check, and what --seconds cuts off is missing in it. Exit code 1 if a check fails.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--library", required=True, help="libstrobe_torch.so")
options.add_argument("--halide", help="libHalide.so; default: that of the installed halide package")
options.add_argument("--out", help="file for the results as JSON")
options.add_argument("--seconds", type=float, default=600, help="begin no check after this time")
options.add_argument("--no-flex", dest="flex", action="store_false", help="do not measure torch's FlexAttention beside it")
arguments = options.parse_args()

os.environ["STROBE_TORCH_LIBRARY"] = str(pathlib.Path(arguments.library).resolve())
if arguments.halide:
    os.environ["STROBE_HALIDE"] = str(pathlib.Path(arguments.halide).resolve())
os.environ["STROBE_CACHE"] = tempfile.mkdtemp(prefix="strobe-cache-")
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "gpu")]

import torch  # noqa: E402

torch.set_default_device("cuda")
torch.set_grad_enabled(False)

import machine  # noqa: E402
import strobe  # noqa: E402


def seconds_of(function):
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def host_microseconds(calls: dict, rounds=25, repeats=200):
    """Of each call: the least time until it returns. The device is idle at the start of a round and never more than a round behind;
    calls take turns, after a second in which the processor comes up to speed."""
    end = time.perf_counter() + 1
    while time.perf_counter() < end:
        for function in calls.values():
            function()
        torch.cuda.synchronize()
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, function in calls.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(repeats):
                function()
            best[name] = min(best[name], (time.perf_counter() - start) / repeats * 1e6)
    return {name: round(value, 2) for name, value in best.items()}


def causal(b, h, q, k):
    return q >= k


def qkv(length=256, batch=2, heads=4, device=None):
    return [torch.randn(batch, heads, length, 64, dtype=torch.bfloat16, device=device) for _ in range(3)]


def check_streams():
    """A producer that is late, on a side stream."""
    query, key, value = qkv()
    want = strobe.flex_attention(query, key, value, block_mask=causal)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        late = torch.zeros_like(query)
        torch.cuda._sleep(50_000_000)
        late.copy_(query)
        out = strobe.flex_attention(late, key, value, block_mask=causal)
    side.synchronize()
    assert torch.equal(out, want), "the launch did not wait for what is before it on its stream"


def check_graphs():
    query, key, value = qkv()
    strobe.flex_attention(query, key, value, block_mask=causal)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = strobe.flex_attention(query, key, value, block_mask=causal)
    for _ in range(20):
        query.copy_(torch.randn_like(query))
        graph.replay()
        assert torch.equal(out, strobe.flex_attention(query, key, value, block_mask=causal)), "a replay differs from eager"


def check_threads():
    """A thread that has done nothing with CUDA yet."""
    import threading

    query, key, value = qkv()
    want = strobe.flex_attention(query, key, value, block_mask=causal)
    results = []

    def work():
        torch.set_grad_enabled(False)
        results.append(strobe.flex_attention(query, key, value, block_mask=causal))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results and torch.equal(results[0], want)


def check_devices():
    query, key, value = qkv()
    try:
        strobe.flex_attention(query, key.cpu(), value)
    except strobe.ArgumentError as error:
        assert "key" in str(error)
    else:
        raise AssertionError("mixed devices were accepted")
    if torch.cuda.device_count() > 1:
        want = strobe.flex_attention(query, key, value, block_mask=causal)
        there = [t.to("cuda:1") for t in (query, key, value)]
        assert torch.equal(strobe.flex_attention(*there, block_mask=causal).to("cuda:0"), want)


def check_operator():
    from strobe.flex import describe_flex_attention

    query, key, value = qkv()
    text = describe_flex_attention(query, key, value, None, causal)
    torch.library.opcheck(strobe.attention, (text, [query, key, value], [0.125]))
    layer = lambda q, k, v: torch.ops.strobe.attention(text, [q * 2, k, v], [0.125])[0] + 1  # noqa: E731
    torch.testing.assert_close(torch.compile(layer, fullgraph=True)(query, key, value), layer(query, key, value))


def check_new_lengths():
    """A new length compiles nothing: the call takes milliseconds, not seconds."""
    strobe.flex_attention(*qkv(256), block_mask=causal)
    took = seconds_of(lambda: strobe.flex_attention(*qkv(777), block_mask=causal))
    assert took < 0.05, f"a new length took {took:.3f} s"


def check_disk_cache():
    """Another process finds the kernel on disk."""
    import subprocess

    program = (
        "import sys, time, torch; sys.path.insert(0, sys.argv[1]); import strobe\n"
        "q = torch.randn(1, 1, 64, 64, dtype=torch.bfloat16, device='cuda')\n"
        "strobe.flex_attention(q, q, q)\n"  # loads what loads once
        "start = time.perf_counter()\n"
        "strobe.flex_attention(q, q, q, score_mod=lambda s, b, h, i, j: s * 1.5)\n"
        "torch.cuda.synchronize(); print(time.perf_counter() - start)\n"
    )
    times = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", "import torch; torch.set_grad_enabled(False)\n" + program, str(ROOT / "python")],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        times.append(float(done.stdout.split()[-1]))
    return {"cold_s": times[0], "from_disk_s": times[1]}


def host_time():
    """Microseconds of host time a call, on tensors so small that the device keeps up."""
    query, key, value = qkv(64, 1, 1)
    table, other = torch.ones(1, device="cuda"), torch.ones(1, device="cuda")
    torch.set_default_device(None)  # a mode that every call of torch would go through
    try:
        return _host_time(query, key, value, table, other)
    finally:
        torch.set_default_device("cuda")


def _host_time(query, key, value, table, other):
    from strobe.flex import describe_flex_attention
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    text, nothing = describe_flex_attention(query, key, value, None, causal), query[:, :, :0]
    with torch.inference_mode():
        inside = [t.clone() for t in (query, key, value)]
    calls = {
        "torch.neg, for scale": lambda: torch.neg(query),
        "torch.empty_strided, for scale": lambda: torch.empty_strided((1, 1, 64, 64), (4096, 4096, 64, 1), device="cuda"),
        "scaled_dot_product_attention": lambda: torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True),
        "strobe.flex_attention, causal": lambda: strobe.flex_attention(query, key, value, block_mask=causal),
        "the same for no queries: no launch": lambda: strobe.flex_attention(nothing, key, value, block_mask=causal),
        "strobe.flex_attention, causal and a captured tensor": lambda: strobe.flex_attention(
            query, key, value, lambda s, b, h, q, k: s * table[h], causal),
        "strobe.flex_attention, causal and two captured tensors": lambda: strobe.flex_attention(
            query, key, value, lambda s, b, h, q, k: s * table[h] + other[h], causal),
        "torch.ops.strobe.causal": lambda: torch.ops.strobe.causal(query, key, value, 0.125),
        "strobe.operators.causal": lambda: strobe.operators.causal(query, key, value, 0.125),
        "torch.ops.strobe.attention": lambda: strobe.attention(text, [query, key, value], [0.125]),
    }
    failures = {}
    try:
        from flash_attn.cute.interface import flash_attn_func

        swapped = [t.transpose(1, 2).contiguous() for t in (query, key, value)]
        call = lambda: flash_attn_func(*swapped, causal=True)  # noqa: E731
        call()
        calls["flash_attn.cute (FA4), causal"] = call
    except Exception as error:
        failures["flash_attn.cute (FA4), causal"] = f"{type(error).__name__}: {error}"[:100]
    if arguments.flex:
        compiled, block_mask = torch.compile(flex_attention), create_block_mask(causal, 1, 1, 64, 64, device="cuda")
        calls["torch.compile(flex_attention), its BlockMask made before"] = lambda: compiled(query, key, value, block_mask=block_mask)
    result = host_microseconds(calls)
    with torch.inference_mode():
        result.update(host_microseconds({"torch.ops.strobe.causal, inference mode": lambda: torch.ops.strobe.causal(*inside, 0.125)}))
    result["the launch itself"] = round(result["strobe.flex_attention, causal"] - result["the same for no queries: no launch"], 2)
    return {**result, **failures}


CHECKS = (host_time, check_streams, check_graphs, check_threads, check_devices, check_operator, check_new_lengths, check_disk_cache)


def main():
    begin = time.monotonic()
    result = {**machine.header(), "checks": {}}
    failures = 0
    for check in CHECKS:
        if time.monotonic() - begin > arguments.seconds:
            print(f"{check.__name__} and what follows was cut off", flush=True)
            break
        try:
            outcome = check() or "ok"
        except Exception as error:
            traceback.print_exc()
            outcome, failures = f"FAILED: {type(error).__name__}: {error}"[:600], failures + 1
        result["checks"][check.__name__] = outcome
        print(check.__name__, outcome, flush=True)
        if arguments.out:
            pathlib.Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(result['checks']) - failures} of {len(CHECKS)} right")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
