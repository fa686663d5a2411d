"""Compare rate curves: the Bjontegaard difference of two codecs on one file, and its mean over files.

A curve is a codec's points on one file: bytes (or any rate) and quality, higher quality being better.
ln(rate) is interpolated over quality by PCHIP (Fritsch and Carlson 1980, slopes and ends as in SciPy),
never by one cubic (Bjontegaard 2001), which swings between points, and integrated exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MIN_POINTS = 3
MIN_FILES = 5  # below, resamples repeat so much that an interval would be an invention


@dataclass(frozen=True)
class Curve:
    """The rate-quality points of one codec on one file, as measured."""

    rate: Sequence[float] | npt.NDArray[np.generic]
    quality: Sequence[float] | npt.NDArray[np.generic]

    def envelope(self) -> tuple[Floats, Floats]:
        """Return (ln rate, quality), both increasing: points that a cheaper one matches are dropped.

        Raises ValueError unless rates are positive, all values finite, and three points are left.
        """
        rate = np.asarray(self.rate, dtype=np.float64)
        quality = np.asarray(self.quality, dtype=np.float64)
        if rate.ndim != 1 or rate.shape != quality.shape:
            raise ValueError(f"a curve needs as many rates as qualities: {rate.shape} and {quality.shape}")
        if not (np.isfinite(rate).all() and np.isfinite(quality).all() and (rate > 0).all()):
            raise ValueError("rates must be finite and positive, qualities finite")
        order = np.lexsort((-quality, rate))
        rate, quality = rate[order], quality[order]
        best = np.concatenate(([-np.inf], np.maximum.accumulate(quality)[:-1]))
        rate, quality = rate[quality > best], quality[quality > best]
        if rate.size < MIN_POINTS:
            raise ValueError(f"a curve needs {MIN_POINTS} points of rising quality, this one has {rate.size}")
        return np.log(rate), quality


@dataclass(frozen=True)
class MeanDifference:
    """BD-rate over files. All figures are percent; negative means fewer bytes than the anchor."""

    mean: float
    low: float
    high: float
    per_file: tuple[float, ...]
    mean_of_logs: float
    overlap: float

    def __str__(self) -> str:
        interval = "" if np.isnan(self.low) else f" [{self.low:+.1f}, {self.high:+.1f}]"
        return f"{self.mean:+.1f} %{interval}"


def bd_rate(anchor: Curve, test: Curve) -> float:
    """Percent of rate that `test` needs more (+) or less (-) than `anchor` at equal quality.

    The mean is over the qualities that both curves reach. Raises ValueError if there are none.
    """
    return _bd_rate(anchor, test)[0]


def mean_bd_rate(anchors: Sequence[Curve], tests: Sequence[Curve]) -> MeanDifference:
    """BD-rate of each file and the mean of the percentages, with a 95 % bootstrap-t interval.

    `anchors[i]` and `tests[i]` are curves of the same file. `mean_of_logs` averages the log ratios
    instead, which treats halving and doubling alike. `overlap` is the mean share of the anchor's quality
    range that was compared; below .5 the figure says little.
    """
    if len(anchors) != len(tests) or not anchors:
        raise ValueError(f"need one test curve for each anchor: {len(anchors)} and {len(tests)}")
    pairs = [_bd_rate(anchor, test) for anchor, test in zip(anchors, tests, strict=True)]
    percents = np.array([percent for percent, _ in pairs])
    low, high = bootstrap_t(percents)
    return MeanDifference(
        mean=float(percents.mean()),
        low=low,
        high=high,
        per_file=tuple(float(percent) for percent in percents),
        mean_of_logs=float(100 * np.expm1(np.log1p(percents / 100).mean())),
        overlap=float(np.mean([overlap for _, overlap in pairs])),
    )


def bootstrap_t(values: Floats, *, resamples: int = 2000, seed: int = 1) -> tuple[float, float]:
    """95 % interval of the mean of `values` [n], one a file, by the studentized bootstrap (Efron 1979).

    The percentile bootstrap is too narrow for the two dozen files of a usual test set. Fewer than five
    values, or equal ones, give (nan, nan): their spread is unknown.
    """
    n = values.size
    spread = values.std(ddof=1) if n >= MIN_FILES else 0.0
    if spread <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return float("nan"), float("nan")
    picks = values[np.random.default_rng(seed).integers(0, n, (resamples, n))]
    spreads = picks.std(axis=1, ddof=1)
    kept = spreads > 1e-9 * spread
    t = (picks.mean(axis=1)[kept] - values.mean()) / spreads[kept]
    lower, upper = np.quantile(t, [0.025, 0.975])
    return float(values.mean() - upper * spread), float(values.mean() - lower * spread)


def rate_at(curve: Curve, quality: float) -> float:
    """Rate at which the interpolated curve reaches `quality`; nan outside the measured range."""
    log_rate, qualities = curve.envelope()
    if not qualities[0] <= quality <= qualities[-1]:
        return float("nan")
    slopes = pchip_slopes(qualities, log_rate)
    i = int(np.clip(np.searchsorted(qualities, quality, side="right") - 1, 0, qualities.size - 2))
    width = qualities[i + 1] - qualities[i]
    s = (quality - qualities[i]) / width
    rest = 1 - s
    value = (
        log_rate[i] * rest * rest * (1 + 2 * s)
        + log_rate[i + 1] * s * s * (3 - 2 * s)
        + width * s * rest * (slopes[i] * rest - slopes[i + 1] * s)
    )
    return float(np.exp(value))


def pchip_slopes(x: Floats, y: Floats) -> Floats:
    """Slopes at the points of the monotone cubic through (x, y); x increasing, two points or more."""
    width = np.diff(x)
    chord = np.diff(y) / width
    if chord.size == 1:
        return np.repeat(chord, 2)
    slopes = np.zeros_like(y)
    left, right = chord[:-1], chord[1:]
    same = left * right > 0
    weight_left = 2 * width[1:] + width[:-1]
    weight_right = width[1:] + 2 * width[:-1]
    slopes[1:-1][same] = (weight_left + weight_right)[same] / (
        weight_left[same] / left[same] + weight_right[same] / right[same]
    )
    slopes[0] = _end_slope(width[0], width[1], chord[0], chord[1])
    slopes[-1] = _end_slope(width[-1], width[-2], chord[-1], chord[-2])
    return slopes


def _end_slope(near_width: float, far_width: float, near: float, far: float) -> float:
    slope = ((2 * near_width + far_width) * near - near_width * far) / (near_width + far_width)
    if slope * near <= 0:
        return 0.0
    return 3 * near if near * far <= 0 and abs(slope) > 3 * abs(near) else float(slope)


def _integral(x: Floats, y: Floats, low: float, high: float) -> float:
    """Exact integral from `low` to `high`, both inside x, of the PCHIP interpolant of (x, y)."""
    slopes = pchip_slopes(x, y)
    width = np.diff(x)
    begin = np.clip((low - x[:-1]) / width, 0, 1)
    end = np.clip((high - x[:-1]) / width, 0, 1)
    rise = np.diff(y)
    # On s in [0, 1]: y0 + s d0 + s^2 (3 rise - 2 d0 - d1) + s^3 (d0 + d1 - 2 rise), d scaled by the width.
    d0, d1 = slopes[:-1] * width, slopes[1:] * width
    coefficients = (y[:-1], d0, 3 * rise - 2 * d0 - d1, d0 + d1 - 2 * rise)
    total = np.zeros_like(width)
    for power, c in enumerate(coefficients, start=1):
        total += c * (end**power - begin**power) / power
    return float((total * width).sum())


def _bd_rate(anchor: Curve, test: Curve) -> tuple[float, float]:
    """Return (percent, share of the anchor's quality range that both curves cover)."""
    anchor_rate, anchor_quality = anchor.envelope()
    test_rate, test_quality = test.envelope()
    low = max(anchor_quality[0], test_quality[0])
    high = min(anchor_quality[-1], test_quality[-1])
    if low >= high:
        raise ValueError("the curves have no quality in common")
    area = _integral(test_quality, test_rate, low, high) - _integral(anchor_quality, anchor_rate, low, high)
    overlap = (high - low) / (anchor_quality[-1] - anchor_quality[0])
    return float(100 * np.expm1(area / (high - low))), float(overlap)
