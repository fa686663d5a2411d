"""Distances of two sounds, [time] or [time, channels], int16 or float with full scale at 1.

    from narrows.eval.metrics import audio
    decoded = audio.align(decoded, delay_samples=12, num_samples=len(original))
    audio.log_mel_distance(original, decoded, 16_000)   # dB, lower is better
    audio.si_sdr(original, decoded)                     # dB
    audio.pesq_wb(original, decoded, 16_000)            # MOS-LQO, 1.0 to 4.64
    audio.stoi(original, decoded, 16_000)               # 0 to 1; estoi likewise
    audio.visqol(original, decoded, 16_000)             # MOS-LQO, 4.73 for equal sounds

Both sounds have one length: the caller removes a codec's delay, found once per codec by `delay_samples`
with a probe signal. No one figure ranks codecs. SI-SDR and PESQ punish noise filling, the log-mel
distance punishes the holes it fills; PESQ hears nothing above 8 kHz, STOI nothing above 5.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows.errors import MissingExtra

Samples = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]

MEL_BANDS = 80
_FLOOR = 1e-7  # -70 dB of a full-scale sine; lower, and what a codec does to digital silence would decide
_BLOCK_FRAMES = 2048
_PESQ_RATE_HZ = 16_000
_VISQOL_RATE_HZ = 48_000


def log_mel_distance(original: Samples, decoded: Samples, sample_rate_hz: int) -> float:
    """Mean absolute difference in dB of log-mel spectra, over 80 bands and all frames, of the mono mix.

    Periodic Hann window of 512 samples up to 16 kHz, 1,024 up to 24 kHz, 2,048 above, hop a quarter,
    frames centered with zeros outside the signal; power such that a full-scale sine is 1; triangular
    HTK mel bands from 0 to half the rate; powers get a floor of 1e-7 added.

    >>> import numpy as np
    >>> from narrows.eval.metrics.audio import log_mel_distance
    >>> sine = np.sin(np.arange(16_000) * 0.7)
    >>> log_mel_distance(sine, sine, 16_000)
    0.0
    """
    a, b = _pair(original, decoded)
    a, b = a.mean(axis=1), b.mean(axis=1)
    size = 512 if sample_rate_hz <= 16_000 else 1024 if sample_rate_hz <= 24_000 else 2048
    total, count = 0.0, 0
    for spectrum_a, spectrum_b in zip(
        _log_mel(a, sample_rate_hz, size), _log_mel(b, sample_rate_hz, size), strict=True
    ):
        total += float(np.abs(spectrum_a - spectrum_b).sum())
        count += spectrum_a.size
    return total / count


def si_sdr(original: Samples, decoded: Samples) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), channels end to end.

    Means are removed per channel. inf when the sounds are equal up to a gain, -inf when they have nothing
    in common, nan when the original is constant.
    """
    a, b = _pair(original, decoded)
    a = (a - a.mean(axis=0)).ravel(order="F")
    b = (b - b.mean(axis=0)).ravel(order="F")
    energy = float(a @ a)
    if energy == 0:
        return float("nan")
    target = a * (float(a @ b) / energy)
    noise = b - target
    target_energy, noise_energy = float(target @ target), float(noise @ noise)
    if target_energy == 0:
        return float("-inf")
    if noise_energy <= 1e-24 * target_energy:
        return float("inf")
    return float(10 * np.log10(target_energy / noise_energy))


def pesq_wb(original: Samples, decoded: Samples, sample_rate_hz: int) -> float:
    """Wideband PESQ (ITU-T P.862.2) of the mono mix at 16 kHz. nan where it finds no speech.

    Raises MissingExtra without the packages `pesq` and, for other rates, `soxr`.
    """
    module = _optional("pesq", "PESQ")
    a, b = _mono_pair(original, decoded, sample_rate_hz, _PESQ_RATE_HZ)
    if not a.any() and not b.any():
        return float("nan")
    try:
        return float(module.pesq(_PESQ_RATE_HZ, a, b, "wb"))
    except (module.NoUtterancesError, module.BufferTooShortError):
        return float("nan")


def stoi(original: Samples, decoded: Samples, sample_rate_hz: int) -> float:
    """Short-time objective intelligibility (Taal et al. 2011) of the mono mix. Needs `pystoi`."""
    return _stoi(original, decoded, sample_rate_hz, extended=False)


def estoi(original: Samples, decoded: Samples, sample_rate_hz: int) -> float:
    """Extended STOI (Jensen and Taal 2016) of the mono mix, about 0 to 1."""
    return _stoi(original, decoded, sample_rate_hz, extended=True)


