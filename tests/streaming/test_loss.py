"""Packets that do not come: what sessions of real codecs make of it, and how soon all is as before."""

import numpy as np
import pytest

import narrows
from narrows.contracts import Packet
from narrows.errors import PacketError
from narrows.streaming import wire
from narrows.streaming.channel import Channel, GilbertElliott
from narrows.streaming.live import Receiver, Sender, arrived_packets

KINDS = {"speech": (16_000, 1), "speech at 24 kHz": (24_000, 1), "music": (48_000, 2)}


@pytest.fixture(params=KINDS)
def coded(request):
    """Header, packets, samples, rate: three seconds of a voice-like sound."""
    rate_hz, channels = KINDS[request.param]
    t = np.arange(3 * rate_hz) / rate_hz
    pitch = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate_hz
    voice = sum(np.sin(k * pitch + k) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * t))
    sound = np.stack([0.15 * voice * (1 - 0.3 * c) for c in range(channels)], axis=1).astype(np.float32)
    session = narrows.encoder(
        request.param.split()[0], sample_rate_hz=rate_hz, channels=channels, kbps=24 * channels
    )
    packets = session.push(sound) + session.finish()
    decoder = narrows.decoder(session.header)
    return session.header, packets, [decoder.push(packet) for packet in packets], rate_hz


def received(header, packets, lost):
    decoder = narrows.decoder(header)
    return [decoder.push(None if gone else packet) for packet, gone in zip(packets, lost, strict=True)]


@pytest.mark.parametrize(("loss", "burst"), [(0.05, None), (0.2, None), (0.2, 3), (0.6, 4)])
def test_every_packet_that_came_decodes_and_heals(coded, loss, burst):
    """A packet after a gap is right from the block behind the overlap on, and so is all that follows."""
    header, packets, expected, rate_hz = coded
    lost = [*GilbertElliott(loss, burst, seed=3).pattern(len(packets) - 1), False]
    assert any(lost)
    blocks = received(header, packets, lost)
    overlap = rate_hz // (100 if rate_hz < 40_000 else 50)
    for number, (block, right) in enumerate(zip(blocks, expected, strict=True)):
        assert len(block) == len(right)
        if lost[number]:
            continue
        healed = 0 if number == 0 or not lost[number - 1] else overlap
        assert np.array_equal(block[healed:], right[healed:]), number


def test_a_lost_packet_sounds_like_what_it_was(coded):
    """Nearer to it than silence, and than the packet before it played again."""
    header, packets, expected, rate_hz = coded
    if rate_hz > 24_000:
        pytest.skip("music repeats its last spectrum: the same sound, not the same wave")
    concealed, again = [], []
    for gone in range(20, len(packets) - 2, 3):
        lost = [number == gone for number in range(len(packets))]
        block = received(header, packets[: gone + 1], lost[: gone + 1])[gone]
        energy = np.sum(expected[gone] ** 2)
        concealed.append(np.sum((block - expected[gone]) ** 2) / energy)
        again.append(np.sum((expected[gone - 1] - expected[gone]) ** 2) / energy)
    assert np.median(concealed) < 0.5
    assert np.median(concealed) < 0.7 * np.median(again)


def test_nothing_heard_is_silence(coded):
    header, packets, expected, _ = coded
    everything = received(header, packets[:-1], [True] * (len(packets) - 1))
    assert not np.concatenate(everything).any()
    first = received(header, packets[:10], [True] + [False] * 9)
    assert not first[0].any()
    assert np.array_equal(np.concatenate(first[2:]), np.concatenate(expected[2:10]))


def test_a_gap_of_two_seconds_fades_to_silence_and_ends(coded):
    header, packets, expected, _ = coded
    lost = [20 <= number < 120 for number in range(len(packets))]
    blocks = received(header, packets, lost)
    loudness = [float(np.sqrt(np.mean(block**2))) if len(block) else 0.0 for block in blocks]
    assert max(loudness[20:70]) < 1.5 * loudness[19]
    assert loudness[45] < 0.1 * loudness[19]
    assert not np.concatenate(blocks[72:120]).any()
    assert np.array_equal(np.concatenate(blocks[121:]), np.concatenate(expected[121:]))


