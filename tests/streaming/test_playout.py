"""Play-out against simulated networks and clocks."""

import random
from itertools import pairwise

import numpy as np
import pytest

import narrows
from narrows.contracts import Latency, Packet
from narrows.streaming.channel import Channel
from narrows.streaming.playout import Playout

RATE_HZ = 16_000
PACKET_S = 0.02


def coded(speech, **options):
    session = narrows.encoder("pcm", sample_rate_hz=RATE_HZ, **options)
    return session.header, session.push(speech) + session.finish()


def play(header, arrivals, seconds, *, block=80, **more):
    """Read blocks at an even pace, as a sound device does; what was heard from the start on."""
    playout = Playout(narrows.decoder(header), RATE_HZ, 1, **more)
    waiting = sorted(arrivals, key=lambda pair: pair[0])
    heard, at = [], 0
    for tick in range(round(seconds * RATE_HZ / block)):
        now = tick * block / RATE_HZ
        while at < len(waiting) and waiting[at][0] <= now:
            playout.put(waiting[at][1], waiting[at][0])
            at += 1
        samples = playout.read(block, now)
        assert len(samples) == block or playout.finished
        if playout.started:
            heard.append(samples)
    return playout, np.concatenate(heard)


def sent(packets, channel, pace=1.0):
    return [
        (arrival, packet)
        for packet in packets
        for arrival, _ in channel.send(b"x", packet.seq * PACKET_S * pace)
    ]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("block", [1, 80, 113])
def test_a_sound_network_gives_the_very_samples(speech, late, block):
    part = speech[:9000]
    header, packets = coded(part, late=late)
    playout, heard = play(header, sent(packets, Channel()), 1.5, block=block)
    assert np.array_equal(heard, part.astype(np.float32) / 32_768)
    assert playout.finished
    assert playout.played.concealed == 0


@pytest.mark.parametrize("late", [False, True])
def test_jitter_within_the_delay_changes_no_sample(speech, late):
    header, packets = coded(speech, late=late)
    channel = Channel(jitter_ms=40, duplicate=0.1, seed=1)
    arrivals = [(0.001, packets[0]), *sent(packets[1:], channel)]
    playout, heard = play(header, arrivals, 12, min_delay_s=0.05)
    assert np.array_equal(heard, speech.astype(np.float32) / 32_768)
    assert playout.buffer.counts.duplicate > 20


def test_lost_packets_are_concealed_and_the_rest_is_in_place(speech):
    header, packets = coded(speech)
    channel = Channel(loss=0.1, burst=2, seed=3)
    playout, heard = play(header, [*sent(packets[:-1], channel), (10.0, packets[-1])], 12)
    assert len(heard) == len(speech)
    original = (speech.astype(np.float32) / 32_768).reshape(-1, 320)
    frames = heard.reshape(-1, 320)
    lost = [passage.lost for passage in channel.log]
    for seq, was_lost in enumerate(lost):
        assert np.array_equal(frames[seq], original[seq]) or was_lost
    assert playout.buffer.counts.lost == sum(lost)
    assert playout.played.concealed == 320 * sum(lost)


def test_copies_repair_what_is_lost(speech):
    header, packets = coded(speech, redundancy=1)
    lost = {i for i in range(5, len(packets) - 2, 9)}
    arrivals = [(p.seq * PACKET_S, p) for p in packets if p.seq not in lost]
    playout, heard = play(header, arrivals, 12, min_delay_s=0.045)
    assert playout.buffer.counts.copied == len(lost)
    assert playout.buffer.counts.lost == 0
    difference = heard - speech.astype(np.float32) / 32_768
    assert np.abs(difference).max() < 0.5
    assert np.sqrt(np.mean(difference**2)) < 0.03


class Tone:
    """A decoder whose concealment is perfect, so that only what play-out does can be heard."""

    latency, packet_frames = Latency(20, 0), 1

    def __init__(self):
        self._samples = 0

    def push(self, packet):
        self._samples += 320
        t = np.arange(self._samples - 320, self._samples) / RATE_HZ
        return (0.5 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)[:, np.newaxis]

    def finish(self):
        return np.zeros((0, 1), np.float32)

    def seek(self, seq):
        pass


@pytest.mark.parametrize("extra_s", [0.06, -0.15])
def test_growing_and_shrinking_delays_play_on_without_a_jump(extra_s):
    """A hold plays the mirror of what was heard, a dropped packet fades into the next."""
    playout = Playout(Tone(), RATE_HZ, 1)
    heard = []
    for tick in range(2000):
        now = tick * 0.005
        seq, rest = divmod(tick, 4)
        if rest == 0:
            late_s = max(extra_s, 0) if seq > 100 else max(-extra_s, 0)
            playout.put(Packet(seq, 320 * seq, 0, b"x", key=True), now + late_s)
        playout.level = 10  # everything is quiet beside it
        if playout.started or now > 0.3:
            heard.append(playout.read(80, now + 0.2))
    sound = np.concatenate(heard)
    assert playout.buffer.counts.held >= 2 or playout.buffer.counts.skipped >= 5
    steepest = 0.5 * 2 * np.pi * 300 / RATE_HZ
    assert np.abs(np.diff(sound[640:], axis=0)).max() < 2 * steepest


