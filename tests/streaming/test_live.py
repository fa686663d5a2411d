"""Senders and receivers over a simulated network, in simulated time."""

import heapq
import io
import random

import numpy as np
import pytest

import narrows
from narrows.contracts import Packet
from narrows.errors import OptionError, PacketError
from narrows.streaming import wire
from narrows.streaming.channel import Channel
from narrows.streaming.live import Receiver, Sender, arrived_packets
from narrows.streaming.recording import Recording

RATE_HZ = 16_000
BLOCK = 320


class Network:
    """Delivers datagrams between one receiver and its senders, each with a channel of its own."""

    def __init__(self, receiver, **sides):
        self.receiver, self.sides = receiver, sides
        self._events = []
        self._number = 0
        self.requests = 0

    def send(self, name, datagrams, now):
        for datagram in datagrams:
            for arrival, one in self.sides[name][1].send(datagram, now):
                heapq.heappush(self._events, (arrival, self._number, name, one))
                self._number += 1

    def run(self, now):
        while self._events and self._events[0][0] <= now:
            arrival, _, name, datagram = heapq.heappop(self._events)
            for answer in self.receiver.handle(datagram, arrival, name):
                self.requests += 1
                self.send(name, self.sides[name][0].handle(answer, arrival), arrival)
        for name, report in self.receiver.reports(now):
            self.sides[name][0].handle(report, now)


def run(sounds, channels, *, seconds, **playout):
    """Send each sound through its channel; what was heard of each, and the network."""
    receiver = Receiver(narrows.decoder, **playout)
    sides = {
        name: (Sender(narrows.encoder("pcm", sample_rate_hz=RATE_HZ), session_id=number * 0x100 + 7), channel)
        for number, (name, channel) in enumerate(channels.items(), 1)
    }
    network = Network(receiver, **sides)
    heard = {name: [] for name in sounds}
    for tick in range(round(seconds * 200)):
        now = tick * 0.005
        block, rest = divmod(tick, 4)
        for name, sound in sounds.items():
            part = sound[block * BLOCK : (block + 1) * BLOCK]
            if rest == 0 and len(part):
                network.send(name, sides[name][0].push(part, now), now)
                if (block + 1) * BLOCK >= len(sound):
                    network.send(name, sides[name][0].finish(now), now)
        network.run(now)
        for incoming in receiver.streams.values():
            block = incoming.playout.read(80, now)
            if incoming.playout.started:
                heard[incoming.address].append(block)
    return {name: np.concatenate(parts or [np.zeros((0, 1))]) for name, parts in heard.items()}, network


def test_a_stream_arrives_as_it_was(speech):
    heard, network = run({"a": speech}, {"a": Channel()}, seconds=11)
    assert np.array_equal(heard["a"], speech / np.float32(32_768))
    sender = network.sides["a"][0]
    (incoming,) = network.receiver.streams.values()
    assert network.requests == 0
    assert network.receiver.counts["refused"] == 0
    assert incoming.statistics(11)["loss"] == 0
    assert incoming.playout.buffer.counts.duplicate == 2  # the last packet comes three times
    assert sender.report.num_lost == 0
    assert sender.report.highest_seq == 500


def test_two_streams_with_one_stream_byte_share_a_port(speech):
    sounds = {"a": speech[:32_000], "b": speech[32_000:64_000]}
    heard, network = run(sounds, {"a": Channel(), "b": Channel(delay_ms=30)}, seconds=3)
    assert {s.stream.byte for s in network.receiver.streams.values()} == {7}
    for name, sound in sounds.items():
        assert np.array_equal(heard[name], sound / np.float32(32_768))


class LosesFirst(Channel):
    """A network that loses the first datagrams, the header among them."""

    def __init__(self, count):
        super().__init__(delay_ms=5)
        self._count = count

    def send(self, datagram, now_s):
        passed = super().send(datagram, now_s)
        return [] if len(self.log) <= self._count else passed


def test_a_lost_header_is_asked_for_and_no_packet_that_came_is_wasted(speech):
    heard, network = run({"a": speech[:32_000]}, {"a": LosesFirst(1)}, seconds=3)
    assert network.requests >= 1
    assert np.array_equal(heard["a"], speech[:32_000] / np.float32(32_768))


