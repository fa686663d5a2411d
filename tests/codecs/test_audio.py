"""What `speech` and `music` promise beside the laws of all codecs: sessions, rates, exactness, bad input."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import math
import zlib
from typing import Any

import numpy as np
import pytest

import narrows
from narrows import _core
from narrows.contracts import Packet

KINDS = [
    pytest.param("speech", 16_000, 1, id="speech"),
    pytest.param("speech", 11_025, 1, id="speech-resampled"),
    pytest.param("speech", 24_000, 2, id="speech-24k-stereo"),
    pytest.param("music", 44_100, 2, id="music"),
    pytest.param("music", 48_000, 3, id="music-3-channels"),
    pytest.param("music", 32_000, 1, id="music-resampled"),
]
OPTIONS = [{"quality": 50}, {"kbps": 12.0}, {"kbps": 10.0, "constant": True}]


def sound(rate: int, channels: int = 1, seconds: float = 0.5, seed: int = 1) -> Any:
    """Gliding harmonics that come and go, a click, and a little noise. float32 [time, channels]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(rate * seconds)) / rate
    columns = []
    for channel in range(channels):
        phase = 2 * np.pi * (120 + 30 * channel + 40 * time) * time
        voice = sum(np.sin(n * phase) / n for n in range(1, 12)) * (0.5 + 0.5 * np.sin(9 * time) ** 2)
        columns.append(0.15 * voice + rng.normal(0, 0.01, len(time)))
    samples = np.stack(columns, 1)
    samples[len(samples) // 3 : len(samples) // 3 + 20] += 0.3
    return np.clip(samples, -1, 1).astype(np.float32)


def session(name: str, rate: int, channels: int, **options: Any) -> Any:
    return narrows.encoder(name, sample_rate_hz=rate, channels=channels, **options)


def packets_of(encoder: Any, samples: Any, size: int = 0) -> list[Packet]:
    size = size or max(len(samples), 1)
    made = []
    for first in range(0, len(samples), size):
        made += encoder.push(samples[first : first + size])
    return made + encoder.finish()


def decoded(header: bytes, packets: list[Packet]) -> Any:
    decoder = narrows.decoder(header)
    return np.concatenate([*(decoder.push(packet) for packet in packets), decoder.finish()])


def snr_db(signal: Any, other: Any) -> float:
    return float(10 * np.log10((signal**2).sum() / ((signal - other) ** 2).sum()))


@pytest.mark.parametrize("options", OPTIONS, ids=["quality", "kbps", "constant"])
@pytest.mark.parametrize(("name", "rate", "channels"), KINDS)
def test_how_input_is_split_changes_nothing(name: str, rate: int, channels: int, options: Any) -> None:
    samples = sound(rate, channels, 0.2)
    encoder = session(name, rate, channels, **options)
    whole = packets_of(encoder, samples)
    expected = decoded(encoder.header, whole)
    assert expected.shape == samples.shape
    assert expected.dtype == np.float32
    for size in (1, 7, 160, 441, 4096):
        other = session(name, rate, channels, **options)
        assert packets_of(other, samples, size) == whole, size
        assert other.header == encoder.header


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=["quality", "kbps", "constant"])
@pytest.mark.parametrize(("name", "rate", "channels"), KINDS)
def test_saving_and_restoring_changes_nothing(
    name: str, rate: int, channels: int, options: Any, frames: int
) -> None:
    samples = sound(rate, channels, 0.4)
    options = {**options, "packet_frames": frames}
    encoder = session(name, rate, channels, **options)
    whole = packets_of(encoder, samples)
    expected = decoded(encoder.header, whole)
    state = session(name, rate, channels, **options).save()
    made: list[Packet] = []
    for first in range(0, len(samples), 1000):
        restored = session(name, rate, channels, **options, state=state)
        made += restored.push(samples[first : first + 1000])
        state = restored.save()
    made += session(name, rate, channels, **options, state=state).finish()
    assert made == whole
    state, blocks = narrows.decoder(encoder.header).save(), []
    for packet in whole:
        decoder = narrows.decoder(encoder.header, state=state)
        blocks.append(decoder.push(packet))
        state = decoder.save()
    assert np.array_equal(np.concatenate(blocks), expected)


