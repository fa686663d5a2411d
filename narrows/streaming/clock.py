"""Two clocks that do not agree: how far the sender's runs from ours, and samples stretched to make it up."""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

MAX_PPM = 500.0
MIN_SPAN_S = 10.0
WINDOW_S = 60.0
_BUCKET_S = 1.0
_SURE = 4.0  # standard errors: below, an estimate of perfect clocks would wander


class Drift:
    """The rate of the sender's clock against ours, from when packets arrive.

    Transit (arrival minus media time) falls on a line whose slope is the drift. Only the fastest packet of
    each second is fitted: jitter makes packets late, never early, so that the fastest lie close to it. The
    line is that of the last minute; before ten seconds there is no estimate. `ppm` is by how many millionths
    the sender is faster, at most +-500, and 0 while that is not certain.

    >>> from narrows.streaming.clock import Drift
    >>> drift = Drift()
    >>> for second in range(30): drift.add(second, second * (1 - 200e-6))
    >>> round(drift.ppm)
    200
    """

    def __init__(self) -> None:
        self.ppm = 0.0
        self._fastest: deque[tuple[float, float]] = deque()

    def add(self, media_s: float, arrival_s: float) -> None:
        """A packet of media time `media_s`, by the sender's clock, that arrived at `arrival_s` by ours."""
        transit = arrival_s - media_s
        if self._fastest and media_s - self._fastest[-1][0] < _BUCKET_S:
            if transit < self._fastest[-1][1]:
                # The bucket keeps its place, so that one of many fast packets does not stretch it.
                self._fastest[-1] = (self._fastest[-1][0], transit)
            return
        self.ppm = self._fit()
        self._fastest.append((media_s, transit))
        while media_s - self._fastest[0][0] > WINDOW_S:
            self._fastest.popleft()

    def reset(self) -> None:
        """Forget everything: the stream jumped."""
        self._fastest.clear()
        self.ppm = 0.0

    def _fit(self) -> float:
        points = self._fastest
        if len(points) < 3 or points[-1][0] - points[0][0] < MIN_SPAN_S:
            return 0.0
        times, transits = np.array(points).T
        times = times - times.mean()
        spread = float(times @ times)
        slope = float(times @ transits) / spread
        residuals = transits - transits.mean() - slope * times
        error = sqrt(float(residuals @ residuals) / (len(points) - 2) / spread)
        if abs(slope) <= _SURE * error:
            return 0.0
        return float(np.clip(-1e6 * slope, -MAX_PPM, MAX_PPM))


class Stretcher:
    """Resamples by a ratio near 1 that may change from block to block, without a click or a lost sample.

    A windowed sinc of 32 taps at each output instant; at ratio 1 from the start the samples pass untouched,
    and late by nothing. Once stretched, output lags by 16 samples, and `flush` gives these.
    """

    _HALF = 16

    def __init__(self, channels: int) -> None:
        self._history = np.zeros((2 * self._HALF, channels), np.float32)
        self._position = 0.0
        self._active = False

    @property
    def active(self) -> bool:
        """Whether anything was ever stretched."""
        return self._active

    def process(self, block: Floats, ratio: float) -> Floats:
        """About len(block) x `ratio` samples, [time, channels]. ValueError for a ratio beyond 1 +- .01."""
        if not 0.99 <= ratio <= 1.01:
            raise ValueError(f"a ratio is 0.99 to 1.01, not {ratio}")
        if len(block) == 0:
            return block
        if not self._active:
            if ratio == 1:
                kept = np.concatenate([self._history, block])[-2 * self._HALF :]
                self._history = kept
                return block
            self._begin()
        samples = np.concatenate([self._history, block])
        step = 1 / ratio
        last = len(samples) - self._HALF - 1  # the last instant with all its taps
        count = max(int((last - self._position) / step) + 1, 0)
        instants = self._position + step * np.arange(count, dtype=np.float64)
        output = self._interpolate(samples, instants)
        keep_from = len(samples) - 2 * self._HALF
        self._position = float(self._position + step * count - keep_from)
        self._history = samples[keep_from:]
        return output

    def flush(self) -> Floats:
        """The last samples, once all have been given: those that output lags behind."""
        if not self._active:
            return self._history[:0]
        return self.process(np.zeros((self._HALF, self._history.shape[1]), np.float32), 1)

    def _begin(self) -> None:
        """Go on from the sample after the last that passed untouched, whose right taps are still to come."""
        self._active = True
        self._position = float(2 * self._HALF)

    def _interpolate(self, samples: Floats, instants: npt.NDArray[np.floating[Any]]) -> Floats:
        if not instants.size:
            return samples[:0]
        base = np.floor(instants).astype(np.int64)
        taps = np.arange(1 - self._HALF, self._HALF + 1)
        offset = taps - (instants - base)[:, np.newaxis]
        window = np.cos(np.pi * offset / (2 * self._HALF)) ** 2
        weights = np.sinc(offset) * np.maximum(window, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        picked = samples[base[:, np.newaxis] + taps]
        output: Floats = np.einsum("nt,ntc->nc", weights, picked).astype(np.float32)
        return output