def test_a_gap_that_a_packet_ends_is_the_same_as_packets_lost_one_by_one(coded):
    header, packets, _, _ = coded
    lost = [number in (7, 8, 30) for number in range(60)]
    one_by_one = np.concatenate(received(header, packets[:60], lost))
    decoder = narrows.decoder(header)
    came = [packet for packet, gone in zip(packets[:60], lost, strict=True) if not gone]
    assert np.array_equal(np.concatenate([decoder.push(packet) for packet in came]), one_by_one)


def test_states_saved_inside_a_gap_go_on(coded):
    header, packets, _, _ = coded
    lost = [number % 4 in (1, 2) for number in range(40)]
    whole = received(header, packets[:40], lost)
    state, blocks = None, []
    for packet, gone in zip(packets[:40], lost, strict=True):
        decoder = narrows.decoder(header, state=state)
        blocks.append(decoder.push(None if gone else packet))
        state = decoder.save()
    assert np.array_equal(np.concatenate(blocks), np.concatenate(whole))
    assert len(state) < (16_000 if header.find(b"speech") > 0 else 64_000)


def test_the_sequence_wraps_unheard(coded):
    """Packets around 65,536: the wire has 16 bits, the stream and its noise go on."""
    header, packets, expected, _ = coded
    shift = 65_536 - 40
    sending, receiving = wire.Stream(header, 7, shift), wire.Stream(header, 7, shift)
    frame = packets[1].time
    decoder = narrows.decoder(header)
    decoder.seek(shift)
    blocks = []
    for packet in packets[:-1]:
        moved = Packet(packet.seq + shift, packet.time + shift * frame, 0, packet.payload, True)
        blocks.append(decoder.push(wire.unpack(wire.pack(moved, sending), receiving)))
    assert receiving.seq == shift + len(packets) - 2
    # Noise is seeded by the frame's number, so that samples differ a little.
    wrapped = np.concatenate(blocks[42:])
    difference = wrapped - np.concatenate(expected[42:-1])[: len(wrapped)]
    assert np.sqrt(np.mean(difference**2)) < 0.1 * np.sqrt(np.mean(wrapped**2))


def test_another_streams_packet_changes_nothing(coded):
    header, packets, expected, _ = coded
    stranger = wire.Stream(header, 0x107)  # the same header and stream byte, another session
    receiving = wire.Stream(header, 7)
    datagram = wire.pack(packets[5], stranger)
    with pytest.raises(PacketError, match="checksum"):
        wire.unpack(datagram, receiving)
    decoder = narrows.decoder(header)
    other = "music" if b"speech" in header else "speech"
    rate_hz, channels = KINDS[other]
    foreign = narrows.encoder(other, sample_rate_hz=rate_hz, channels=channels)
    noise = np.random.default_rng(1).normal(0, 0.1, (rate_hz, channels)).astype(np.float32)
    odd = foreign.push(noise)
    blocks = []
    for packet in packets:
        state = decoder.save()
        try:
            decoder.push(Packet(packet.seq, 0, 0, odd[packet.seq % len(odd)].payload, True))
        except PacketError:
            assert decoder.save() == state
        decoder = narrows.decoder(header, state=state)
        blocks.append(decoder.push(packet))
    assert np.array_equal(np.concatenate(blocks), np.concatenate(expected))


