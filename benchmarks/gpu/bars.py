"""The bars that GPU results are held to, and the table of ratios.

    python3 benchmarks/gpu/bars.py benchmarks/results/h200.json
"""

import json
import sys

PEERS = ("cudnn", "flex", "flex_flash", "fa4")
KEY = ("variant", "dtype", "B", "H", "group", "S", "D")
VARIANTS = ("full", "causal", "alibi", "softcap", "sliding_window", "prefix_lm", "document_mask")
# Least speed relative to FlexAttention (Triton): the inverse of a bar on time.
OVER_FLEX = {"alibi": 1.3, "softcap": 2.0, "sliding_window": 1 / 0.65, "prefix_lm": 1 / 0.8, "document_mask": 1 / 0.8}


def cases(rows):
    """{case: {system: row}} of rows with a time; of several Strobe schedules the fastest."""
    found = {}
    for row in rows:
        if row.get("ms"):
            systems = found.setdefault(tuple(row[k] for k in KEY), {})
            best = systems.get(row["system"])
            if best is None or row["ms"] < best["ms"]:
                systems[row["system"]] = row
    order = lambda case: (case[4], case[6], VARIANTS.index(case[0]) if case[0] in VARIANTS else 99, case[5])
    return {case: found[case] for case in sorted(found, key=order)}


def bars_of(case, systems):
    """[(what it is compared with, peer's ms, least ratio of speeds)] for one case."""
    variant, _, _, _, group, s, d = case
    peers = {name: systems[name]["ms"] for name in PEERS if name in systems}
    found = []
    if group != 1 or not peers:
        return found
    if variant in ("full", "causal") and "cudnn" in peers and s >= 4096:
        least = 1.02 if s < 16384 else 1.10 if (variant, d) == ("full", 64) else 1.05
        found.append(("cudnn", peers["cudnn"], least))
    if variant in OVER_FLEX and "flex" in peers:
        found.append(("flex", peers["flex"], OVER_FLEX[variant]))
    if s <= 1024:
        name = min(peers, key=peers.get)
        least = {"full": 0.97, "causal": 0.92}.get(variant, 1.0)
        found.append((f"fastest: {name}", peers[name], least))
    return found


def verdicts(rows):
    """[{case..., against, ratio, bar, met}]."""
    table, result = cases(rows), []
    for case, systems in table.items():
        if "strobe" not in systems:
            continue
        ours = systems["strobe"]
        compared = bars_of(case, systems)
        if ours["group"] != 1:
            alone = table.get(case[:4] + (1,) + case[5:], {}).get("strobe")
            compared += [("strobe, group 1", alone["ms"], 0.97)] if alone else []
        for against, ms, least in compared:
            ratio = ms / ours["ms"]
            result.append({**dict(zip(KEY, case)), "against": against, "ratio": ratio, "bar": least, "met": ratio >= least})
    return result


def show(rows, out=sys.stdout):
    """Prints times, TFLOP/s, ratios and bars; returns (met, all)."""
    table = cases(rows)
    judged = {}
    for verdict in verdicts(rows):
        judged.setdefault(tuple(verdict[k] for k in KEY), []).append(verdict)
    systems = ("strobe",) + PEERS
    print(f"{'D':>3} {'variant':14} {'S':>6} {'grp':>3} " + "".join(f"{name + ' ms (TF/s)':>21}" for name in systems), file=out)
    for case, measured in table.items():
        variant, _, _, _, group, s, d = case
        cells = [
            f"{measured[name]['ms']:.4f} ({measured[name]['tflops']:.0f})" if name in measured else "-" for name in systems
        ]
        notes = [
            f"x{v['ratio']:.3f} of {v['against']}, bar {v['bar']:.2f}: {'met' if v['met'] else 'MISSED'}"
            for v in judged.get(case, [])
        ]
        if len({measured[name].get("run") for name in measured}) > 1:
            notes.append("from different runs")
        print(f"{d:3} {variant:14} {s:6} {group:3} " + "".join(f"{cell:>21}" for cell in cells) + "  " + "; ".join(notes), file=out)
    every = [v for found in judged.values() for v in found]
    met = sum(v["met"] for v in every)
    drift = max((row.get("drift", 0) for row in rows), default=0)
    print(f"{met} of {len(every)} bars met; the two times of a row differ by at most {100 * drift:.1f} %", file=out)
    show_errors(rows, out)
    return met, len(every)


def show_errors(rows, out):
    """The same error of several cases once."""
    found = {}
    for row in rows:
        if row.get("error"):
            found.setdefault((row["system"], row["error"][:160]), []).append(f"{row['variant']} D={row['D']} S={row['S']}")
    for (system, error), where in found.items():
        print(f"  no time for {system}: {', '.join(where[:3])}{f' and {len(where) - 3} more' if where[3:] else ''}: {error}", file=out)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        result = json.load(file)
    print(", ".join(f"{key} {result[key]}" for key in ("device", "driver", "commit", "date") if key in result))
    show(result["rows"])