@pytest.mark.parametrize(("name", "rate", "channels"), KINDS)
def test_packets_count_their_samples_from_zero(name: str, rate: int, channels: int) -> None:
    samples = sound(rate, channels, 0.5)
    encoder = session(name, rate, channels, packet_frames=2)
    packets = packets_of(encoder, samples)
    assert [packet.seq for packet in packets] == list(range(0, 2 * len(packets), 2))
    inside = {8_000: 16_000, 11_025: 16_000, 32_000: 44_100}.get(rate, rate)
    assert [packet.time for packet in packets] == [packet.seq * inside // 50 for packet in packets]
    assert [packet.last for packet in packets] == [False] * (len(packets) - 1) + [True]
    assert all(packet.key for packet in packets)
    assert sum(packet.count for packet in packets) == len(samples)
    decoder = narrows.decoder(encoder.header)
    for packet in packets:
        assert len(decoder.push(packet)) == packet.count


@pytest.mark.parametrize("length", [0, 1, 2, 159, 160, 161, 319, 320, 321, 479, 480, 481, 640, 1000])
@pytest.mark.parametrize(
    ("name", "rate"), [("speech", 16_000), ("speech", 22_050), ("music", 48_000), ("music", 96_000)]
)
def test_every_length_comes_back(name: str, rate: int, length: int) -> None:
    samples = sound(rate, 1, 0.1)[:length]
    encoder = session(name, rate, 1, quality=70)
    assert decoded(encoder.header, packets_of(encoder, samples)).shape == (length, 1)
    assert narrows.decode(narrows.encode(narrows.Audio(samples, rate), name)).samples.shape == (length, 1)


@pytest.mark.parametrize(
    ("name", "rate"),
    [("speech", 16_000), ("speech", 8_000), ("speech", 24_000), ("music", 44_100), ("music", 48_000)],
)
def test_a_fine_step_comes_near_the_signal(name: str, rate: int) -> None:
    samples = sound(rate)
    encoder = session(name, rate, 1, quality=100)
    # Noise close to half the rate is lost where a resampler comes between.
    least = 30 if rate == 8_000 else 40
    assert snr_db(samples, decoded(encoder.header, packets_of(encoder, samples))) > least
    worse = session(name, rate, 1, quality=60)
    assert 8 < snr_db(samples, decoded(worse.header, packets_of(worse, samples))) < 40


@pytest.mark.parametrize(("name", "rate", "channels"), KINDS)
def test_a_session_is_small(name: str, rate: int, channels: int) -> None:
    samples = sound(rate, channels, 2.5)
    limit = (16 if name == "speech" else 64) * 1024
    encoder = session(name, rate, channels)
    packets = encoder.push(samples)
    decoder = narrows.decoder(encoder.header)
    for packet in packets:
        decoder.push(packet)
    assert len(encoder.save()) < limit
    assert len(decoder.save()) < limit


@pytest.mark.parametrize(
    ("name", "rate", "channels", "frames"),
    [("speech", 16_000, 1, 11), ("speech", 24_000, 1, 7), ("music", 48_000, 1, 15), ("music", 48_000, 2, 7)],
)
def test_a_session_is_small_up_to_so_many_frames_a_packet(
    name: str, rate: int, channels: int, frames: int
) -> None:
    limit = (16 if name == "speech" else 64) * 1024
    encoder = session(name, rate, channels, packet_frames=frames, redundancy=1)
    decoder = narrows.decoder(encoder.header)
    samples, step = sound(rate, channels, 0.02 * (2 * frames + 1)), rate // 50 - 1
    sizes = []
    for first in range(0, len(samples), step):
        for packet in encoder.push(samples[first : first + step]):
            decoder.push(packet)
        sizes.append(max(len(encoder.save()), len(decoder.save())))
    assert limit / 2 < max(sizes) < limit


# ---- rates


@pytest.mark.parametrize(
    ("name", "rate", "kbps"), [("speech", 16_000, 6), ("speech", 16_000, 16), ("music", 48_000, 48)]
)
def test_constant_packets_are_equally_long(name: str, rate: int, kbps: float) -> None:
    rng = np.random.default_rng(3)
    quiet = np.zeros((rate // 2, 1), np.float32)
    loud = rng.uniform(-1, 1, (rate // 2, 1)).astype(np.float32)
    samples = np.concatenate([quiet, sound(rate, 1, 1), loud])
    encoder = session(name, rate, 1, kbps=kbps, constant=True)
    packets = packets_of(encoder, samples)
    assert {len(packet.payload) for packet in packets} == {int(kbps * 1000 / 8 / 50)}
    assert decoded(encoder.header, packets).shape == samples.shape


def loud(rate: int, channels: int, seconds: float, level: float = 1) -> Any:
    shape = round(rate * seconds), channels
    return np.random.default_rng(3).uniform(-level, level, shape).astype(np.float32)


def signals(rate: int, channels: int) -> dict[str, Any]:
    quiet = np.zeros((2 * rate, channels), np.float32)
    tone = sound(rate, channels, 2)
    bursts = np.tile(np.concatenate([loud(rate, channels, 0.1), quiet[: rate // 3]]), (8, 1))
    return {
        "silence, sound, noise": np.concatenate([quiet, tone, loud(rate, channels, 2), tone]),
        "noise": loud(rate, channels, 5),
        "faint, then noise": np.concatenate([loud(rate, channels, 3, 1e-4), loud(rate, channels, 2)]),
        "bursts": bursts,
        "sound": np.tile(tone, (2, 1)),
        "half a second": loud(rate, channels, 0.5),
    }


def most_of_budget(sizes: Any, packets: int, budget: float) -> float:
    """The fullest window of so many packets, over what it may have; what was before took the budget."""
    sizes = np.concatenate([np.full(packets - 1, int(budget)), sizes])
    windows = np.convolve(sizes, np.ones(packets), "valid")
    return float(windows.max() / (1.02 * packets * budget + budget))


@pytest.mark.parametrize("frames", [1, 3, 12, 30, 50])
@pytest.mark.parametrize(
    ("name", "rate", "channels", "kbps"),
    [
        ("speech", 16_000, 1, 4),
        ("speech", 16_000, 1, 12),
        ("speech", 24_000, 1, 32),
        ("music", 44_100, 1, 16),
        ("music", 48_000, 2, 24),
        ("music", 48_000, 2, 96),
    ],
)
def test_no_window_of_two_seconds_exceeds_the_rate(
    name: str, rate: int, channels: int, kbps: float, frames: int
) -> None:
    budget = kbps * 1000 / 8 / 50 * frames
    kept = max(1, 100 // frames)
    for signal, samples in signals(rate, channels).items():
        encoder = session(name, rate, channels, kbps=kbps, packet_frames=frames)
        packets = packets_of(encoder, samples)
        sizes = np.array([len(packet.payload) for packet in packets])
        assert most_of_budget(sizes, kept, budget) <= 1, signal
        assert most_of_budget(sizes, max(kept, 8), budget) <= 1, signal
        overlap = 0.5 if name == "speech" else 1  # frames
        part = math.ceil(len(samples) / rate * 50 + overlap) % frames or frames  # of the last packet
        assert part == frames or sizes[-1] <= budget * (part + 1) / frames, signal


@pytest.mark.parametrize("frames", [1, 10, 50])
@pytest.mark.parametrize(
    ("name", "rate", "kbps", "level"),
    [("speech", 16_000, 6, 0.5), ("speech", 16_000, 12, 0.01), ("music", 48_000, 24, 0.3)],
)
def test_steady_noise_takes_what_the_rate_gives(
    name: str, rate: int, kbps: float, level: float, frames: int
) -> None:
    budget = kbps * 1000 / 8 / 50 * frames
    packets = packets_of(session(name, rate, 1, kbps=kbps, packet_frames=frames), loud(rate, 1, 10.1, level))
    sizes = np.array([len(packet.payload) for packet in packets[:-1]])
    assert 0.96 * budget < sizes[len(sizes) // 5 :].mean() < 1.05 * budget


@pytest.mark.parametrize(("codec", "kbps", "channels"), [("speech", 12, 1), ("music", 64, 2)])
def test_half_a_second_of_noise_keeps_the_rate_of_a_file(codec: str, kbps: float, channels: int) -> None:
    rate = 16_000 if codec == "speech" else 48_000
    data = narrows.encode(narrows.Audio(loud(rate, channels, 0.5), rate), codec=codec, kbps=kbps)
    assert 0.5 * kbps < 8e-3 * (len(data) - 60) / 0.5 < 1.1 * kbps


@pytest.mark.parametrize("frames", [1, 10, 50])
@pytest.mark.parametrize(("name", "rate", "kbps"), [("speech", 16_000, 6), ("music", 48_000, 48)])
def test_sound_that_comes_and_goes_uses_its_budget(name: str, rate: int, kbps: float, frames: int) -> None:
    pause = loud(rate, 1, 0.3, 1e-3)
    words = [part for seed in range(12) for part in (sound(rate, 1, 0.7, seed), pause)]
    samples = np.concatenate(words)
    packets = packets_of(session(name, rate, 1, kbps=kbps, packet_frames=frames), samples)
    spent = sum(len(packet.payload) for packet in packets) * 8e-3 / (len(samples) / rate)
    assert 0.9 * kbps < spent < 1.03 * kbps


@pytest.mark.parametrize("frames", [1, 5, 25, 50])
@pytest.mark.parametrize("kbps", [6, 12])
def test_the_rate_is_kept_after_sound_that_costs_hardly_anything(kbps: float, frames: int) -> None:
    rate, budget = 16_000, kbps * 1000 / 8 / 50 * frames
    faint = np.random.default_rng(3).uniform(-(2**-15), 2**-15, (20 * rate, 1)).astype(np.float32)
    encoder = session("speech", rate, 1, kbps=kbps, packet_frames=frames)
    encoder.push(faint)
    sizes = [len(packet.payload) for packet in packets_of(encoder, np.tile(sound(rate, 1, 2), (15, 1)))]
    # The first half is for the control to learn that there is something again.
    settled = np.array(sizes[len(sizes) // 2 : -1])
    assert 0.6 * budget < settled.mean() < 1.05 * budget


def test_silence_is_a_byte_or_two_a_packet() -> None:
    for name, rate in (("speech", 16_000), ("music", 48_000)):
        encoder = session(name, rate, 1, quality=50)
        packets = packets_of(encoder, np.zeros((rate, 1), np.float32))
        assert max(len(packet.payload) for packet in packets) <= 2
        assert not decoded(encoder.header, packets).any()


# ---- bad input


@pytest.mark.parametrize("name", ["speech", "music"])
@pytest.mark.parametrize("value", [0.5, -1.0, 1.0, 3.0, -1e30])
def test_constants_clipping_and_more_survive(name: str, value: float) -> None:
    rate = 16_000 if name == "speech" else 48_000
    for options in OPTIONS:
        encoder = session(name, rate, 1, **options)
        samples = np.full((rate // 4, 1), value, np.float32)
        heard = decoded(encoder.header, packets_of(encoder, samples))
        assert abs(heard).max() <= 1
        # What is beyond full scale is clipped.
        if "quality" in options:
            assert snr_db(samples.clip(-1, 1)[1000:-1000], heard[1000:-1000]) > 10


def test_a_block_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    encoder = session("speech", 16_000, 1)
    encoder.push(sound(16_000)[:1000])
    before = encoder.save()
    nan = np.zeros(100, np.float32)
    nan[50] = np.nan
    for block in (
        nan,
        np.array([np.inf], np.float32),
        np.zeros((10, 2), np.float32),
        np.zeros((10, 1, 1), np.float32),
        np.zeros(10),
        np.zeros(10, np.int32),
        [0.0],
        narrows.Audio(np.zeros(10, np.float32), 8_000),
        narrows.Audio(np.zeros((10, 2), np.float32), 16_000),
    ):
        with pytest.raises(narrows.SignalError):
            encoder.push(block)
    assert encoder.push(np.zeros((0, 1), np.float32)) == []
    assert encoder.save() == before
    assert encoder.push(narrows.Audio(np.zeros(10, np.int16), 16_000)) == []


def test_rates_and_options_that_make_no_sense_are_refused() -> None:
    for rate in (1, 999, 768_001, 10**9):
        with pytest.raises(narrows.SignalError, match="samples a second"):
            session("speech", rate, 1)
    with pytest.raises(narrows.OptionError, match="give one"):
        session("speech", 16_000, 1, quality=50, kbps=12)
    for options in ({"kbps": 0}, {"quality": 101}, {"packet_frames": 0}, {"packet_frames": 1000}):
        with pytest.raises(narrows.OptionError):
            session("speech", 16_000, 1, **options)
    encoder = session("speech", 16_000, 1)
    encoder.finish()
    with pytest.raises(narrows.OptionError, match="finished"):
        encoder.push(np.zeros(10, np.float32))


def hostile(packets: list[Packet], rng: Any) -> Any:
    """Payloads cut, changed, exchanged and made up, and counts that lie."""
    for packet in packets:
        payload = bytearray(packet.payload)
        for size in range(len(payload)):
            yield dataclasses.replace(packet, payload=bytes(payload[:size]))
        for at in range(len(payload)):
            changed = bytearray(payload)
            changed[at] ^= 1 << rng.integers(8)
            yield dataclasses.replace(packet, payload=bytes(changed))
        yield dataclasses.replace(packet, payload=rng.bytes(int(rng.integers(200))))
        yield dataclasses.replace(packet, payload=b"\xff" * 300)
        yield dataclasses.replace(packet, payload=bytes(payload) + b"\1")
        for count in (0, packet.count + 1, 2**40, 2**64):
            yield dataclasses.replace(packet, count=count)
        yield dataclasses.replace(packet, last=not packet.last)
        yield dataclasses.replace(packet, seq=packet.seq + 2**40)


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize(("name", "rate", "channels"), KINDS)
def test_a_refused_packet_leaves_the_state_untouched(
    name: str, rate: int, channels: int, frames: int
) -> None:
    rng = np.random.default_rng(4)
    encoder = session(name, rate, channels, kbps=24, packet_frames=frames)
    packets = packets_of(encoder, sound(rate, channels, 0.3))
    decoder = narrows.decoder(encoder.header)
    refused = taken = 0
    for packet in packets:
        before = decoder.save()
        for attack in hostile([packet], rng):
            try:
                narrows.decoder(encoder.header, state=before).push(attack)
                taken += 1
            except narrows.PacketError:
                refused += 1
            with_attack = narrows.decoder(encoder.header, state=before)
            try:
                with_attack.push(attack)
            except narrows.PacketError:
                assert with_attack.save() == before
        decoder.push(packet)
        with pytest.raises(narrows.PacketError):
            decoder.push(packet)
    assert refused > taken / 20


def test_states_of_others_are_refused() -> None:
    encoder = session("speech", 16_000, 1)
    encoder.push(sound(16_000))
    state = encoder.save()
    for bad in (b"", state[:-1], state + b"\0", state[:50] + b"\xaa\xbb" + state[52:]):
        with pytest.raises(narrows.SignalError):
            session("speech", 16_000, 1, state=bad)
    with pytest.raises(narrows.SignalError):
        session("speech", 16_000, 2, state=state)
    with pytest.raises(narrows.SignalError):
        narrows.decoder(encoder.header, state=state)


def forged(header: bytes, state: bytes, rng: Any) -> bytes:
    """A state with some bits of its body changed and the check made right again."""
    body = bytearray(state[4:])
    for _ in range(int(rng.integers(1, 4))):
        near = len(body) if rng.integers(2) else min(len(body), 40)
        body[rng.integers(near)] ^= 1 << rng.integers(8)
    if rng.integers(4) == 0:
        body = body[: rng.integers(len(body))]
    return zlib.crc32(header + body).to_bytes(4, "little") + body


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(("name", "rate", "channels"), KINDS)
def test_forged_states_are_refused_or_do_no_harm(name: str, rate: int, channels: int, frames: int) -> None:
    rng = np.random.default_rng(rate + channels)
    options = {"kbps": 24.0, "packet_frames": frames}
    samples = sound(rate, channels, 0.11)
    encoder = session(name, rate, channels, **options)
    packets = encoder.push(samples)
    decoder = narrows.decoder(encoder.header)
    decoder.push(packets[0])
    refused = 0
    for _ in range(150):
        try:
            other = session(
                name, rate, channels, **options, state=forged(encoder.header, encoder.save(), rng)
            )
            packets_of(other, samples)
        except (ValueError, narrows.NarrowsError):
            refused += 1
        try:
            again = narrows.decoder(encoder.header, state=forged(encoder.header, decoder.save(), rng))
            assert abs(again.push(None)).max() <= 1
        except (ValueError, narrows.NarrowsError):
            refused += 1
    assert refused > 30


def test_states_are_bound_to_their_rate() -> None:
    state = session("speech", 16_000, 1, kbps=12).save()
    session("speech", 16_000, 1, kbps=12, state=state)
    for options in (
        {"kbps": 12.01},
        {"kbps": 12, "constant": True},
        {"quality": 50},
        {"kbps": 12, "packet_frames": 2},
    ):
        with pytest.raises(narrows.SignalError):
            session("speech", 16_000, 1, state=state, **options)


def test_a_finished_session_stays_finished() -> None:
    encoder = session("speech", 16_000, 1)
    packets = packets_of(encoder, sound(16_000)[:1000])
    again = session("speech", 16_000, 1, state=encoder.save())
    with pytest.raises(narrows.OptionError, match="finished"):
        again.push(np.zeros(10, np.float32))
    decoder = narrows.decoder(encoder.header)
    for packet in packets:
        decoder.push(packet)
    with pytest.raises(narrows.PacketError, match="ended"):
        narrows.decoder(encoder.header, state=decoder.save()).push(None)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(("channels", "frames", "kbps"), [(255, 1, 1), (255, 50, 4), (16, 1, 1)])
def test_a_rate_that_cannot_hold_silence_is_refused(
    channels: int, frames: int, kbps: float, constant: bool
) -> None:
    with pytest.raises(narrows.OptionError, match="silence needs more"):
        session("music", 48_000, channels, kbps=kbps, constant=constant, packet_frames=frames)


@pytest.mark.parametrize("frames", [1, 2, 50])
@pytest.mark.parametrize("kbps", [1.0, 1.7, 2.4])
@pytest.mark.parametrize("name", ["speech", "music"])
def test_the_least_rates_are_kept(name: str, kbps: float, frames: int) -> None:
    rate = 16_000 if name == "speech" else 48_000
    samples = np.concatenate([sound(rate, 1, 0.6), np.random.default_rng(1).uniform(-1, 1, (rate // 2, 1))])
    encoder = session(name, rate, 1, kbps=kbps, constant=True, packet_frames=frames)
    packets = packets_of(encoder, samples.astype(np.float32))
    assert {len(packet.payload) for packet in packets} == {int(kbps * 2.5 * frames)}
    assert decoded(encoder.header, packets).shape == samples.shape


@pytest.mark.parametrize(("name", "rate", "channels"), KINDS)
def test_sessions_in_two_threads_do_what_they_do_in_one(name: str, rate: int, channels: int) -> None:
    sounds = [sound(rate, channels, 0.3, seed) for seed in range(4)]

    def both(samples: Any) -> tuple[list[Packet], bytes]:
        encoder = session(name, rate, channels)
        packets = packets_of(encoder, samples, 700)
        return packets, decoded(encoder.header, packets).tobytes()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(both, sounds)) == [both(samples) for samples in sounds]


# ---- loss


@pytest.mark.parametrize(("name", "rate", "channels"), KINDS)
def test_after_a_loss_the_output_is_soon_the_same_again(name: str, rate: int, channels: int) -> None:
    samples = sound(rate, channels, 1.0)
    encoder = session(name, rate, channels)
    packets = packets_of(encoder, samples)
    whole = decoded(encoder.header, packets)
    for lost in ({0}, {10}, {10, 11, 12}, set(range(20)), {5, 20}):
        told = narrows.decoder(encoder.header)
        given = [told.push(None if number in lost else packet) for number, packet in enumerate(packets)]
        assert [len(block) for block in given] == [packet.count for packet in packets]
        silent = narrows.decoder(encoder.header)
        gaps = [silent.push(packet) for number, packet in enumerate(packets) if number not in lost]
        heard = np.concatenate(given)
        assert np.array_equal(heard, np.concatenate(gaps))
        assert abs(heard).max() <= 1
        # Sound two packets behind the last loss: one for the overlap, one for the resampler's reach.
        end = sum(packet.count for packet in packets[: max(lost) + 3])
        assert np.array_equal(heard[end:], whole[end:])


def test_a_long_loss_ends_in_silence() -> None:
    encoder = session("speech", 16_000, 1)
    packets = packets_of(encoder, sound(16_000))
    decoder = narrows.decoder(encoder.header)
    for packet in packets[:10]:
        decoder.push(packet)
    blocks = [decoder.push(None) for _ in range(60)]
    assert abs(blocks[0]).max() > 0.01
    assert not blocks[-1].any()


def test_two_sessions_do_not_meet() -> None:
    one, two = (sound(16_000, 1, 0.5, seed) for seed in (1, 2))
    alone = [packets_of(session("speech", 16_000, 1), samples) for samples in (one, two)]
    a, b = session("speech", 16_000, 1), session("speech", 16_000, 1)
    made: list[list[Packet]] = [[], []]
    for first in range(0, len(one), 333):
        made[0] += a.push(one[first : first + 333])
        made[1] += b.push(two[first : first + 333])
    assert [made[0] + a.finish(), made[1] + b.finish()] == alone


# ---- files


def test_files_are_sessions_with_longer_packets() -> None:
    samples = sound(16_000, 1, 3.3)
    stream = narrows.encode(narrows.Audio(samples, 16_000), "speech", quality=60)
    encoder = session("speech", 16_000, 1, quality=60, packet_frames=50)
    heard = decoded(encoder.header, packets_of(encoder, samples))
    assert np.array_equal(narrows.decode(stream).samples, heard)
    live = narrows.encode(narrows.Audio(samples, 16_000), "speech", quality=60, packet_frames=1)
    assert len(stream) < 0.97 * len(live)


def test_parts_of_a_long_file_equal_the_whole() -> None:
    for rate in (16_000, 8_000):
        samples = sound(rate, 1, 25)
        stream = narrows.encode(narrows.Audio(samples, rate), "speech", kbps=6)
        whole = narrows.decode(stream).samples
        with narrows.open(stream) as opened:
            assert len([chunk for chunk in opened.chunks if chunk.kind == 1]) == 3
            for start, stop in ((0, 1), (9.9, 10.1), (10.0, 10.01), (12.345, 20.3), (24.9, 25)):
                part = opened.read(start, stop).samples
                assert np.array_equal(part, whole[round(start * rate) : round(stop * rate)])


def test_the_default_codec_follows_rate_and_channels() -> None:
    for rate, channels, name in (
        (16_000, 1, "speech"),
        (24_000, 1, "speech"),
        (24_000, 2, "music"),
        (44_100, 1, "music"),
    ):
        stream = narrows.encode(narrows.Audio(sound(rate, channels, 0.1), rate))
        assert narrows.info(stream).codec == name


# ---- transforms


@pytest.mark.parametrize("size", [120, 126, 160, 240, 882, 960])
def test_the_transform_is_orthonormal_and_its_own_inverse(size: int) -> None:
    rng = np.random.default_rng(size)
    values = np.clip(rng.normal(0, 2**20, size), -(2**23), 2**23).astype(np.int32)
    k = np.arange(size) + 0.5
    matrix = np.sqrt(2 / size) * np.cos(np.pi / size * np.outer(k, k))
    coefficients = values.copy()
    _core.mdct_dct4(coefficients)
    assert abs(coefficients - matrix @ values).max() < 8
    _core.mdct_dct4(coefficients)
    assert abs(coefficients - values).max() < 24


@pytest.mark.parametrize("size", [120, 126, 160, 240, 882, 960])
def test_lapped_blocks_reconstruct(size: int) -> None:
    rng = np.random.default_rng(size)
    signal = rng.integers(-(2**23), 2**23, 6 * size).astype(np.int32)
    half = size // 2
    blocks = [signal[i * size : (i + 1) * size].copy() for i in range(6)]
    for block in blocks:
        _core.mdct_rotate(block)
    heard = [blocks[0][:half]]
    for left, right in itertools.pairwise(blocks):
        transform = np.concatenate([left[half:], right[:half]])
        _core.mdct_dct4(transform)
        _core.mdct_dct4(transform)
        heard += [transform[:half], transform[half:]]
    heard.append(blocks[-1][half:])
    joined = np.concatenate(heard)
    for i in range(6):
        block = joined[i * size : (i + 1) * size].copy()
        _core.mdct_rotate(block, True)
        assert abs(block - blocks_of(signal, size, i)).max() < 32


def blocks_of(signal: Any, size: int, number: int) -> Any:
    return signal[number * size : (number + 1) * size]


def test_transforms_of_other_sizes_are_refused() -> None:
    for size in (0, 1, 2, 7, 22, 961, 1024):
        with pytest.raises(ValueError, match="no transform"):
            _core.mdct_dct4(np.zeros(size, np.int32))


@pytest.mark.parametrize(("a", "b"), [(44_100, 48_000), (8_000, 16_000), (48_000, 16_000), (37_123, 48_000)])
def test_resampling_keeps_tones_and_constants(a: int, b: int) -> None:
    time = np.arange(a // 2) / a
    frequency = 0.3 * min(a, b)
    tone = np.round(np.sin(2 * np.pi * frequency * time) * 2**22).astype(np.int32)[:, np.newaxis]
    out = _core.resample(tone, a, b)[:, 0]
    expected = np.sin(2 * np.pi * frequency * np.arange(len(out)) / b) * 2**22
    middle = slice(1000, -1000)
    assert abs(out - expected)[middle].max() < 2**22 * 1e-4
    constant = _core.resample(np.full((a // 4, 1), 1_000_000, np.int32), a, b)[:, 0]
    assert (constant[1000:-1000] == 1_000_000).all()


@pytest.mark.parametrize("seq", [2**32, 2**47, 2**48])
def test_positions_that_no_stream_has_come_to_are_refused(seq: int) -> None:
    made = narrows.encoder("speech", sample_rate_hz=44100, channels=1)
    packets = [*made.push(np.zeros((4410, 1), np.float32)), *made.finish()]
    decoder = narrows.decoder(made.header)
    with pytest.raises(narrows.PacketError):
        decoder.seek(seq)
    with pytest.raises(narrows.PacketError):
        decoder.push(Packet(seq, 0, 0, packets[0].payload, key=True))
    assert decoder.push(packets[0]).shape[1] == 1
