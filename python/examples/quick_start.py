"""A first tour of Strobe from PyTorch, with plots.

    python python/examples/quick_start.py [folder for the plots]

Runs on the CPU, and on the GPU where there is one.
"""

import pathlib
import sys
import time

import torch
import torch.nn.functional as F

import strobe

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "quick_start")
device = "cuda" if torch.cuda.is_available() else "cpu"
dtype = torch.bfloat16 if device == "cuda" else torch.float32
torch.set_grad_enabled(False)


def inputs(length, batch=1, heads=4, features=64):
    """query, key, value: (batch, head, position, feature)."""
    return [torch.randn(batch, heads, length, features, device=device, dtype=dtype) for _ in range(3)]


# 1. The import is all that changes: masks and score modifiers are those of FlexAttention.
documents = (torch.arange(1024, device=device) // 300).int()


def causal_in_documents(b, h, q_idx, kv_idx):
    return (documents[q_idx] == documents[kv_idx]) & (q_idx >= kv_idx)


query, key, value = inputs(1024)
out, lse = strobe.flex_attention(query, key, value, block_mask=causal_in_documents, return_lse=True)
seen = (documents[:, None] == documents) & torch.ones(1024, 1024, dtype=torch.bool, device=device).tril()
want = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
print(f"documents: largest difference to scaled_dot_product_attention {float((out - want).abs().max()):.1e}")

# Other documents, another length: nothing is compiled again, and no block mask is built.
start = time.perf_counter()
documents = (torch.arange(700, device=device) // 90).int()
strobe.flex_attention(*inputs(700), block_mask=causal_in_documents, return_lse=True)
print(f"other documents and another length: {1e3 * (time.perf_counter() - start):.1f} ms")

# 2. What was derived, and why.
print(strobe.explain(strobe.flex_attention, query, key, value, block_mask=causal_in_documents))


# 3. Plain PyTorch code, fused by torch.compile.
class Attention(torch.nn.Module):
    def forward(self, q, k, v):
        scores = 20 * torch.tanh(q @ k.mT / 8 / 20)
        hidden = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        return scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v


compiled = torch.compile(Attention(), backend="strobe")
difference = (compiled(query, key, value) - Attention()(query, key, value)).abs().max()
print(f"torch.compile: largest difference to eager {float(difference):.1e}")
for finding in strobe.backend.report():
    print(finding)


# 4. Plots: which keys are seen, and time against length.
def seconds(function):
    function()
    times = []
    for _ in range(3):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def window(b, h, q_idx, kv_idx):
    return (q_idx >= kv_idx) & (q_idx - kv_idx < 256)


lengths = [256, 512, 1024, 2048] + ([4096, 8192, 16384] if device == "cuda" else [])
rows = {"all keys": None, "causal": lambda b, h, q, k: q >= k, "window of 256": window}
curves = {}
for name, mask in rows.items():
    curves[name] = [1e3 * seconds(lambda t=inputs(n), m=mask: strobe.flex_attention(*t, block_mask=m)) for n in lengths]
    print(f"{name:<15}" + "  ".join(f"{n}: {t:.2f} ms" for n, t in zip(lengths, curves[name])))
try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError:
    print("No plots: pip install matplotlib")
    sys.exit()
folder.mkdir(parents=True, exist_ok=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
tiles = seen.view(16, 64, 16, 64).float().mean((1, 3)).cpu()
image = left.imshow(tiles, cmap="Blues", extent=(0, 1024, 1024, 0))
left.set(title="causal in documents: share of each tile that is seen", xlabel="key", ylabel="query")
figure.colorbar(image, ax=left)
for name, times in curves.items():
    right.plot(lengths, times, marker="o", label=name)
right.set(title=f"strobe.flex_attention on {device}, 4 heads of 64", xlabel="length", ylabel="ms", xscale="log", yscale="log")
right.legend()
figure.savefig(folder / "quick_start.png", dpi=120)
print(f"plots: {folder / 'quick_start.png'}")
