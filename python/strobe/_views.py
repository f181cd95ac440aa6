"""Views: from indices into the result to indices into the source."""

from __future__ import annotations

from torch.fx import Node

from ._nodes import ZERO, Axis, Index, NotRegion, Refine, is_one, name_of, product, same, shape_of, smaller


def _reshape(old: list, new: list, index: list[Index]) -> list[Index]:
    """Indices into the old shape from those into the new one."""
    result: list[Index] = []
    i = j = 0
    while i < len(old) or j < len(new):
        olds, news = [old[i]] if i < len(old) else [], [new[j]] if j < len(new) else []
        i, j = i + len(olds), j + len(news)
        while not same(product(olds), product(news)):
            # The side that is behind takes another dimension.
            behind_old = i < len(old) and (j >= len(new) or smaller(product(olds), product(news)))
            if behind_old:
                olds.append(old[i])
                i += 1
            elif j < len(new):
                news.append(new[j])
                j += 1
            else:
                raise NotRegion("a view whose sizes cannot be compared")
        # Ones at the end belong to whoever is alone.
        result.extend(_regroup(olds, news, index[j - len(news):j]))
    return result


def _regroup(olds: list, news: list, index: list[Index]) -> list[Index]:
    if len(olds) == 1 and len(news) == 1:
        return index
    digits: list[Axis] = []
    if any(part.start for part in index):
        raise NotRegion("a view of a part of a dimension")
    for size, part in zip(news, index):
        if is_one(size) and not part.digits:
            continue
        if part.value is not None:
            if len([s for s in news if not is_one(s)]) == 1 and len([s for s in olds if not is_one(s)]) == 1:
                return [part if not is_one(s) else ZERO for s in olds]
            raise NotRegion("a view of elements at computed positions")
        digits.extend(part.digits)
    result = []
    for n, size in enumerate(olds):
        taken: list[Axis] = []
        if is_one(size):
            result.append(ZERO)
            continue
        while not same(product([a.size for a in taken]), size):
            if not digits:
                raise NotRegion("a view of a broadcast dimension")
            digit = digits.pop(0)
            if not taken and not same(digit.size, size) and not smaller(digit.size, size):
                # One axis covers several of the old dimensions.
                sizes = [s for s in olds[n:] if not is_one(s)]
                while len(sizes) > 1 and not same(product(sizes), digit.size):
                    sizes.pop()
                if not same(product(sizes), digit.size) or len(sizes) < 2:
                    raise NotRegion("a view that splits an axis unevenly")
                if digit.kind == "fixed":
                    raise NotRegion("a view that splits a fixed position")
                raise Refine(digit, sizes)
            taken.append(digit)
            if len(taken) > 8:
                raise NotRegion("a view that splits an axis unevenly")
        result.append(Index(tuple(taken)))
    if any(not is_one(d.size) for d in digits):
        raise NotRegion("a view that splits an axis unevenly")
    return result


def through_view(node: Node, index: list[Index]) -> tuple[Node, list[Index]]:
    name, source = name_of(node), node.args[0]
    old = shape_of(source)
    if name in ("clone", "alias", "contiguous", "detach", "lift_fresh_copy", "_to_copy", "convert_element_type"):
        return source, index
    if name in ("view", "_unsafe_view", "reshape"):
        return source, _reshape(old, shape_of(node), index)
    if name == "expand":
        kept = index[len(index) - len(old):]
        new = shape_of(node)[len(index) - len(old):]
        return source, [ZERO if is_one(o) and not is_one(n) else k for o, n, k in zip(old, new, kept)]
    if name == "permute":
        result = [ZERO] * len(old)
        for n, d in enumerate(node.args[1]):
            result[d % len(old)] = index[n]
        return source, result
    if name in ("transpose", "t"):
        a, b = (node.args[1] % len(old), node.args[2] % len(old)) if name == "transpose" else (0, len(old) - 1)
        result = list(index)
        result[a], result[b] = result[b], result[a]
        return source, result
    if name == "unsqueeze":
        d = node.args[1] % (len(old) + 1)
        return source, index[:d] + index[d + 1:]
    if name == "squeeze":
        given = node.args[1] if len(node.args) > 1 else list(range(len(old)))
        dims = {d % len(old) for d in (given if isinstance(given, (list, tuple)) else [given])}
        rest = list(index)
        return source, [ZERO if d in dims and is_one(old[d]) else rest.pop(0) for d in range(len(old))]
    if name == "slice":
        d = (node.args[1] if len(node.args) > 1 else 0) % len(old)
        start = node.args[2] if len(node.args) > 2 and node.args[2] is not None else 0
        step = node.args[4] if len(node.args) > 4 else 1
        if step != 1 or not isinstance(start, int) or start < 0:
            raise NotRegion("a slice with a step or a computed start")
        length, whole = shape_of(node)[d], old[d]
        if start == 0 and same(length, whole):
            return source, index
        if isinstance(length, int) and isinstance(whole, int) and length and start % length == 0 and whole % length == 0:
            if index[d].value is None and not index[d].start:  # a chunk
                chunk = Axis(whole // length, "fixed", value=start // length)
                return source, index[:d] + [Index((chunk, *index[d].digits))] + index[d + 1:]
        if start == 0:
            return source, index
        return source, index[:d] + [index[d].moved(start)] + index[d + 1:]
    if name == "select":
        d, at = node.args[1] % len(old), node.args[2]
        if not isinstance(at, int) or at < 0:
            raise NotRegion("a selection at a computed position")
        return source, index[:d] + [Index((Axis(old[d], "fixed", value=at),))] + index[d:]
    raise NotRegion(f"{name} is not read")
