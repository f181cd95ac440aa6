"""One process of gym_table.py: compiles and checks rows, keeps what it compiled, and times it when nobody else uses the device.

Requests come in, a line of JSON each: {"do": "compile" or "time", "name": ...}. Answers go out, a line each; one with "more"
says what is known so far, in case what follows ends the process.
"""

import json
import statistics
import sys
import time
import types
import warnings

import gym
import reference
import strobe
import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

#: device -> what is checked, (dtype, features), and what is timed: dtype, heads, features, batch * length
CASES = {
    "cpu": [("float32", 16), ("bfloat16", 64)],
    "cuda": [("bfloat16", 64), ("bfloat16", 128), ("float16", 64)],
}
TIMED = {"cpu": ("float32", 4, 64, 2048), "cuda": ("bfloat16", 16, 64, 16384)}


class _Forbidden:
    """Is not there: any use of it is an error."""


def _reads(mask_mod, argument):
    """Whether a mask_mod looks at its batch (0) or head (1)."""
    arguments = [torch.zeros((), dtype=torch.int32) for _ in range(4)]
    arguments[argument] = _Forbidden()
    try:
        mask_mod(*arguments)
        return False
    except Exception:
        return True


class Worker:
    def __init__(self, device, length, flex):
        torch.set_default_device(device)
        torch.set_grad_enabled(False)
        warnings.simplefilter("ignore")
        self.device, self.length, self.flex = device, length, flex
        self.ready = {}  # by name: Strobe's call, and torch's, with a BlockMask that is there or made anew
        self._warm_up()

    def _warm_up(self):
        """What happens once in a process is no part of a first call."""
        query = torch.randn(1, 1, 64, 64, dtype=getattr(torch, TIMED[self.device][0]))
        strobe.flex_attention(query, query, query, lambda s, b, h, q, k: s * 1.5)
        if self.flex:
            torch.compile(flex_attention)(query, query, query, lambda s, b, h, q, k: s * 1.5)

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, function):
        self.wait()
        start = time.perf_counter()
        result = function()
        self.wait()
        return result, time.perf_counter() - start

    def milliseconds(self, function):
        """Of the device where there is one: by events around several calls, queued behind a wait, so that the host's time does not show."""
        _, once = self.seconds(function)
        if self.device != "cuda":
            repeats = max(3, min(50, int(0.5 / max(once, 1e-3))))
            return round(1e3 * statistics.median(self.seconds(function)[1] for _ in range(repeats)), 4)
        times, calls = [], 10 if once < 0.02 else 2
        for _ in range(5):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda._sleep(4_000_000)
            start.record()
            for _ in range(calls):
                function()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / calls)
        return round(statistics.median(times), 5)

    def check(self, name, dtype, features):
        """right, refused or wrong under the error rule; and the time of the first call."""
        torch.manual_seed(0)
        entry = gym.ALL[name]
        heads, dtype = 4, getattr(torch, dtype)
        score_mod, mask_mod = entry.make(heads, entry.length)
        lengths = (entry.queries(entry.length), entry.length, entry.length)
        query, key, value = (torch.randn(2, heads, n, features, dtype=dtype) for n in lengths)
        case = {"dtype": str(dtype).split(".")[1], "features": features}
        try:
            call = lambda: strobe.flex_attention(query, key, value, score_mod, mask_mod, return_lse=True)  # noqa: E731
            (out, lse), took = self.seconds(call)
            case["first_s"] = round(took, 3)
        except strobe.StrobeError as error:
            return {**case, "result": "refused", "why": str(error)[:400]}
        want, want_lse = reference.expected(query, key, value, score_mod, mask_mod)
        block_mask = reference.block_mask_of(mask_mod, query, key) if mask_mod else None
        unfused = reference.torch_flex_attention(query, key, value, score_mod, block_mask)
        # Twice the error of PyTorch's own in the same type, and one rounding of the largest result.
        allowed = 2 * (unfused.double() - want).abs().max() + torch.finfo(dtype).eps * want.abs().max()
        error = (out.double() - want).abs().max()
        finite = ~torch.isinf(want_lse)
        lse_error = (lse.double() - want_lse)[finite].abs().max()
        right = bool(error <= allowed) and bool(lse_error <= 1e-3 * (1 + want_lse[finite].abs().max()))
        right = right and bool((torch.isinf(lse) == ~finite).all()) and not bool(out.isnan().any())
        return {**case, "result": "right" if right else "wrong", "error": float(error), "allowed": float(allowed),
                "lse_error": float(lse_error)}

    def prepare(self, name, say):
        """First calls on the tensors that are timed later; what they take."""
        torch.manual_seed(0)
        dtype, heads, features, tokens = TIMED[self.device]
        entry = gym.ALL[name]
        batch = entry.batch or max(2, tokens // self.length)
        score_mod, mask_mod = entry.make(heads, self.length)
        lengths = (entry.queries(self.length), self.length, self.length)
        query, key, value = (torch.randn(batch, heads, n, features, dtype=getattr(torch, dtype)) for n in lengths)
        row = {"shape": list(query.shape), "keys": self.length, "timed_dtype": dtype}
        calls = self.ready[name] = {"strobe_ms": lambda: strobe.flex_attention(query, key, value, score_mod, mask_mod)}
        row["strobe_first_s"] = round(self.seconds(calls["strobe_ms"])[1], 3)
        if not self.flex:
            return row
        say(row)
        # As torch's documentation advises: what does not depend on batch or head is built once for all of them.
        over = (batch if _reads(mask_mod, 0) else None, heads if _reads(mask_mod, 1) else None) if mask_mod else ()

        def make():
            # Not compiled: where it was, a row with a mask took 45 s.
            return create_block_mask(mask_mod, *over, *lengths[:2], device=self.device) if mask_mod else None

        def attend(block_mask):
            return flex_attention(query, key, value, score_mod, block_mask)

        # Code of its own, so that rows neither share guards nor count as recompilations of each other.
        own = types.FunctionType(attend.__code__.replace(), attend.__globals__, closure=attend.__closure__)
        compiled = torch.compile(own, dynamic=False)
        try:
            block_mask = make()
            _, took = self.seconds(lambda: compiled(make()))
            row["flex_first_s"] = round(took, 3)
            calls["flex_ms"] = lambda: compiled(block_mask)
            if mask_mod:
                calls["flex_with_mask_ms"] = lambda: compiled(make())
        except Exception as error:
            row["flex_error"] = f"{type(error).__name__}: {error}"[:300]
        return row

    def compile(self, name, say):
        row = {"name": name, "cases": [self.check(name, dtype, features) for dtype, features in CASES[self.device]]}
        results = {c["result"] for c in row["cases"]}
        row["result"] = next(r for r in ("wrong", "refused", "right") if r in results)
        if row["cases"][0]["result"] == "right":
            row.update(self.prepare(name, lambda so_far: say({**row, **so_far})))
        return row

    def time(self, name, say):
        """Wall-clock time where a BlockMask is made, as its making is the host's work; the device's elsewhere."""
        if name not in self.ready:
            self.prepare(name, say)
        row = {}
        for what, call in self.ready.pop(name).items():
            if what == "flex_with_mask_ms":
                call()
                row[what] = round(1e3 * statistics.median(self.seconds(call)[1] for _ in range(5)), 4)
            else:
                row[what] = self.milliseconds(call)
        return row


def work(device, length, flex):
    answers, sys.stdout = sys.stdout, sys.stderr
    say = lambda answer: print(json.dumps(answer), file=answers, flush=True)  # noqa: E731
    worker = Worker(device, length, flex)
    say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request["do"])(request["name"], lambda row: say({**row, "more": True}))
        except Exception as error:
            answer = {"name": request["name"], "result": "wrong", "why": f"{type(error).__name__}: {error}"[:400]}
        say(answer)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "flex")
