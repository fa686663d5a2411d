import random

import numpy as np
import pytest

from narrows.streaming.clock import Drift, Stretcher

RATE_HZ = 16_000


@pytest.mark.parametrize("ppm", [-200, -50, 0, 50, 200, 400])
def test_drift_is_found_under_jitter(ppm):
    rng = random.Random(1)
    drift = Drift()
    for i in range(3000):
        media_s = i * 0.02
        drift.add(media_s, media_s * (1 - ppm * 1e-6) + 0.04 * rng.random())
    assert drift.ppm == pytest.approx(ppm, abs=15)


def test_agreeing_clocks_are_left_alone():
    for seed in range(20):
        rng = random.Random(seed)
        drift = Drift()
        for i in range(2000):
            drift.add(i * 0.02, i * 0.02 + 0.04 * rng.random())
        assert drift.ppm == 0


def test_no_estimate_before_ten_seconds_and_after_a_jump():
    drift = Drift()
    for i in range(450):
        drift.add(i * 0.02, i * 0.02 * 1.001)
    assert drift.ppm == 0
    for i in range(450, 1500):
        drift.add(i * 0.02, i * 0.02 * 1.001)
    assert drift.ppm == -500
    drift.reset()
    assert drift.ppm == 0


@pytest.fixture(scope="module")
def tone():
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    return np.stack([np.sin(2 * np.pi * f * t) for f in (440, 3000)], axis=1).astype(np.float32)


def stretch(stretcher, sound, ratios, size=320):
    blocks = [sound[i : i + size] for i in range(0, len(sound), size)]
    output = [stretcher.process(b, r) for b, r in zip(blocks, ratios, strict=False)]
    return np.concatenate([*output, stretcher.flush()])


def test_ratio_one_touches_nothing(tone):
    assert np.array_equal(stretch(Stretcher(2), tone, [1.0] * 100), tone)


@pytest.mark.parametrize("ratio", [0.9995, 0.9998, 1.0002, 1.0005])
def test_a_stretched_tone_is_the_tone_at_another_pace(tone, ratio):
    output = stretch(Stretcher(2), tone, [1.0] * 10 + [ratio] * 90)
    instants = np.arange(len(output), dtype=float)
    instants[3200:] = 3200 + (instants[3200:] - 3200) / ratio
    expected = np.stack([np.sin(2 * np.pi * f * instants / RATE_HZ) for f in (440, 3000)], axis=1)
    inside = slice(0, -40)  # the end is padded with silence
    assert np.abs(output[inside] - expected[inside]).max() < 5e-4
    assert len(output) == pytest.approx(3200 + (len(tone) - 3200) * ratio, abs=2)


def test_changing_ratios_lose_nothing(tone):
    ratios = [1, 1.0003, 0.9997, 1, 1.0001] * 20
    output = stretch(Stretcher(2), tone, ratios)
    assert len(output) == pytest.approx(sum(320 * r for r in ratios), abs=2)
    assert np.abs(np.diff(output[:-40, 0])).max() < 1.05 * np.abs(np.diff(tone[:, 0])).max()


def test_how_blocks_are_cut_changes_nothing(tone):
    whole = stretch(Stretcher(2), tone, [1.0002], size=len(tone))
    for size in (1, 7, 441):
        part = tone[:2205]
        cut = stretch(Stretcher(2), part, [1.0002] * 2205, size=size)
        assert cut[:2000] == pytest.approx(whole[:2000], abs=1e-6)


def test_no_samples_and_wild_ratios():
    stretcher = Stretcher(1)
    assert len(stretcher.process(np.zeros((0, 1), np.float32), 1.0002)) == 0
    with pytest.raises(ValueError, match="ratio"):
        stretcher.process(np.zeros((1, 1), np.float32), 1.5)