@pytest.mark.parametrize("redundancy", [1, 2])
@pytest.mark.parametrize("options", [{"kbps": 12}, {"quality": 40}, {"kbps": 12, "constant": True}])
def test_copies_stand_for_packets_that_were_lost(redundancy, options):
    # Another note every 30 ms: nothing before a gap says what was in it.
    notes = np.random.default_rng(1).uniform(150, 1500, 100).repeat(480)
    sound = (0.3 * np.sin(2 * np.pi * np.cumsum(notes) / 16_000)).astype(np.float32)[:, np.newaxis]
    session = narrows.encoder("speech", sample_rate_hz=16_000, redundancy=redundancy, **options)
    packets = session.push(sound) + session.finish()
    distances = [tuple(distance for distance, _ in packet.copies) for packet in packets]
    assert distances == [tuple(range(1, min(redundancy, seq) + 1)) for seq in range(len(packets))]
    own = sum(len(packet.payload) for packet in packets)
    copied = sum(len(payload) for packet in packets for _, payload in packet.copies)
    assert 0.1 * redundancy < copied / own < 0.8 * redundancy
    exact = decode(session.header, packets)
    lost = [seq % 5 == 3 for seq in range(len(packets))]
    came = [packet for packet in packets if not lost[packet.seq]]
    copies = {copy.seq: copy for packet in came for copy in wire.copy_packets(packet)}
    concealed = decode(session.header, [None if lost[p.seq] else p for p in packets])
    repaired = decode(session.header, [copies.get(p.seq) if lost[p.seq] else p for p in packets])
    assert len(repaired) == len(exact) == len(sound)
    assert np.sum((repaired - exact) ** 2) < 0.7 * np.sum((concealed - exact) ** 2)


def decode(header, packets):
    decoder = narrows.decoder(header)
    return np.concatenate([decoder.push(packet) for packet in packets])


def test_copies_survive_a_saved_state_and_are_not_in_files(speech):
    options = {"sample_rate_hz": 16_000, "kbps": 12, "redundancy": 2}
    session = narrows.encoder("speech", **options)
    packets = session.push(speech) + session.finish()
    state, split = None, []
    for first in range(0, len(speech), 1000):
        session = narrows.encoder("speech", state=state, **options)
        split += session.push(speech[first : first + 1000])
        state = session.save()
    split += session.finish()
    assert split == packets
    sound = narrows.Audio(speech, 16_000)
    assert narrows.encode(sound, "speech", redundancy=2) == narrows.encode(sound, "speech")


def test_copies_of_long_packets_are_within_reach_or_refused(speech):
    session = narrows.encoder("speech", sample_rate_hz=16_000, redundancy=2, packet_frames=5)
    packets = session.push(speech)
    assert [distance for distance, _ in packets[4].copies] == [5, 10]
    assert [copy.seq for copy in wire.copy_packets(packets[4])] == [15, 10]
    for options in ({"redundancy": 3}, {"redundancy": 2, "packet_frames": 200}):
        with pytest.raises(narrows.errors.OptionError):
            narrows.encoder("speech", sample_rate_hz=16_000, **options)


@pytest.mark.parametrize("redundancy", [1, 2])
@pytest.mark.parametrize("jitter_ms", [0, 40])
def test_play_out_waits_for_copies(speech, redundancy, jitter_ms):
    """What is concealed is what no copy came of, and what was lost before any copy was seen."""
    options = {"sample_rate_hz": 16_000, "kbps": 12}
    sender = Sender(narrows.encoder("speech", redundancy=redundancy, **options), session_id=1)
    receiver, channel = Receiver(narrows.decoder), Channel(loss=0.15, delay_ms=5, jitter_ms=jitter_ms, seed=2)
    arrivals = []
    for number in range(500):
        now_s = number * 0.02
        for datagram in sender.push(speech[number * 320 :][:320], now_s):
            passes = channel.send(datagram, now_s) if number > 0 else [(now_s, datagram)]
            arrivals += [(arrival_s, number, datagram) for arrival_s, datagram in passes]
    arrivals.sort()
    for tick in range(10 * 200):
        while arrivals and arrivals[0][0] <= tick * 0.005:
            arrival_s, _, datagram = arrivals.pop(0)
            receiver.handle(datagram, arrival_s)
        for incoming in receiver.streams.values():
            incoming.playout.read(80, tick * 0.005)
    counts = incoming.playout.buffer.counts
    arrived = {time // 320 for time in arrived_packets(channel.log)} | {0}
    beyond_repair = [
        seq for seq in range(490)
        if seq not in arrived and not any(seq + k in arrived for k in range(1, redundancy + 1))
    ]  # fmt: skip
    assert counts.copied > 40
    assert counts.lost <= len(beyond_repair) + (1 if jitter_ms == 0 else 15)
