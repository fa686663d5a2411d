"""Draw nanoseconds a symbol of every coder, readable on a light and on a dark page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ink import INK, OURS, THEIRS

Row = dict[str, Any]

WORKLOADS = {"w1": "o", "w2": "s", "w3": "^", "w4": "D"}
NAMES = {
    "w1": "W1: 64 Gaussians, 4.6 bit",
    "w2": "W2: the narrow ones, .75 bit",
    "w3": "W3: 16 tables of 8",
    "w4": "W4: bytes, 5.6 bit",
}
ISAS = {"avx512": "AVX-512", "avx2": "AVX2", "neon": "NEON", "scalar": "portable C++"}
PEERS = {
    "torch_ans": "torch_ans, best mode",
    "constriction": "constriction, sorted by table",
    "compressai, C++ core": "CompressAI's C++ core",
    "torchac": "torchac",
    "compressai": "CompressAI, EntropyModel",
}


def best(rows: list[Row], case: str, coder: str, direction: str, isa: str = "") -> float | None:
    """Return the least ns a symbol among a coder's settings for one direction of a workload."""
    found = [
        float(row[f"{direction}_ns"])
        for row in rows
        if row["case"] == case
        and row.get("coder") == coder
        and row.get("isa", "") == isa
        and f"{direction}_ns" in row
    ]
    return min(found, default=None)


def _all_ns(rows: list[Row]) -> list[float]:
    return [
        row[key]
        for row in rows
        if row["case"] in WORKLOADS
        for key in ("encode_ns", "decode_ns")
        if key in row
    ]


def speeds(rows: list[Row], path: Path) -> None:
    """Write a picture with a line for each coder and a mark on it for each workload, encode and decode."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10})
    mpl.rcParams.update({"svg.hashsalt": "narrows", **dict.fromkeys(("text.color", "axes.labelcolor"), INK)})
    from matplotlib import pyplot

    isas = [isa for isa in ISAS if any(row.get("isa") == isa for row in rows)]
    lines = [("narrows", isa, f"Narrows, {ISAS[isa]}") for isa in isas]
    lines += [
        (coder, "", name) for coder, name in PEERS.items() if any(r.get("coder") == coder for r in rows)
    ]
    figure, axes = pyplot.subplots(
        1, 2, figsize=(9.2, 0.5 + 0.42 * len(lines) + 0.9), sharey=True, sharex=True
    )
    for axis, direction in zip(axes, ("encode", "decode"), strict=True):
        for height, (coder, isa, _) in enumerate(reversed(lines)):
            color = OURS[0] if coder == "narrows" else THEIRS
            marks = {case: best(rows, case, coder, direction, isa) for case in WORKLOADS}
            held = {case: value for case, value in marks.items() if value is not None}
            if not held:
                continue
            axis.plot([min(held.values()), max(held.values())], [height, height], color=color, linewidth=1.2)
            for case, value in held.items():
                axis.plot(value, height, WORKLOADS[case], color=color, fillstyle="none", markersize=7)
        axis.set_xscale("log")
        axis.set_xlim(left=1 if min(_all_ns(rows)) >= 1 else 0.5)
        axis.set_title(f"{direction}, ns a symbol", color=INK, fontsize=10, loc="left")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.tick_params(colors=INK, which="both", left=False)
        axis.grid(color=INK, alpha=0.25, linewidth=0.6, axis="x", which="major")
        axis.set_ylim(-0.6, len(lines) - 0.4)
        for side in ("top", "right", "left", "bottom"):
            axis.spines[side].set_visible(False)
    axes[0].set_yticks(range(len(lines)), [name for *_, name in reversed(lines)])
    for label, (coder, _, _) in zip(axes[0].get_yticklabels(), reversed(lines), strict=True):
        label.set_color(OURS[0] if coder == "narrows" else INK)
    marks = [
        mpl.lines.Line2D(
            [], [], color=INK, marker=mark, linestyle="", fillstyle="none", markersize=7, label=NAMES[case]
        )
        for case, mark in WORKLOADS.items()
    ]
    figure.legend(handles=marks, loc="lower center", ncols=4, frameon=False, fontsize=9, handletextpad=0.2)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(
        path, transparent=True, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None
    )
    pyplot.close(figure)