def test_shrinking_delay_drops_packets_where_it_is_quiet(speech):
    header, packets = coded(speech)
    arrivals = [(p.seq * PACKET_S + (0.15 if p.seq < 150 else 0), p) for p in packets]
    playout, heard = play(header, arrivals, 12)
    counts = playout.buffer.counts
    assert counts.skipped >= 2
    assert len(heard) == len(speech) - 320 * counts.skipped
    steepest = np.abs(np.diff(speech.astype(np.float32) / 32_768, axis=0)).max()
    assert np.abs(np.diff(heard, axis=0)).max() < 1.5 * steepest


def test_a_payload_that_does_not_parse_is_concealed(speech):
    header, packets = coded(speech[:3200])
    bad = [Packet(p.seq, p.time, 0, b"odd" if p.seq == 4 else p.payload, True, p.last) for p in packets]
    playout, heard = play(header, sent(bad, Channel()), 0.5)
    assert playout.played.refused_packets == 1
    assert np.array_equal(heard[1600:3200], speech[1600:3200].astype(np.float32) / 32_768)


def test_a_jump_of_numbers_plays_on_at_once(speech):
    header, packets = coded(speech)
    jumped = [
        (p.seq * PACKET_S, p if p.seq < 100 else Packet(p.seq + 5000, p.time, 0, p.payload, True))
        for p in packets
    ]
    playout, heard = play(header, jumped, 8)
    assert playout.buffer.counts.resyncs == 1
    assert len(heard) < 9 * RATE_HZ
    assert np.abs(heard[-16_000:]).max() > 0.1


class Pulses:
    """A decoder of tiny packets, 32 samples each, so that ten minutes are simulated in seconds."""

    latency, packet_frames = Latency(20, 0), 1

    def push(self, packet):
        return np.full((32, 1), 0.1 if packet is None else 0.2, np.float32)

    def finish(self):
        return np.zeros((0, 1), np.float32)

    def seek(self, seq):
        pass


@pytest.mark.parametrize(
    ("ppm", "jitter_ms", "minutes"),
    [
        (200, 30, 2),
        pytest.param(-200, 0, 10, marks=pytest.mark.slow),
        pytest.param(200, 30, 10, marks=pytest.mark.slow),
    ],
)
def test_drifting_clocks_stay_within_a_packet(ppm, jitter_ms, minutes):
    """The sender's clock is off by 200 ppm: in ten minutes, uncorrected, by six packets."""
    rate_hz, rng = 1600, random.Random(1)
    playout = Playout(Pulses(), rate_hz, 1)
    sender_s = PACKET_S / (1 + ppm * 1e-6)
    count = round(minutes * 60 / sender_s)
    arrivals = sorted((i * sender_s + rng.random() * jitter_ms / 1000, i) for i in range(count))
    at, behind = 0, []
    for tick in range(minutes * 60 * 200):
        now = tick * 0.005
        while at < count and arrivals[at][0] <= now:
            seq = arrivals[at][1]
            playout.put(Packet(seq, 32 * seq, 0, b"x", key=True), arrivals[at][0])
            at += 1
        playout.read(8, now)
        if tick % 200 == 0 and now > 60:
            behind.append(now / sender_s - playout.buffer.next_seq)
    counts = playout.buffer.counts
    assert max(behind) - min(behind) < 2  # a packet, and one more that reading in whole packets shows
    assert counts.held + counts.skipped <= 4 + 3 * (jitter_ms > 0)
    assert counts.late <= 0.01 * count
    assert playout.drift.ppm == pytest.approx(ppm, abs=20)


def test_without_correction_the_same_clocks_need_holds_or_skips():
    playout = Playout(Pulses(), 1600, 1, correct_drift=False)
    for tick in range(3 * 60 * 200):
        now = tick * 0.005
        if tick % 4 == 0:
            seq = tick // 4
            playout.put(Packet(seq, 32 * seq, 0, b"x", key=True), now * (1 + 400e-6))
        playout.read(8, now)
    assert playout.buffer.counts.held >= 2


def test_what_is_read_is_what_was_asked_for_and_silence_comes_before():
    playout = Playout(Pulses(), 1600, 1)
    sizes = [1, 0, 7, 100]
    assert [len(playout.read(n, 0.1)) for n in sizes] == sizes
    assert not playout.started
    assert not playout.finished
    assert all(a <= b for a, b in pairwise([0, playout.played.samples]))
