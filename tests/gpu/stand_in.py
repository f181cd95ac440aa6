"""A package made of PyTorch, on any device: what the suite is checked with where there is no GPU.

With a planted bug (STAND_IN_BUG, one of BUGS) the suite must fail.
"""

import os

import torch

import oracle
import variants
from strobe_ctypes import StrobeError

BUGS = ("last_key", "first_row", "margin", "unwritten", "nan_leak", "empty_rows", "race", "accept_all", "lse", "batch")


class StandIn:
    def __init__(self, name):
        self.variant, self.dtype, self.d, self.dv, _ = variants.parse_file_name(name)
        self.bug = os.environ.get("STAND_IN_BUG", "")
        self.runs = 0

    def describe(self):
        return {"plans": [{"schedule": "", "kernels": []}]}

    def prepare(self, tensors, scalars, stream=0, plan=-1):
        tensors, scalars = dict(tensors), dict(scalars)
        q, k, v, out, lse = (tensors.pop(name) for name in ("q", "k", "v", "out", "lse"))

        def call():
            if self.bug != "accept_all":
                self.refuse(q, k, v, out)
            self.compute(q, k, v, out, lse, tensors, scalars)

        return call

    def refuse(self, q, k, v, out):
        for name, t in zip(("q", "k", "v", "out"), (q, k, v, out)):
            strides = [s for n, s in zip(t.shape, t.stride()) if n > 1]
            if t.dtype != variants.DTYPES[self.dtype] or t.dim() != 4:
                raise StrobeError(1, f"{name}: wrong type or rank")
            if t.numel() and (t.stride(3) != 1 or t.data_ptr() % 16 or any(s == 0 or s % 8 for s in strides[:-1])):
                raise StrobeError(1, f"{name}: layout")
        if k.shape[2] != v.shape[2] or k.shape[0] != q.shape[0] or k.shape[3] != q.shape[3]:
            raise StrobeError(1, "extents differ")

    def compute(self, q, k, v, out, lse, tensors, scalars):
        scale = scalars["scale"]
        self.runs += 1
        if 0 in q.shape:
            return
        if self.bug == "last_key" and k.shape[2] > 1:
            k, v = k[:, :, :-1], v[:, :, :-1]
        rows = torch.arange(q.shape[2], device=q.device)
        heads = slice(0, q.shape[1])
        wide = lambda t: oracle.heads_of(t, slice(0, t.shape[0]), heads, q.shape[1]).float()
        s = (q.float() @ wide(k).transpose(-1, -2)) * scale
        s = variants.changed_scores(self.variant, s, tensors, scalars, rows)
        mask = variants.live(self.variant, tensors, scalars, rows, k.shape[2])
        if mask is not None:
            s = s.masked_fill(~mask, float("-inf"))
        top = s.amax(-1, keepdim=True).clamp(min=-3e38) if k.shape[2] else s.new_zeros(*s.shape[:-1], 1)
        p = torch.exp(s - top)
        total = p.sum(-1)
        # A tile that nobody sees is not read: here a tile is one key.
        values, weights = wide(v), p.to(q.dtype).float()
        finite = values.isfinite()
        result = weights @ torch.where(finite, values, 0)
        result = torch.where((p != 0).float() @ (~finite).float() > 0, float("nan"), result)
        result = result / torch.where(total == 0, 1, total)[..., None]
        self.write(out, lse, result, top[..., 0] + torch.log(total), p, values)

    def write(self, out, lse, result, log_sum, p, values):
        bug = self.bug
        if bug == "nan_leak":
            result = result + (0 * values).sum((-1, -2), keepdim=True)
        if bug == "empty_rows":
            result = torch.where(torch.isinf(log_sum)[..., None], float("nan"), result)
        if bug == "first_row" and result.shape[2] == 65:
            result[:, :, 0] *= 1.02
        if bug == "race" and self.runs % 7 == 0:
            result = result * 1.01
        if bug == "batch" and result.shape[0] > 1:
            result[1:] *= 1.001
        if bug == "lse":
            log_sum = log_sum * 1.44
        out.copy_(result)
        lse.copy_(log_sum)
        if bug == "unwritten" and out.shape[2] > 64:
            out[:, :, 64].view(torch.int16).fill_({"bf16": 0x7FC1, "fp16": 0x7E01}[self.dtype])
        if bug == "margin" and out.shape[2] == 65:
            out.as_strided((1,), (1,), out.storage_offset() - 1).fill_(1)
