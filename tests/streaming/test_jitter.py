"""The jitter buffer against simulated arrivals. No clock is read and nothing sleeps."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.contracts import Packet
from narrows.errors import OptionError
from narrows.streaming.channel import Channel
from narrows.streaming.jitter import JitterBuffer, Step

PACKET_S = 0.02
MARGIN_S = PACKET_S / 4


def packet(seq, *, last=False, size=20):
    return Packet(seq, 320 * seq, 0, bytes(size), key=True, last=last)


def play(arrivals, *, seconds, quiet=lambda now: True, pace=1.0, **limits):
    """Feed (arrival_s, packet) and pull every PACKET_S; the buffer and what it said, with times."""
    buffer = JitterBuffer(PACKET_S, **limits)
    waiting = sorted(arrivals, key=lambda pair: pair[0])
    events, at = [], 0
    for tick in range(round(seconds / PACKET_S)):
        now = tick * PACKET_S * pace
        while at < len(waiting) and waiting[at][0] <= now:
            buffer.put(waiting[at][1], waiting[at][0])
            at += 1
        due = buffer.pull(now, quiet=quiet(now))
        while due.step == Step.SKIP:
            events.append((now, due))
            due = buffer.pull(now, quiet=quiet(now))
        events.append((now, due))
    return buffer, events


def played(events):
    return [due.seq for _, due in events if due.packet is not None]


def through(channel, count, *, start_s=0.0):
    return [
        (arrival, packet(i, last=i == count - 1))
        for i in range(count)
        for arrival, _ in channel.send(b"x", start_s + i * PACKET_S)
    ]


def test_a_steady_stream_plays_in_order_and_ends():
    buffer, events = play(through(Channel(), 100), seconds=3)
    assert played(events) == list(range(100))
    assert buffer.finished
    assert (buffer.counts.lost, buffer.counts.held, buffer.counts.skipped) == (0, 0, 0)
    steps = [due.step for _, due in events]
    assert steps[0] == Step.WAIT  # one packet of patience
    assert set(steps[1:101]) == {Step.PLAY}
    assert set(steps[101:]) == {Step.WAIT}


@given(st.permutations(range(6)))
def test_any_order_within_the_delay_plays_in_order(order):
    arrivals = [(0.1 + 0.001 * place, packet(seq)) for place, seq in enumerate(order)]
    buffer, events = play(arrivals, seconds=0.5)
    assert played(events) == list(range(6))
    assert buffer.counts.late == 0


def test_duplicates_are_dropped_and_counted():
    buffer, events = play(through(Channel(duplicate=1, jitter_ms=15, seed=1), 200), seconds=6)
    assert played(events) == list(range(200))
    assert buffer.counts.duplicate == 200
    assert buffer.counts.received == 200


def test_losses_are_told_at_their_time_and_only_they():
    arrivals = [(i * PACKET_S, packet(i, last=i == 99)) for i in range(100) if i not in (10, 11, 40)]
    _, events = play(arrivals, seconds=2)
    lost = [due.seq for _, due in events if due.step == Step.LOSE]
    assert lost == [10, 11, 40]


def test_a_late_packet_is_counted_dropped_and_remembered():
    arrivals = [(i * PACKET_S + (0.5 if i == 50 else 0), packet(i, last=i == 99)) for i in range(100)]
    buffer, events = play(arrivals, seconds=2.5)
    assert 50 not in played(events)
    assert buffer.counts.late == 1
    assert buffer.counts.lost == 1


def test_jitter_is_absorbed_after_it_has_been_seen():
    channel = Channel(jitter_ms=40, seed=2)
    buffer, events = play(through(channel, 3000), seconds=61)
    missed = [due.seq for now, due in events if due.step == Step.LOSE]
    assert len(missed) < 0.05 * 3000
    assert len([seq for seq in missed if seq > 100]) < 0.03 * 2900
    assert 0.03 < buffer.delay_s < 0.08
    assert buffer.counts.late == len(missed)


def test_growth_is_at_once_and_shrinking_slow():
    """Delay jumps from 0 to 200 ms for ten seconds and back."""
    arrivals = [(i * PACKET_S + (0.2 if 500 <= i < 1000 else 0.0), packet(i)) for i in range(2500)]
    buffer, events = play(arrivals, seconds=49)
    holds = [now for now, due in events if due.step == Step.HOLD]
    assert 9 <= len(holds) <= 11
    assert max(holds) < 10.0 + 0.2 + 2.0
    skips = [now for now, due in events if due.step == Step.SKIP]
    assert 8 <= len(skips) <= 11
    assert min(skips) > 20.0
    assert all(b - a >= 1.0 - 1e-9 for a, b in pairwise(skips))
    assert buffer.delay_s < 0.05


def test_shrinking_waits_for_a_quiet_moment():
    arrivals = [(i * PACKET_S + (0.1 if i < 200 else 0.0), packet(i)) for i in range(1000)]
    loud_until = 12.0
    _, events = play(arrivals, seconds=20, quiet=lambda now: now > loud_until)
    skips = [now for now, due in events if due.step == Step.SKIP]
    assert skips
    assert min(skips) > loud_until


def test_the_percentile_is_that_of_the_last_two_seconds():
    buffer = JitterBuffer(PACKET_S)
    for i in range(100):
        buffer.put(packet(i), i * PACKET_S + (0.1 if i % 10 == 0 else 0.0))
    assert buffer.target_s == pytest.approx(0.1 + MARGIN_S)  # a tenth are late, so the 95th percentile is
    for i in range(100, 201):
        buffer.put(packet(i), i * PACKET_S)
    assert buffer.target_s == pytest.approx(MARGIN_S)


def test_delay_is_clamped():
    buffer = JitterBuffer(PACKET_S, min_delay_s=0.06, max_delay_s=0.1)
    for i in range(50):
        buffer.put(packet(i), i * PACKET_S)
    assert buffer.target_s == pytest.approx(0.06)
    for i in range(50, 100):
        buffer.put(packet(i), i * PACKET_S + (0.5 if i % 2 else 0))
    assert buffer.target_s == pytest.approx(0.1)
    for bad in ({"min_delay_s": -1}, {"min_delay_s": 2}, {"max_delay_s": 0.001}):
        with pytest.raises(OptionError):
            JitterBuffer(PACKET_S, **bad)


def test_a_copy_stands_in_for_what_did_not_come():
    buffer = JitterBuffer(PACKET_S)
    for seq in (0, 2, 3):
        buffer.put(packet(seq), seq * PACKET_S)
    buffer.put_copy(packet(1, size=5))
    buffer.put_copy(packet(3, size=5))  # the packet itself is there
    dues = [buffer.pull(0.1 + i * PACKET_S) for i in range(4)]
    assert [due.seq for due in dues] == [0, 1, 2, 3]
    assert [due.copied for due in dues] == [False, True, False, False]
    assert len(dues[1].packet.payload) == 5
    assert len(dues[3].packet.payload) == 20


def test_the_real_packet_replaces_its_copy():
    buffer = JitterBuffer(PACKET_S)
    buffer.put(packet(0), 0)
    buffer.put_copy(packet(1, size=5))
    buffer.put(packet(1), 0.01)
    dues = [buffer.pull(0.05 + i * PACKET_S) for i in range(2)]
    assert not dues[1].copied


def test_two_seconds_of_nothing_are_lost_and_play_goes_on():
    arrivals = [(i * PACKET_S, packet(i, last=i == 499)) for i in range(500) if not 200 <= i < 300]
    buffer, events = play(arrivals, seconds=11)
    assert played(events) == [i for i in range(500) if not 200 <= i < 300]
    when = {due.seq: now for now, due in events if due.packet is not None}
    assert when[300] - when[199] == pytest.approx(101 * PACKET_S, abs=PACKET_S)
    assert buffer.counts.lost == 100


def test_a_pause_of_the_sender_gives_little_up():
    """Numbers go on where they stopped, five seconds later."""
    arrivals = [(i * PACKET_S + (5 if i >= 100 else 0), packet(i, last=i == 299)) for i in range(300)]
    buffer, events = play(arrivals, seconds=14)
    assert set(played(events)) >= set(range(100)) | set(range(111, 300))
    assert buffer.delay_s < 0.1
    assert buffer.finished


def test_a_jump_ahead_starts_over():
    first, jump = 20_000, 10_000
    arrivals = [(i * PACKET_S, packet(first + i + (jump if i >= 100 else 0))) for i in range(200)]
    buffer, events = play(arrivals, seconds=5)
    assert buffer.counts.resyncs == 1
    assert played(events)[-100:] == list(range(first + 100 + jump, first + 200 + jump))


def test_what_lies_far_behind_is_late_and_changes_nothing():
    arrivals = [(i * PACKET_S, packet(20_000 + i, last=i == 199)) for i in range(200)]
    arrivals += [(1.0 + i * PACKET_S, packet(5000 + i)) for i in range(50)]
    buffer, events = play(arrivals, seconds=5)
    assert played(events) == list(range(20_000, 20_200))
    assert (buffer.counts.late, buffer.counts.resyncs, buffer.counts.held) == (50, 0, 0)


def test_packets_of_several_frames_count_frames():
    buffer = JitterBuffer(0.1, frames=5)
    for seq in (0, 5, 15, 7):
        buffer.put(packet(seq), 0.02 * seq)
    dues = [buffer.pull(0.12 + 0.1 * i) for i in range(4)]
    assert [(due.step, due.seq) for due in dues] == [
        (Step.PLAY, 0), (Step.PLAY, 5), (Step.LOSE, 10), (Step.PLAY, 15)
    ]  # fmt: skip
    assert buffer.counts.refused == 1


def test_play_out_begins_later_by_what_the_decoder_looks_ahead():
    buffer = JitterBuffer(PACKET_S, lookahead_s=0.02)
    buffer.put(packet(0), 1.0)
    assert buffer.pull(1.03).step == Step.WAIT
    assert buffer.pull(1.041).step == Step.PLAY


def test_the_first_packet_lost_and_everything_lost():
    _, events = play([(i * PACKET_S, packet(i)) for i in range(1, 50)], seconds=2)
    assert played(events) == list(range(1, 50))
    buffer, events = play([], seconds=2)
    assert {due.step for _, due in events} == {Step.WAIT}
    assert (buffer.level, buffer.delay_s, buffer.target_s) == (0, 0, 0)


def test_numbers_beyond_sixteen_bits_are_numbers():
    arrivals = [(i * PACKET_S, packet(65_500 + i)) for i in range(100)]
    _, events = play(arrivals, seconds=3)
    assert played(events) == list(range(65_500, 65_600))


def test_memory_is_bounded_whatever_comes():
    buffer = JitterBuffer(PACKET_S)
    rng = random.Random(1)
    for i in range(20_000):
        buffer.put(packet(rng.randrange(1 << 40) if i % 2 else i), i * 1e-4)
        assert buffer.level <= 400
    for i in range(5000):
        buffer.put(packet(i), 10.0)  # all at once
    assert buffer.level <= 400
    assert len(buffer._received) <= 2000


def test_a_change_of_rate_is_no_matter():
    arrivals = [(i * PACKET_S, packet(i, size=10 + 50 * (i > 50))) for i in range(100)]
    _, events = play(arrivals, seconds=3)
    assert [len(due.packet.payload) for _, due in events if due.packet] == [10] * 51 + [60] * 49


@given(st.integers(0, 10**6), st.floats(0, 0.3), st.floats(0, 120), st.floats(0, 0.3))
def test_whatever_the_network_does_each_packet_is_played_once_in_order(seed, loss, jitter_ms, duplicate):
    channel = Channel(loss=loss, jitter_ms=jitter_ms, duplicate=duplicate, seed=seed)
    buffer, events = play(through(channel, 150), seconds=6)
    seqs = played(events)
    assert seqs == sorted(set(seqs))
    arrived = 150 - channel.num_lost
    assert buffer.counts.received == arrived
    assert len(seqs) + buffer.counts.late == arrived


def test_copies_at_odd_distances_or_far_off_are_not_kept():
    buffer = JitterBuffer(0.1, frames=5)
    buffer.put(Packet(100, 0, 0, b"x", key=True), 0)
    for seq in (95, 103, 105, 110, 10**9 * 5):
        buffer.put_copy(Packet(seq, 0, 0, b"copy", key=True))
    taken = [buffer.pull(0.2 + 0.1 * i) for i in range(4)]
    assert [(due.seq, due.copied) for due in taken] == [(100, False), (105, True), (110, True), (115, False)]
    assert taken[3].step == Step.LOSE
    assert not buffer._copies


def test_an_end_that_a_decoder_refuses_is_no_end():
    buffer = JitterBuffer(PACKET_S)
    for seq in range(20):
        buffer.put(packet(seq, last=seq in (5, 19)), seq * PACKET_S)
    steps = []
    for tick in range(24):
        due = buffer.pull(1 + tick * PACKET_S)
        steps.append((due.step, due.seq))
        if due.seq == 5:
            assert buffer.finished
            buffer.go_on()
            assert not buffer.finished
    assert [seq for step, seq in steps if step in (Step.PLAY, Step.SKIP)] == list(range(20))
    assert buffer.finished


def test_an_end_that_comes_late_is_the_end():
    buffer = JitterBuffer(PACKET_S)
    for seq in range(3):
        buffer.put(packet(seq), seq * PACKET_S)
    for tick in range(5):
        buffer.pull(0.05 + tick * PACKET_S)
    assert buffer.counts.lost == 2
    buffer.put(packet(1, last=True), 0.15)  # a duplicate, and no end: packets after it were played
    assert not buffer.finished
    buffer.put(packet(3, last=True), 0.15)
    assert buffer.finished
