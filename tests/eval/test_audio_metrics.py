import numpy as np
import pytest

from narrows.eval.metrics import audio

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(1).normal(0, 0.1, 2 * RATE_HZ)


@pytest.fixture(scope="module")
def syllables():
    """Three seconds of a buzz with moving formants and pauses: enough like speech for PESQ and STOI."""
    t = np.arange(3 * RATE_HZ) / RATE_HZ
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE_HZ
    voice = sum(
        np.exp(-(((120 * k - 500 - 300 * np.sin(2 * np.pi * 1.3 * t)) / 600) ** 2)) * np.sin(k * pitch)
        for k in range(1, 25)
    )
    gate = np.clip(4 * np.sin(2 * np.pi * 2.1 * t), 0, 1)
    hiss = np.random.default_rng(2).normal(0, 0.002, t.size)
    return 0.15 * voice * gate + hiss


def test_log_mel_distance_of_a_gain_is_that_gain(noise):
    assert audio.log_mel_distance(noise, 2 * noise, RATE_HZ) == pytest.approx(20 * np.log10(2), abs=0.02)
    assert audio.log_mel_distance(noise, noise, RATE_HZ) == 0


def test_a_full_scale_sine_has_power_one_in_its_bin():
    """A sine on bin 128 of 512 (4 kHz) fills three bins, which the bands weigh; the floor is -70 dB."""
    sine = np.sin(2 * np.pi * 4000 * np.arange(RATE_HZ) / RATE_HZ)
    powers = np.zeros(257)
    powers[127:130] = 0.25, 1, 0.25  # a periodic Hann window's main lobe, squared
    expected = 10 * np.log10(powers @ audio.mel_bands(RATE_HZ, 512) + 1e-7) + 70
    inside = slice(4, -5)  # frames that reach over the ends hold part of a sine
    blocks = np.concatenate(list(audio._log_mel(sine, RATE_HZ, 512)))[inside]
    assert blocks == pytest.approx(np.broadcast_to(expected - 70, blocks.shape), abs=1e-6)


def test_silence_against_silence_is_nothing_and_the_floor_bounds_the_rest():
    silence = np.zeros(RATE_HZ)
    assert audio.log_mel_distance(silence, silence, RATE_HZ) == 0
    assert audio.log_mel_distance(silence, silence + 1e-6, RATE_HZ) < 0.01


@pytest.mark.parametrize(("rate_hz", "size"), [(8000, 512), (16_000, 512), (24_000, 1024), (44_100, 2048)])
def test_mel_bands_are_those_of_torchaudio(rate_hz, size):
    functional = pytest.importorskip("torchaudio", reason="needs the extra neural").functional
    expected = functional.melscale_fbanks(size // 2 + 1, 0.0, rate_hz / 2, 80, rate_hz, None, "htk").numpy()
    assert audio.mel_bands(rate_hz, size) == pytest.approx(expected, abs=2e-5)


def test_si_sdr_of_noise_a_tenth_as_loud_is_twenty_decibels(noise):
    original = noise - noise.mean()
    other = np.random.default_rng(3).normal(0, 1, noise.size)
    other -= other.mean()
    other -= original * (other @ original) / (original @ original)
    other *= 0.1 * np.linalg.norm(original) / np.linalg.norm(other)
    assert audio.si_sdr(original, original + other) == pytest.approx(20, abs=1e-9)
    assert audio.si_sdr(original, 0.3 * (original + other) + 0.7) == pytest.approx(20, abs=1e-9)


def test_si_sdr_at_the_ends(noise):
    assert audio.si_sdr(noise, 0.5 * noise) == float("inf")
    assert audio.si_sdr(noise, np.zeros_like(noise)) == float("-inf")
    assert np.isnan(audio.si_sdr(np.ones(100), np.ones(100)))


def test_si_sdr_projects_all_channels_at_once():
    """Channels scaled differently are a distortion: one gain serves both."""
    left, right = np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, 1.0, -1.0, -1.0])
    original = np.stack([left, right], axis=1)
    decoded = np.stack([left, 3 * right], axis=1)
    assert audio.si_sdr(original, decoded) == pytest.approx(10 * np.log10(4), abs=1e-9)


def test_int16_and_float_are_the_same_sound():
    integers = (10_000 * np.sin(np.arange(4000))).astype(np.int16)
    floats = integers.astype(np.float32) / 32_768
    assert audio.log_mel_distance(integers, floats, RATE_HZ) == 0
    assert audio.si_sdr(integers, floats) == float("inf")


@pytest.mark.parametrize("delay", [0, 1, 37, -5])
def test_a_delay_is_found_and_removed(noise, delay):
    late = np.roll(noise, delay)
    assert audio.delay_samples(noise, late, 80) == delay
    restored = audio.align(late, delay, noise.size)
    inside = slice(40, -40)
    assert np.array_equal(restored[inside], noise[inside])


def test_align_cuts_and_pads_to_the_length_asked_for():
    stereo = np.arange(20.0).reshape(10, 2)
    assert audio.align(stereo, 2, 10).shape == (10, 2)
    assert np.array_equal(audio.align(stereo, 2, 5), stereo[2:7])
    assert np.array_equal(audio.align(stereo, -3, 5), np.pad(stereo[:2], ((3, 0), (0, 0))))
    assert np.array_equal(audio.align(stereo, 30, 4), np.zeros((4, 2)))
    assert np.array_equal(audio.align(stereo, -30, 4), np.zeros((4, 2)))


def test_known_answers_of_pesq_and_stoi(syllables):
    """Equal sounds reach the top of both scales; P.862.2's mapping ends at 4.644."""
    pytest.importorskip("pesq", reason="needs the extra eval")
    pytest.importorskip("pystoi", reason="needs the extra eval")
    worse = syllables + np.random.default_rng(4).normal(0, 0.03, syllables.size)
    assert audio.pesq_wb(syllables, syllables, RATE_HZ) == pytest.approx(4.6439, abs=1e-3)
    assert audio.stoi(syllables, syllables, RATE_HZ) == pytest.approx(1, abs=1e-6)
    assert audio.pesq_wb(syllables, worse, RATE_HZ) < 3
    assert audio.stoi(syllables, worse, RATE_HZ) < 0.99
    assert audio.estoi(syllables, worse, RATE_HZ) < audio.stoi(syllables, worse, RATE_HZ)


def test_pesq_of_silence_is_not_a_number():
    pytest.importorskip("pesq", reason="needs the extra eval")
    assert np.isnan(audio.pesq_wb(np.zeros(RATE_HZ), np.zeros(RATE_HZ), RATE_HZ))


@pytest.mark.parametrize(
    ("original", "decoded"),
    [
        (np.zeros(10), np.zeros(11)),
        (np.zeros(0), np.zeros(0)),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2))),
        (np.zeros(4, np.int32), np.zeros(4, np.int32)),
    ],
)
def test_what_is_no_pair_of_sounds_is_refused(original, decoded):
    with pytest.raises(ValueError, match=r"sound|samples"):
        audio.si_sdr(original, decoded)