def visqol(original: Samples, decoded: Samples, sample_rate_hz: int) -> float:
    """ViSQOL v3 in audio mode (Chinen et al. 2020) of the mono mix at 48 kHz; 4.73 for equal sounds.

    It punishes whatever a codec leaks above the band of the original, and it is not monotone in rate.
    Raises MissingExtra without `visqol-python` and `libsvm-official`.
    """
    module = _optional("visqol", "ViSQOL")
    a, b = _mono_pair(original, decoded, sample_rate_hz, _VISQOL_RATE_HZ)
    return float(_visqol_api(module).measure_from_arrays(a, b, sample_rate=_VISQOL_RATE_HZ).moslqo)


def delay_samples(original: Samples, decoded: Samples, limit: int) -> int:
    """How many samples `decoded` is late: the largest cross-correlation of the mono mixes within +-`limit`.

    Measure it once per codec, with noise or a sweep: on a vowel the maximum may be a pitch period off.
    """
    a, b = _as_float(original).mean(axis=1), _as_float(decoded).mean(axis=1)
    size = 1 << int(np.ceil(np.log2(len(a) + len(b) + 1)))
    product = np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size))
    correlation = np.fft.irfft(product, size)
    lags = np.arange(-limit, limit + 1)
    return int(lags[np.argmax(correlation[lags % size])])


def align(decoded: Samples, delay_samples: int, num_samples: int) -> Samples:
    """`decoded` moved `delay_samples` earlier and cut or padded with zeros to `num_samples`."""
    moved = decoded[max(delay_samples, 0) :][:num_samples]
    before = min(max(-delay_samples, 0), num_samples)
    moved = moved[: num_samples - before]
    pad = [(before, num_samples - before - len(moved))] + [(0, 0)] * (decoded.ndim - 1)
    return np.pad(moved, pad)


def mel_bands(sample_rate_hz: int, size: int, bands: int = MEL_BANDS) -> Floats:
    """[size / 2 + 1, bands] triangles, peak 1, evenly spaced on the HTK mel scale from 0 to half the rate."""
    frequencies = np.linspace(0, sample_rate_hz // 2, size // 2 + 1)
    top_mel = 2595 * np.log10(1 + (sample_rate_hz / 2) / 700)
    edges = 700 * (10 ** (np.linspace(0, top_mel, bands + 2) / 2595) - 1)
    widths = np.diff(edges)
    rising = (frequencies[:, np.newaxis] - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - frequencies[:, np.newaxis]) / widths[1:]
    triangles: Floats = np.maximum(0, np.minimum(rising, falling))
    return triangles


def _log_mel(mono: Floats, sample_rate_hz: int, size: int) -> Iterator[Floats]:
    """Yield blocks of frames of 10 log10(mel power + floor), [frames, bands]."""
    hop = size // 4
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    bands = mel_bands(sample_rate_hz, size)
    padded = np.pad(mono, size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    for first in range(0, len(frames), _BLOCK_FRAMES):
        spectrum = np.abs(np.fft.rfft(frames[first : first + _BLOCK_FRAMES] * window, axis=1))
        power = (spectrum / (window.sum() / 2)) ** 2
        yield 10 * np.log10(power @ bands + _FLOOR)


def _stoi(original: Samples, decoded: Samples, sample_rate_hz: int, *, extended: bool) -> float:
    module = _optional("pystoi", "STOI")
    a, b = _pair(original, decoded)
    return float(module.stoi(a.mean(axis=1), b.mean(axis=1), sample_rate_hz, extended=extended))


def _mono_pair(
    original: Samples, decoded: Samples, sample_rate_hz: int, to_rate_hz: int
) -> tuple[Floats, Floats]:
    a, b = _pair(original, decoded)
    a, b = a.mean(axis=1), b.mean(axis=1)
    if sample_rate_hz == to_rate_hz:
        return a, b
    return resample(a, sample_rate_hz, to_rate_hz), resample(b, sample_rate_hz, to_rate_hz)


def resample(samples: Floats, from_rate_hz: int, to_rate_hz: int) -> Floats:
    """`samples` at another rate, by soxr in its high quality. MissingExtra without it."""
    if from_rate_hz == to_rate_hz:
        return samples
    resampled: Floats = _optional("soxr", "another sample rate").resample(samples, from_rate_hz, to_rate_hz)
    return resampled


def _pair(original: Samples, decoded: Samples) -> tuple[Floats, Floats]:
    if original.shape != decoded.shape:
        raise ValueError(f"sounds differ in shape: {original.shape} and {decoded.shape}")
    return _as_float(original), _as_float(decoded)


def _as_float(samples: Samples) -> Floats:
    """[time, channels] float64, full scale 1."""
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise ValueError(f"not a sound: shape {samples.shape}")
    if samples.dtype != np.int16 and samples.dtype.kind != "f":
        raise ValueError(f"samples are int16 or float, not {samples.dtype}")
    values = np.asarray(samples, dtype=np.float64).reshape(len(samples), -1)
    return values / 32_768 if samples.dtype == np.int16 else values


def _optional(name: str, purpose: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(purpose, "eval") from error


@cache
def _visqol_api(module: Any) -> Any:
    api = module.VisqolApi()
    api.create(mode="audio")
    return api
