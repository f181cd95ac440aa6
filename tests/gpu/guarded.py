"""Tensors amid poison: outputs whose surroundings are checked, and inputs that lie among NaN."""

import torch

# A NaN that no arithmetic produces, so that what was never written is told from a computed NaN.
POISON = {
    torch.bfloat16: (torch.int16, 0x7FC1),
    torch.float16: (torch.int16, 0x7E01),
    torch.float32: (torch.int32, 0x7FC00001),
}
MARGIN = 1024  # elements before and behind


def strides_of(shape, order=None, pitch=0):
    """Strides of a packed tensor whose dimensions lie in `order`, outermost first; `pitch` more elements behind each innermost run."""
    order = order or range(len(shape))
    strides, step = [0] * len(shape), 1
    for n, dim in enumerate(reversed(list(order))):
        strides[dim] = step
        step *= max(shape[dim], 1)
        if n == 0:
            step += pitch
    return strides


class Guarded:
    """An output filled with poison, MARGIN elements of poison on both sides and in the gaps of its strides."""

    def __init__(self, shape, dtype, device, strides=None, offset=0):
        self.integer, self.value = POISON[dtype]
        self.shape, self.strides, self.start = list(shape), list(strides or strides_of(shape)), MARGIN + offset
        span = 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides)) if 0 not in self.shape else 0
        self.memory = torch.full((self.start + span + MARGIN,), self.value, dtype=self.integer, device=device)
        self.tensor = torch.as_strided(self.memory.view(dtype), self.shape, self.strides, self.start)

    def problem(self, written=True):
        """"" if every element was written (or none, if not `written`) and nothing around them; else what is wrong."""
        clean = self.memory == self.value
        inside = torch.as_strided(clean, self.shape, self.strides, self.start)
        untouched = inside.sum() if inside.numel() else torch.zeros((), dtype=torch.int64, device=clean.device)
        inside.fill_(True)
        untouched, spoilt = torch.stack([untouched, (~clean).sum()]).tolist()
        if spoilt:
            return f"{spoilt} elements outside the output were written"
        if written and untouched:
            return f"{untouched} of {self.tensor.numel()} elements were not written"
        if not written and untouched != self.tensor.numel():
            return f"{self.tensor.numel() - untouched} elements were written though the launch was refused"
        return ""


def random_among_poison(shape, dtype, device, order=None, pitch=0, extra_rows=0, offset=0, factor=1.0):
    """Normal values of `shape` (b, h, s, d) in memory that is NaN wherever they are not: MARGIN around, and
    `extra_rows` more positions behind each sequence."""
    room = list(shape)
    room[2] += extra_rows
    strides = strides_of(room, order, pitch)
    span = 1 + sum((n - 1) * s for n, s in zip(room, strides)) if 0 not in room else 0
    memory = torch.full((MARGIN + offset + span + MARGIN,), float("nan"), dtype=dtype, device=device)
    tensor = torch.as_strided(memory, list(shape), strides, MARGIN + offset)
    if tensor.numel():
        values = torch.randn(list(shape), dtype=dtype, device=device)
        tensor.copy_(values * factor if factor != 1.0 else values)
    return tensor
