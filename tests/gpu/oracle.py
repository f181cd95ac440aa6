"""Float64 results, unfused PyTorch in the tensors' own type, and the rule that compares with them."""

import dataclasses

import torch

import variants

LARGEST_BLOCK = 1 << 26  # scores held at a time


@dataclasses.dataclass
class Verdict:
    ok: bool
    text: str
    error: float  # largest
    lse_error: float


def blocks(batch, heads, scores):
    """Slices (batch, heads) of at most LARGEST_BLOCK scores each, given those of one head."""
    many = max(1, LARGEST_BLOCK // max(scores, 1))
    if many >= heads:
        step = max(1, many // max(heads, 1))
        for b in range(0, batch, step):
            yield slice(b, min(b + step, batch)), slice(0, heads)
        return
    for b in range(batch):
        for h in range(0, heads, many):
            yield slice(b, b + 1), slice(h, min(h + many, heads))


def cut(variant_tensors, b, h):
    part = dict(variant_tensors)
    if "slopes" in part:
        part["slopes"] = part["slopes"][h]
    for name in ("document", "query_length", "key_length"):
        if name in part:
            part[name] = part[name][b]
    if "chosen" in part:
        part["chosen"] = part["chosen"][b, h]
    return part


def heads_of(tensor, b, h, heads):
    """The key or value heads that serve query heads h, one for each."""
    group = heads // max(tensor.shape[1], 1)
    return tensor[b][:, torch.arange(h.start, h.stop, device=tensor.device) // max(group, 1)]


def attend(variant, q, k, v, scale, tensors, scalars, rows):
    """Unfused attention in the type of q, k and v; `rows` are the positions of q's rows. Returns out, lse."""
    s = (q @ k.transpose(-1, -2)) * scale
    s = variants.changed_scores(variant, s, tensors, scalars, rows)
    mask = variants.live(variant, tensors, scalars, rows, k.shape[-2])
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    if k.shape[-2] == 0:
        empty = torch.full(q.shape[:-1], float("-inf"), dtype=s.dtype, device=q.device)
        return torch.zeros(*q.shape[:-1], v.shape[-1], dtype=v.dtype, device=q.device), empty
    p = torch.softmax(s, -1)
    if mask is not None:
        p = p.masked_fill(~mask.any(-1, keepdim=True), 0)
    return p.to(v.dtype) @ v, torch.logsumexp(s, -1)


def judge(variant, q, k, v, out, lse, scale, tensors, scalars, rows=None):
    """Compares out and lse by the error rule; `rows`, if given, are the only query rows to look at.

    max error <= 2 x that of unfused PyTorch + one rounding of the largest result;
    mean error <= 1.5 x; |lse error| <= 1e-3 x max(1, |lse|); a row without keys is exactly 0 and -inf.
    """
    batch, heads, queries = q.shape[:3]
    device = q.device
    rows = torch.arange(queries, device=device) if rows is None else rows
    # largest and total: ours, unfused, reference; then lse, rows that should be empty and are not
    largest = torch.zeros(4, dtype=torch.float64, device=device)
    total = torch.zeros(4, dtype=torch.float64, device=device)
    count = 0
    for b, h in blocks(batch, heads, len(rows) * k.shape[2]):
        part = cut(tensors, b, h)
        qs, ks, vs = q[b, h][:, :, rows], heads_of(k, b, h, heads), heads_of(v, b, h, heads)
        exact, exact_lse = attend(variant, qs.double(), ks.double(), vs.double(), scale, part, scalars, rows)
        plain, _ = attend(variant, qs, ks, vs, scale, part, scalars, rows)
        got, got_lse = out[b, h][:, :, rows].double(), lse[b, h][:, :, rows].double()
        lse_error = ((got_lse - exact_lse).abs() / exact_lse.abs().clamp(min=1)).masked_fill(got_lse == exact_lse, 0)
        empty = exact_lse == float("-inf")
        full_where_empty = ((got != 0).any(-1) | (got_lse != float("-inf"))) & empty
        values = ((got - exact).abs(), (plain.double() - exact).abs(), exact.abs(), lse_error)
        if values[0].numel():
            largest = torch.maximum(largest, torch.stack([value.max() for value in values]))
            total += torch.stack([*(value.sum() for value in values[:3]), full_where_empty.sum().double()])
            count += values[0].numel()
    (ours, plain, size, lse_error), (ours_sum, plain_sum, size_sum, wrong_rows) = largest.tolist(), total.tolist()
    unit = variants.ROUNDOFF[q.dtype]
    bound = 2 * plain + unit * size
    # With few keys unfused PyTorch may be exact by luck (a weight of 1): then a rounding is granted to the mean too.
    mean_bound = 1.5 * plain_sum + unit * size_sum * (0.5 if k.shape[2] < 16 else 1e-3)
    problems = []
    if not ours <= bound:
        problems.append(f"max error {ours:.3e} > {bound:.3e} (unfused {plain:.3e})")
    if not ours_sum <= mean_bound:
        n = max(count, 1)
        problems.append(f"mean error {ours_sum / n:.3e} > {mean_bound / n:.3e} (unfused {plain_sum / n:.3e})")
    if not lse_error <= 1e-3:
        problems.append(f"lse error {lse_error:.3e} > 1e-3")
    if wrong_rows:
        problems.append(f"{wrong_rows:.0f} rows without keys are not 0 and -inf")
    return Verdict(not problems, "; ".join(problems), ours, lse_error)
