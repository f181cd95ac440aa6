"""The PyTorch face on a GPU: every mask and score modifier of tests/python/gym.py, streams, graphs, caches, host time.

    python3 tests/gpu/torch_face.py --library build/lib/libstrobe_torch.so --halide libHalide.so --out torch_face.json

Needs torch with CUDA and nothing else: the extension is built elsewhere, for any torch from 2.10. With --flex, times
torch.compile(flex_attention) beside it, its BlockMask counted and not counted. Exit code 1 if a result is wrong.
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
options.add_argument("--only", default="", help="names of gym.py, separated by commas")
options.add_argument("--length", type=int, default=1024, help="of the timed sequences; correctness uses those of gym.py")
options.add_argument("--flex", action="store_true", help="time torch's FlexAttention, too")
arguments = options.parse_args()

os.environ["STROBE_TORCH_LIBRARY"] = str(pathlib.Path(arguments.library).resolve())
if arguments.halide:
    os.environ["STROBE_HALIDE"] = str(pathlib.Path(arguments.halide).resolve())
os.environ["STROBE_CACHE"] = tempfile.mkdtemp(prefix="strobe-cache-")
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "python"), str(ROOT / "tests" / "gpu")]

import torch  # noqa: E402

torch.set_default_device("cuda")
torch.set_grad_enabled(False)

import gym  # noqa: E402
import machine  # noqa: E402
import reference  # noqa: E402
import strobe  # noqa: E402


def milliseconds(function, repeats=20):
    """Median by CUDA events, after a warm-up."""
    for _ in range(3):
        function()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        function()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def seconds_of(function):
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def host_microseconds(function, repeats=2000):
    for _ in range(20):
        function()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    result = (time.perf_counter() - start) / repeats * 1e6
    torch.cuda.synchronize()
    return result


def compare(name, dtype, features):
    """A row of the table: correct, refused or wrong, and the times of the first calls."""
    torch.manual_seed(0)
    maker, length = gym.ALL[name]
    heads = 4
    score_mod, mask_mod = maker(heads, length)
    query, key, value = (torch.randn(2, heads, length, features, dtype=dtype) for _ in range(3))
    row = {"name": name, "dtype": str(dtype).split(".")[1], "features": features}
    try:
        start = time.perf_counter()
        out, lse = strobe.flex_attention(query, key, value, score_mod, mask_mod, return_lse=True)
        torch.cuda.synchronize()
        row["first_call_s"] = round(time.perf_counter() - start, 3)
    except strobe.StrobeError as error:
        return {**row, "result": "refused", "why": str(error)[:400]}
    want, want_lse = reference.expected(query, key, value, score_mod, mask_mod)
    unfused, _ = reference.torch_flex_attention(
        query, key, value, score_mod, reference.block_mask_of(mask_mod, query, key) if mask_mod else None, return_lse=True
    )
    # Twice the error of PyTorch's own in the same type, and one rounding of the largest result.
    allowed = 2 * (unfused.double() - want).abs().max() + torch.finfo(dtype).eps * want.abs().max()
    error = (out.double() - want).abs().max()
    finite = ~torch.isinf(want_lse)
    lse_error = (lse.double() - want_lse)[finite].abs().max()
    right = bool(error <= allowed) and bool(lse_error <= 1e-3 * (1 + want_lse[finite].abs().max()))
    right = right and bool((torch.isinf(lse) == ~finite).all()) and not bool(out.isnan().any())
    return {**row, "result": "right" if right else "wrong", "error": float(error), "allowed": float(allowed),
            "lse_error": float(lse_error)}


def timed(name, length, flex):
    """Kernel times at B*S = 16384, bf16, D = 64, 16 heads."""
    heads, dtype = 16, torch.bfloat16
    score_mod, mask_mod = gym.ALL[name][0](heads, length)
    query, key, value = (torch.randn(max(16384 // length, 1), heads, length, 64, dtype=dtype) for _ in range(3))
    if name in ("per_batch", "graph_bias", "latent_rope"):
        query, key, value = query[:2], key[:2], value[:2]  # what they capture is made for two sequences
    run = lambda: strobe.flex_attention(query, key, value, score_mod, mask_mod)  # noqa: E731
    row = {"length": length, "strobe_first_s": seconds_of(run), "strobe_ms": milliseconds(run)}
    if flex:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        torch._dynamo.reset()
        compiled, build = torch.compile(flex_attention), torch.compile(create_block_mask)
        try:
            make = lambda: build(mask_mod, query.shape[0], heads, length, length) if mask_mod else None  # noqa: E731
            start = time.perf_counter()
            block_mask = make()
            compiled(query, key, value, score_mod, block_mask)
            torch.cuda.synchronize()
            row["flex_first_s"] = time.perf_counter() - start
            row["flex_ms"] = milliseconds(lambda: compiled(query, key, value, score_mod, block_mask))
            row["flex_with_mask_ms"] = milliseconds(lambda: compiled(query, key, value, score_mod, make()))
        except Exception as error:
            row["flex_error"] = str(error)[:200]
    return row


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


def main():
    names = [n for n in arguments.only.split(",") if n] or list(gym.ALL)
    result = {**machine.header(), "table": [], "checks": {}}
    failures = 0
    for name in names:
        for dtype, features in ((torch.bfloat16, 64), (torch.bfloat16, 128), (torch.float16, 64)):
            try:
                row = compare(name, dtype, features)
            except Exception as error:
                traceback.print_exc()
                row = {"name": name, "result": "wrong", "why": f"{type(error).__name__}: {error}"[:400]}
            failures += row["result"] == "wrong"
            print(row, flush=True)
            result["table"].append(row)
            if row["result"] == "refused":
                break
    for check in (check_streams, check_graphs, check_threads, check_devices, check_operator, check_new_lengths, check_disk_cache):
        try:
            outcome = check() or "ok"
        except Exception as error:
            traceback.print_exc()
            outcome, failures = f"FAILED: {type(error).__name__}: {error}"[:600], failures + 1
        result["checks"][check.__name__] = outcome
        print(check.__name__, outcome, flush=True)
    query, key, value = qkv(64, 1, 1)
    result["host_us"] = {"strobe": host_microseconds(lambda: strobe.flex_attention(query, key, value, block_mask=causal))}
    right = {r["name"] for r in result["table"] if r["result"] == "right"}
    result["times"] = {}
    for name in names:
        if name in right:
            try:
                result["times"][name] = timed(name, arguments.length, arguments.flex)
            except Exception as error:
                result["times"][name] = {"error": f"{type(error).__name__}: {error}"[:300]}
            print(name, result["times"][name], flush=True)
    print("host", result["host_us"])
    print(f"{sum(r['result'] == 'right' for r in result['table'])} right, {failures} failures, "
          f"{sum(r['result'] == 'refused' for r in result['table'])} refused")
    if arguments.out:
        pathlib.Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