def test_the_first_packets_lost_and_everything_lost(speech):
    heard, network = run({"a": speech[:32_000]}, {"a": LosesFirst(5)}, seconds=3)
    assert np.array_equal(heard["a"], speech[4 * BLOCK : 32_000] / np.float32(32_768))
    heard, network = run({"a": speech[:32_000]}, {"a": Channel(loss=1)}, seconds=3)
    assert len(heard["a"]) == 0
    assert network.receiver.streams == {}


def test_statistics_are_those_of_the_simulators_log(speech):
    channel = Channel(loss=0.05, jitter_ms=40, duplicate=0.02, seed=5)
    sound = np.concatenate([speech] * 3)
    heard, network = run({"a": sound}, {"a": channel}, seconds=32)
    (incoming,) = network.receiver.streams.values()
    found = incoming.statistics(32)
    sizes = [len(wire.pack_header(incoming.stream)) + extra for extra in (0, 1, 2, 3)]
    packets = [passage for passage in channel.log if passage.num_bytes not in sizes]
    lost = sum(passage.lost for passage in packets)
    arrived = len(arrived_packets(channel.log))
    assert (found["packets"], found["missing"]) == (arrived, 1501 - arrived)
    assert 0 <= lost - found["missing"] <= 2  # the last packet is sent three times
    assert found["loss"] == pytest.approx(lost / len(packets), abs=0.002)
    doubled = sum(len(passage.arrivals_s) == 2 for passage in packets)
    assert found["duplicate"] == pytest.approx(doubled, abs=2)
    assert found["concealed_ms"] == pytest.approx(20 * (found["missing"] + found["late"]), abs=41)
    assert 30 < found["jitter_delay_ms"] < 80
    assert incoming.statistics(35)["payload_kbps"] == 0
    assert 5 < found["jitter_ms"] < 25
    assert found["drift_ppm"] == 0
    assert len(heard["a"]) == pytest.approx(len(sound), abs=3 * BLOCK)
    report = network.sides["a"][0].report
    assert (report.num_received, report.num_lost) == (found["packets"], found["missing"])


def test_rate_is_that_of_the_payload(speech):
    _, network = run({"a": speech}, {"a": Channel()}, seconds=5)
    (incoming,) = network.receiver.streams.values()
    assert incoming.statistics(5)["payload_kbps"] == pytest.approx(256, rel=0.02)
    assert network.sides["a"][0].statistics(5)["payload_kbps"] == pytest.approx(256, rel=0.02)


def test_a_sender_that_starts_again_is_a_new_stream(speech):
    receiver = Receiver(narrows.decoder)
    for session in (1, 2):
        sender = Sender(narrows.encoder("pcm", sample_rate_hz=RATE_HZ), session_id=session)
        for datagram in sender.push(speech[:3200], float(session)):
            receiver.handle(datagram, float(session), "a")
    assert set(receiver.streams) == {1, 2}
    assert [s.playout.buffer.counts.received for s in receiver.streams.values()] == [10, 10]


def test_an_ended_stream_stays_ended(speech):
    receiver = Receiver(narrows.decoder)
    sender = Sender(narrows.encoder("pcm", sample_rate_hz=RATE_HZ), session_id=1)
    datagrams = sender.push(speech[:3200], 0) + sender.finish(0)
    for datagram in datagrams:
        receiver.handle(datagram, 0)
    receiver.close(1)
    for datagram in datagrams:
        receiver.handle(datagram, 1)
    assert receiver.streams == {}


def test_headers_come_once_a_second_and_on_request(speech):
    sender = Sender(narrows.encoder("pcm", sample_rate_hz=RATE_HZ), session_id=5)
    kinds = []
    for i in range(150):
        now = i * 0.02
        kinds += [(now, wire.kind_and_byte(d)[0]) for d in sender.push(speech[i * 320 : (i + 1) * 320], now)]
    assert kinds[0][1] == wire.Kind.HEADER
    assert [round(now) for now, kind in kinds if kind == wire.Kind.HEADER] == [0, 1, 2]
    (answer,) = sender.handle(wire.pack_request(5), 3.0)
    assert wire.unpack_header(answer).seq == 149
    with pytest.raises(PacketError):
        sender.handle(wire.pack_request(6), 3.0)
    with pytest.raises(PacketError):
        sender.handle(b"nonsense", 3.0)


