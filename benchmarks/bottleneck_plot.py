"""Draw panels of curves side by side, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ink import INK, OURS, THEIRS

COLORS = {"a": OURS[0], "b": THEIRS, "c": OURS[2], "d": "#2b8a3e", "bound": INK}


@dataclass
class Curve:
    """Points that belong together; `color` is one of COLORS, `mark` a marker of matplotlib or none."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    color: str = "a"
    mark: str = "o"
    line: str = "-"


@dataclass
class Panel:
    """Axes with their curves; the vertical axis is named by the title."""

    title: str
    across: str
    curves: list[Curve] = field(default_factory=list)
    logarithmic: str = ""  # "x", "y" or "xy"
    limits: tuple[float | None, float | None] = (None, None)

    def add(self, label: str, points: Sequence[Sequence[float]], color: str, **look: str) -> None:
        """Add the curve through `points`, pairs of x and y."""
        x, y = zip(*points, strict=True)
        self.curves.append(Curve(label, x, y, color, **look))

    def bound(self, label: str, x: Any, y: Any) -> None:
        """Add what nothing can pass, or what is known in closed form: a dashed line without marks."""
        self.curves.append(Curve(label, x, y, "bound", "", "--"))


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write a picture of panels side by side, each with its legend below it."""
    import matplotlib as mpl
    import matplotlib.ticker

    mpl.use("Agg")
    mpl.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9.5})
    mpl.rcParams.update({"svg.hashsalt": "narrows", **dict.fromkeys(("text.color", "axes.labelcolor"), INK)})
    from matplotlib import pyplot

    rows = max(len(panel.curves) for panel in panels)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(8.6, 3.1 + 0.2 * rows), layout="constrained")
    for axis, panel in zip(np.atleast_1d(axes), panels, strict=True):
        for curve in panel.curves:
            axis.plot(
                curve.x,
                curve.y,
                linestyle=curve.line,
                color=COLORS[curve.color],
                marker=curve.mark,
                markersize=4,
                linewidth=1.4,
                label=curve.label,
            )
        for name, scale, line in (("x", axis.set_xscale, axis.xaxis), ("y", axis.set_yscale, axis.yaxis)):
            if name in panel.logarithmic:
                # Counts double; shares and weights go by tens.
                least = min(min(getattr(curve, name)) for curve in panel.curves)
                scale("log", base=2 if name == "x" and least >= 1 else 10)
                line.set_major_formatter(lambda value, _: f"{value:g}")
                line.set_minor_formatter(mpl.ticker.NullFormatter())
        axis.set_ylim(*panel.limits)
        axis.set_title(panel.title, color=INK, fontsize=10, loc="left")
        axis.set_xlabel(panel.across)
        axis.tick_params(colors=INK, which="both")
        axis.grid(color=INK, alpha=0.25, linewidth=0.6)
        for side in ("top", "right", "left", "bottom"):
            axis.spines[side].set_visible(False)
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False, fontsize=9, borderaxespad=0)
    figure.savefig(
        path, transparent=True, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None
    )
    pyplot.close(figure)
