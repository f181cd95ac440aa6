"""Bars per variant and size from a result file: TFLOP/s of every system, and ours relative to the fastest peer.

    python3 benchmarks/plot.py benchmarks/results/h200.json --out benchmarks/results
"""

import argparse
import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "gpu"))
import bars

COLORS = {"strobe": "#d1495b", "cudnn": "#76b900", "flex": "#ee9b00", "flex_flash": "#94a3b8", "fa4": "#33658a", "torch": "#ee4c2c"}


def systems_of(table):
    found = {name for systems in table.values() for name in systems}
    return [name for name in COLORS if name in found] + sorted(found - set(COLORS))


def title_of(result, what):
    return f"{what}: {result.get('device', '')}, {result.get('date', '')}, commit {result.get('commit', '')}"


def plot_speeds(result, table, d):
    """A panel for each variant; in it a group of bars for each length."""
    cases = [case for case in table if case[6] == d and case[4] == 1]
    names = [v for v in bars.VARIANTS if any(case[0] == v for case in cases)]
    systems = systems_of({case: table[case] for case in cases})
    figure, axes = plt.subplots(1, len(names), figsize=(2.3 * len(names) + 1, 3.4), squeeze=False)
    for axis, variant in zip(axes[0], names):
        mine = [case for case in cases if case[0] == variant]
        width = 0.8 / len(systems)
        for n, system in enumerate(systems):
            spots = [(x, table[case][system]["tflops"]) for x, case in enumerate(mine) if system in table[case]]
            axis.bar([x + (n + 0.5) * width - 0.4 for x, _ in spots], [y for _, y in spots], width, color=COLORS.get(system))
        axis.set_title(variant.replace("_", " "), fontsize=9)
        axis.set_xticks(range(len(mine)), [str(case[5]) for case in mine], fontsize=7)
        axis.tick_params(axis="y", labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("TFLOP/s", fontsize=8)
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLORS.get(system)) for system in systems]
    figure.legend(handles, systems, loc="lower center", ncols=len(systems), fontsize=8, frameon=False)
    figure.suptitle(title_of(result, f"Head dimension {d}"), fontsize=9)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    return figure


def plot_ratios(result, table):
    """Our speed over that of the fastest peer, one bar a case."""
    spots = []
    for case, systems in table.items():
        peers = [row["ms"] for name, row in systems.items() if name != "strobe"]
        if peers and "strobe" in systems:
            group = f" group {case[4]}" if case[4] != 1 else ""
            spots.append((f"{case[0].replace('_', ' ')} D={case[6]} S={case[5]}{group}", min(peers) / systems["strobe"]["ms"]))
    figure, axis = plt.subplots(figsize=(6.5, 0.19 * len(spots) + 1))
    axis.barh(range(len(spots)), [r for _, r in spots], color=["#2a9d8f" if r >= 1 else "#d1495b" for _, r in spots])
    axis.set_yticks(range(len(spots)), [label for label, _ in spots], fontsize=6)
    for y, (_, ratio) in enumerate(spots):
        axis.text(ratio, y, f" {ratio:.2f}", va="center", fontsize=6)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.invert_yaxis()
    axis.margins(y=0.01)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("speed relative to the fastest peer", fontsize=8)
    axis.set_title(title_of(result, "Ratios"), fontsize=8)
    figure.tight_layout()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", help="result file (JSON)")
    parser.add_argument("--out", default=".", help="folder for the pictures")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    options = parser.parse_args()
    result = json.loads(pathlib.Path(options.result).read_text())
    table = bars.cases(result["rows"])
    if not table:
        print(f"{options.result} has no times")
        return 1
    stem, folder = pathlib.Path(options.result).stem, pathlib.Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {f"{stem}_d{d}": plot_speeds(result, table, d) for d in sorted({case[6] for case in table if case[4] == 1})}
    if any("strobe" in systems and len(systems) > 1 for systems in table.values()):
        figures[f"{stem}_ratios"] = plot_ratios(result, table)
    for name, figure in figures.items():
        path = folder / f"{name}.{options.format}"
        figure.savefig(path, dpi=150)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