def test_whatever_arrives_a_receiver_goes_on(speech):
    """Noise, damage, truncation, other people's packets, between the real ones."""
    rng = random.Random(1)
    receiver = Receiver(narrows.decoder)
    sender = Sender(narrows.encoder("pcm", sample_rate_hz=RATE_HZ), session_id=0x1234)
    other = wire.Stream(sender.stream.header, 0x9934)
    for i in range(100):
        now = i * 0.02
        for datagram in sender.push(speech[i * 320 : (i + 1) * 320], now):
            damaged = bytearray(datagram)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            receiver.handle(bytes(damaged), now, "x")
            receiver.handle(datagram[: rng.randrange(len(datagram))], now, "x")
            receiver.handle(rng.randbytes(rng.randrange(1400)), now, "x")
            receiver.handle(wire.pack(Packet(i, i * 320, 0, b"zz", key=True), other), now, "x")
            receiver.handle(datagram, now, "a")
    (incoming,) = receiver.streams.values()
    assert incoming.playout.buffer.counts.received == 100
    assert receiver.counts["refused"] >= 300
    assert receiver.problem


def test_streams_that_cannot_be_opened_are_refused_with_a_reason():
    receiver = Receiver(narrows.decoder, max_streams=1)
    image = narrows.encode(narrows.Image(np.zeros((8, 8, 3), np.uint8)))
    receiver.handle(wire.pack_header(wire.Stream(image[: image.index(b"wave") + 40], 1)), 0)
    assert receiver.streams == {}
    assert receiver.problem
    for session in (1, 2):
        encoder = narrows.encoder("pcm", sample_rate_hz=RATE_HZ)
        receiver.handle(wire.pack_header(wire.Stream(encoder.header, session)), 0)
    assert set(receiver.streams) == {1}
    assert "1 streams already" in receiver.problem


def test_requests_are_few():
    receiver = Receiver(narrows.decoder)
    stranger = wire.Stream(b"unknown", 3)
    answers = [
        answer
        for i in range(100)
        for answer in receiver.handle(
            wire.pack(Packet(i, i, 0, b"x", key=True), stranger), i * 0.02, ("host", 1)
        )
    ]
    assert len(answers) == 10  # five a second
    assert receiver.counts["without_header"] == 100
    assert "not the header" in receiver.problem


def test_a_header_that_fits_no_datagram_is_refused_at_the_start():
    class Encoder:
        header = bytes(1500)
        latency = None

    with pytest.raises(OptionError, match="header"):
        Sender(Encoder())


def test_a_header_that_asks_for_too_much_is_refused():
    receiver = Receiver(narrows.decoder)
    for rate_hz, channels in ((768_000, 255), (768_000, 64)):
        encoder = narrows.encoder("speech", sample_rate_hz=rate_hz, channels=channels, packet_frames=25)
        receiver.handle(wire.pack_header(wire.Stream(encoder.header, 1)), 0)
        assert receiver.streams == {}
        assert "max_output_bytes" in receiver.problem
    encoder = narrows.encoder("music", sample_rate_hz=48_000, channels=8, packet_frames=25)
    receiver.handle(wire.pack_header(wire.Stream(encoder.header, 2)), 0)
    assert set(receiver.streams) == {2}


@pytest.mark.parametrize("count", [10_000, 2**47])
def test_a_forged_end_ends_neither_the_stream_nor_its_recording(speech, count):
    """The checksum finds mix-ups, not forgery: who knows header and session can make such a packet."""
    name, sound = "speech", speech[:48_000]
    sender = Sender(narrows.encoder(name, sample_rate_hz=RATE_HZ), session_id=1)
    forger = wire.Stream(sender.stream.header, 1)
    receiver = Receiver(narrows.decoder)
    file = io.BytesIO()
    recording = Recording(file, sender.stream.header)
    incoming = None
    for tick in range(4 * 200):
        now = tick * 0.005
        if tick % 4 == 0 and tick // 4 * 320 < len(sound):
            datagrams = sender.push(sound[tick // 4 * 320 :][:320], now)
            if tick // 4 == 80:
                forged = Packet(80, 80 * 320, count, b"\x01\x02", key=True, last=True)
                receiver.handle(wire.pack(forged, forger), now)
            if (tick // 4 + 1) * 320 >= len(sound):
                datagrams += sender.finish(now)
            for datagram in datagrams:
                receiver.handle(datagram, now)
        for incoming in receiver.streams.values():
            incoming.playout.on_packet = recording.add
            incoming.playout.read(80, now)
    recording.finish()
    assert incoming.playout.finished
    assert incoming.playout.played.refused_packets == 1
    assert incoming.playout.buffer.counts.played > 140
    samples = narrows.decode(file.getvalue()).samples
    assert len(samples) == len(sound)
