"""What every codec with sessions must do under this folder's transport."""

import io

import numpy as np
import pytest

import narrows
from narrows import registry
from narrows.streaming import wire
from narrows.streaming.channel import Channel
from narrows.streaming.live import Receiver, Sender
from narrows.streaming.recording import Recording, Replay

RATES = {"pcm": (16_000, 1), "speech": (16_000, 1), "music": (48_000, 2)}


def streaming():
    names = [name for name in registry.CODECS if name in RATES]
    return [*sorted(names), "pcm"]


@pytest.fixture(params=streaming())
def kind(request):
    """Name, rate, channels and two seconds of sound."""
    rate_hz, channels = RATES[request.param]
    t = np.arange(2 * rate_hz + 77) / rate_hz
    tones = [np.sin(2 * np.pi * (200 + 150 * c + 90 * t) * t) * np.sin(5 * t) for c in range(channels)]
    return request.param, rate_hz, channels, (9000 * np.stack(tones, axis=1)).astype(np.int16)


def coded(kind, **options):
    name, rate_hz, channels, sound = kind
    session = narrows.encoder(name, sample_rate_hz=rate_hz, channels=channels, **options)
    return session, session.push(sound) + session.finish()


def decoded(header, packets):
    decoder = narrows.decoder(header)
    return np.concatenate([*(decoder.push(packet) for packet in packets), decoder.finish()])


def through(kind, channel, *, skip=0, seconds=3.0, **options):
    """Send in real time through a simulated network; what was heard, and the stream as received."""
    name, rate_hz, channels, sound = kind
    sender = Sender(narrows.encoder(name, sample_rate_hz=rate_hz, channels=channels), session_id=1)
    receiver = Receiver(narrows.decoder, **options)
    step = rate_hz // 50
    arrivals = []
    for i in range(-(-len(sound) // step)):
        datagrams = sender.push(sound[i * step : (i + 1) * step], i * 0.02)
        if (i + 1) * step >= len(sound):
            datagrams += sender.finish(i * 0.02)
        for datagram in datagrams if i >= skip else []:
            arrivals += channel.send(datagram, i * 0.02)
    arrivals.sort(key=lambda pair: pair[0])
    heard, incoming = [], None
    for tick in range(round(seconds * 200)):
        now = tick * 0.005
        while arrivals and arrivals[0][0] <= now:
            at, datagram = arrivals.pop(0)
            for answer in receiver.handle(datagram, at):
                for one in sender.handle(answer, at):
                    receiver.handle(one, at)
        for incoming in receiver.streams.values():
            block = incoming.playout.read(rate_hz // 200, now)
            if incoming.playout.started:
                heard.append(block)
    return np.concatenate(heard), incoming


def test_the_wire_changes_no_sample(kind):
    session, packets = coded(kind)
    sending, receiving = wire.Stream(session.header, 7), wire.Stream(session.header, 7)
    passed = [wire.unpack(wire.pack(packet, sending), receiving) for packet in packets]
    assert np.array_equal(decoded(session.header, passed), decoded(session.header, packets))


def test_a_sound_network_plays_what_decoding_gives(kind):
    session, packets = coded(kind)
    heard, incoming = through(kind, Channel())
    expected = decoded(session.header, packets)
    assert len(expected) == len(kind[3])
    assert np.array_equal(heard, expected)
    assert incoming.playout.played.concealed == 0
    assert incoming.playout.finished


def test_jitter_changes_no_sample_either(kind):
    session, packets = coded(kind)
    heard, incoming = through(kind, Channel(jitter_ms=30, duplicate=0.2, seed=2), min_delay_s=0.12)
    if incoming.playout.buffer.counts.skipped == 0:
        assert np.array_equal(heard, decoded(session.header, packets))
    assert incoming.playout.buffer.counts.lost == 0


def test_loss_costs_no_time(kind):
    heard, incoming = through(kind, Channel(loss=0.1, burst=2, seed=4))
    counts = incoming.playout.buffer.counts
    assert counts.lost > 0
    step = kind[1] // 50
    length = len(kind[3]) + step * (counts.held // 1 - counts.skipped)
    assert len(heard) == pytest.approx(length, abs=5 * step)
    assert np.isfinite(heard).all()


def test_who_joins_late_hears_the_rest(kind):
    session, packets = coded(kind)
    heard, _ = through(kind, Channel(), skip=40)
    expected = decoded(session.header, packets)
    settled = 3 * kind[1] // 50
    size = len(heard) - settled
    assert size > 40 * kind[1] // 50
    assert np.array_equal(heard[-size:], expected[-size:])


def test_recordings_decode_to_what_decoding_gives(kind):
    session, packets = coded(kind)
    file = io.BytesIO()
    recording = Recording(file, session.header)
    stream = wire.Stream(session.header, 7)
    for packet in packets:
        recording.add(wire.unpack(wire.pack(packet, stream), stream))
    recording.finish()
    expected = decoded(session.header, packets)
    assert np.array_equal(narrows.decode(file.getvalue()).samples, expected)
    assert np.array_equal(np.concatenate(list(Replay(io.BytesIO(file.getvalue())))), expected)


def test_a_recording_with_holes_keeps_its_length(kind):
    session, packets = coded(kind)
    file = io.BytesIO()
    recording = Recording(file, session.header)
    for packet in packets:
        if packet.seq not in (3, 4, 30) and not 60 <= packet.seq < 70:
            recording.add(packet)
    recording.finish()
    samples = narrows.decode(file.getvalue()).samples
    assert len(samples) == len(kind[3])
    assert np.array_equal(np.concatenate(list(Replay(io.BytesIO(file.getvalue())))), samples)
    step = kind[1] // 50
    early = 2 * step
    assert np.array_equal(samples[:early], decoded(session.header, packets)[:early])
