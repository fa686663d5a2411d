"""Draw every bottleneck at work, by real bytes, against bounds: the figures of docs/bottlenecks.md.

    python benchmarks/bottlenecks.py
    python benchmarks/bottlenecks.py --only vq,fsq --out /tmp --suffix png
    python benchmarks/bottlenecks.py --costs

Sources are drawn here from a fixed seed and nothing is read, so that the figures need no data. A rate is what
`encode` returns; an error is taken after `decode`. Minutes on one core. `--costs` prints the CPU time of each
bottleneck on a latent of 2^18 coefficients, in nanoseconds a coefficient: into bytes, and back.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import bottleneck_codes
import bottleneck_runs
import numpy as np
import torch
from bottleneck_plot import draw

from narrows.bottlenecks import (
    BSQ,
    FSQ,
    LFQ,
    RVQ,
    VQ,
    WAE,
    BinaryRVQ,
    Companded,
    Gaussian,
    GumbelVQ,
    ProductVQ,
    Scalar,
    Select,
    Sign,
    Sparse,
    Staircase,
)

RUNS = {
    run.__name__: run
    for run in (
        bottleneck_runs.scalar,
        bottleneck_runs.gaussian,
        bottleneck_runs.wae,
        bottleneck_codes.vq,
        bottleneck_codes.rvq,
        bottleneck_codes.fsq,
        bottleneck_codes.lfq,
        bottleneck_codes.bsq,
        bottleneck_codes.sign,
        bottleneck_runs.wavelet,
        bottleneck_runs.sparse,
        bottleneck_runs.select,
        bottleneck_runs.staircase,
    )
}
FIGURES = Path(__file__).parents[1] / "docs/figures/bottlenecks"


def costs(rounds: int = 5) -> None:
    """Print a line for each bottleneck: the median CPU time of quantize + encode, and decode + dequantize."""
    for name, code, channels in (
        ("Scalar", Scalar(16, step=0.5), 16),
        ("Gaussian", Gaussian(8, step=0.5), 16),
        ("WAE", WAE(16, step=0.5), 16),
        ("VQ, 1,024 codes", VQ(1024, 16), 16),
        ("GumbelVQ, 16 logits", GumbelVQ(16, 4), 16),
        ("RVQ, 4 stages of 256", RVQ(4, 256, 16), 16),
        ("ProductVQ, 4 groups of 256", ProductVQ(4, 256, 16), 16),
        ("BinaryRVQ, 2 stages", BinaryRVQ(2, 16), 16),
        ("FSQ, 5 levels", FSQ([5] * 16), 16),
        ("LFQ", LFQ(16), 16),
        ("BSQ", BSQ(16), 16),
        ("Sign", Sign(16), 16),
        ("Companded, 6 bits", Companded(16, bits=6), 16),
        ("Sparse, top 8 of 64", Sparse(16, 64, 8), 16),
        ("Sparse, pursuit", Sparse(16, 64, 8, selection="pursuit"), 16),
        ("Select, FSQ inside", Select(FSQ([5] * 15)), 16),
        ("Staircase", Staircase(16), 16),
    ):
        shape = (16, channels, 1024) if isinstance(code, Staircase) else (4, channels, 64, 64)
        z = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            code.relax(z if not isinstance(code, WAE) else z[:, :, :16, :16])
            code.eval()
            there, back = [], []
            for _ in range(rounds):
                marks = [time.process_time()]
                symbols = code.quantize(z)
                payload = code.encode(symbols)
                marks.append(time.process_time())
                code.dequantize(code.decode(payload, symbols.shape))
                marks.append(time.process_time())
                there.append(1e9 * (marks[1] - marks[0]) / z.numel())
                back.append(1e9 * (marks[2] - marks[1]) / z.numel())
        print(f"| {name} | {np.median(there):.0f} | {np.median(back):.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw every bottleneck at work.")
    parser.add_argument("--only", default="", help="names, with commas; by default all")
    parser.add_argument("--out", type=Path, default=FIGURES, help="the folder to write to")
    parser.add_argument("--suffix", default="svg", choices=("svg", "png"))
    parser.add_argument("--costs", action="store_true", help="measure CPU time and draw nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.costs:
        costs()
        return
    names = options.only.split(",") if options.only else list(RUNS)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        start = time.process_time()
        panels = RUNS[name]()
        draw(panels, options.out / f"{name}.{options.suffix}")
        print(f"{name}: {time.process_time() - start:.1f} s of CPU time")
        for panel in panels:
            for curve in panel.curves:
                points = " ".join(f"{x:.3g},{y:.4g}" for x, y in zip(curve.x, curve.y, strict=True))
                print(f"  {panel.title}: {curve.label}: {points}")


if __name__ == "__main__":
    main()
