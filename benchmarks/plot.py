"""Draw rate against quality of several codecs, readable on a light and on a dark page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ink import INK, OURS
from peers import PEERS
from rows import Row, is_ours

from narrows.eval.curves import Curve, rate_at

THEIRS = {
    "jpeg420": "#868e96",
    "jpeg444": "#adb5bd",
    "webp_m6": "#2b8a3e",
    "jxl_e7": "#1c7ed6",
    "j2k": "#b08900",
    "avif444_s6": "#7048e8",
    "avif444_s4": "#5f3dc4",
}


def rate_quality(rows: dict[str, list[Row]], path: Path, title: str) -> None:
    """Write a picture of PSNR and MS-SSIM (in dB) over bits per pixel, the curves named at their ends.

    A curve is the geometric mean of the pictures' rates at each quality that all of them reach, so that it
    agrees with the mean rate difference and not with the file that is hardest to code.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10})
    mpl.rcParams.update({"svg.hashsalt": "narrows", **dict.fromkeys(("text.color", "axes.labelcolor"), INK)})
    from matplotlib import pyplot
    from tables import curves

    figure, axes = pyplot.subplots(1, 2, figsize=(9.2, 4.4), layout="constrained")
    for axis, metric, label in zip(axes, ("psnr", "ms_ssim"), ("PSNR, dB", "MS-SSIM, dB"), strict=True):
        ours = iter(OURS)
        for codec, found in rows.items():
            color = next(ours, OURS[-1]) if is_ours(codec) else THEIRS.get(codec, INK)
            bpp, quality = _mean_curve(curves(found, metric), found)
            if bpp.size == 0:
                continue
            name = codec if is_ours(codec) else PEERS[codec].title
            width = 2.4 if is_ours(codec) else 1.3
            axis.plot(
                bpp, quality, color=color, linewidth=width, label=name, zorder=3 if is_ours(codec) else 2
            )
        axis.set_xscale("log", base=2)
        axis.set_xlabel("bits per pixel")
        axis.set_title(label, color=INK, fontsize=10, loc="left")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.tick_params(colors=INK, which="both")
        axis.grid(color=INK, alpha=0.25, linewidth=0.6)
        for side in ("top", "right", "left", "bottom"):
            axis.spines[side].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].legend(handles, labels, frameon=False, fontsize=9)
    pictures = {row.image for found in rows.values() for row in found}
    figure.suptitle(f"{title}, {len(pictures)} pictures", color=INK, fontsize=11)
    figure.savefig(
        path, transparent=True, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None
    )
    pyplot.close(figure)


def _mean_curve(found: dict[str, Curve], rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    pixels = {row.image: 8 * row.bytes / row.bpp for row in rows}
    ranges = [(min(curve.quality), max(curve.quality)) for curve in found.values()]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    if low >= high:
        return np.empty(0), np.empty(0)
    quality = np.linspace(low, high, 60)
    rates = [[8 * rate_at(curve, q) / pixels[image] for q in quality] for image, curve in found.items()]
    return np.exp(np.log(rates).mean(axis=0)), quality
