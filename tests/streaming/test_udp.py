"""Real sockets on loopback; every test ends by itself."""

import socket
import threading
import time

import numpy as np
import pytest

import narrows
from narrows.errors import OptionError
from narrows.streaming import udp
from narrows.streaming.channel import Channel
from narrows.streaming.live import Receiver, Sender

RATE_HZ = 16_000
LIMIT_S = 20


def encoder(**options):
    return narrows.encoder("pcm", sample_rate_hz=RATE_HZ, **options)


def blocks(sound, size=320):
    return [sound[i : i + size] for i in range(0, len(sound), size)]


class Listener(threading.Thread):
    """A receive loop in a thread, that ends with the streams, or after LIMIT_S whatever happens."""

    def __init__(self, **options):
        super().__init__(daemon=True)
        self.endpoint = udp.Endpoint(("127.0.0.1", 0))
        self.receiver = Receiver(narrows.decoder, min_delay_s=options.pop("min_delay_s", 0))
        self.heard, self.closed, self.failure = {}, [], None
        self._options = {"once": True, "idle_s": 3.0, **options}
        self._end_s = time.monotonic() + LIMIT_S
        self.start()

    @property
    def address(self):
        return ("127.0.0.1", self.endpoint.port)

    def run(self):
        def opened(incoming):
            parts = self.heard.setdefault(incoming.stream.session_id, [])
            return parts.append

        def closed(incoming):
            self.closed.append((incoming.stream.session_id, incoming.statistics(time.monotonic())))

        try:
            udp.receive(
                self.receiver,
                self.endpoint,
                opened=opened,
                closed=closed,
                stop=lambda: time.monotonic() > self._end_s,
                **self._options,
            )
        except BaseException as error:
            self.failure = error

    def sound(self, session):
        return np.concatenate(self.heard[session])

    def wait(self):
        self.join(LIMIT_S + 5)
        self.endpoint.close()
        assert not self.is_alive()
        assert self.failure is None


def test_a_stream_over_loopback_is_heard_as_it_was(speech):
    """Delays are real here, so that a slow machine may hold or conceal: then what is there must still fit."""
    sound = speech[:24_000]
    listener = Listener(min_delay_s=0.3)
    with udp.Endpoint() as endpoint:
        sender = Sender(encoder(), session_id=9)
        udp.send(sender, blocks(sound), endpoint, listener.address, RATE_HZ)
    listener.wait()
    ((session, statistics),) = listener.closed
    assert session == 9
    assert statistics["missing"] == 0
    if statistics["late"] == 0 and statistics["held_ms"] == 0 and statistics["skipped"] == 0:
        assert np.array_equal(listener.sound(9), sound / np.float32(32_768))
    assert statistics["packets"] == 76


def test_a_simulated_network_is_between_and_statistics_agree_with_it(speech):
    channel = Channel(loss=0.1, burst=2, jitter_ms=20, seed=1)
    listener = Listener()
    with udp.Endpoint(channel=channel) as endpoint:
        sender = Sender(encoder(), session_id=9)
        udp.send(sender, blocks(speech[:48_000]), endpoint, listener.address, RATE_HZ)
    listener.wait()
    ((_, statistics),) = listener.closed
    lost = sum(passage.lost for passage in channel.log if passage.num_bytes > 600)
    assert lost > 5
    assert statistics["missing"] == pytest.approx(lost, abs=3)
    assert sender.report is not None  # the way back is real


def test_two_senders_one_port(speech):
    listener = Listener()
    senders = []
    for number in (0x101, 0x201):
        endpoint = udp.Endpoint()

        def work(number=number, endpoint=endpoint):
            sender = Sender(encoder(), session_id=number)
            udp.send(sender, blocks(speech[: 100 * number]), endpoint, listener.address, RATE_HZ)
            endpoint.close()

        senders.append(threading.Thread(target=work))
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join(LIMIT_S)
    listener.wait()
    assert {session for session, _ in listener.closed} == {0x101, 0x201}


def test_without_pace_a_stream_is_sent_as_fast_as_it_comes(speech):
    with udp.Endpoint() as endpoint:
        begin = time.monotonic()
        sender = Sender(encoder())
        udp.send(sender, blocks(speech), endpoint, ("127.0.0.1", 9), RATE_HZ, paced=False)
        assert time.monotonic() - begin < 5  # ten seconds of sound; nobody listens, and that is no error
    assert sender.num_packets == 501


def test_sending_stops_when_told_and_still_finishes(speech):
    ticks = []
    with udp.Endpoint() as endpoint:
        sender = Sender(encoder())
        udp.send(
            sender, blocks(speech), endpoint, ("127.0.0.1", 9), RATE_HZ, paced=False,
            stop=lambda: len(ticks) >= 10, tick=ticks.append,
        )  # fmt: skip
    assert sender.num_packets == 11


def test_a_stalled_source_stalls_no_answers(speech):
    """The source waits for an event that only an answered request sets."""
    answered = threading.Event()

    def source():
        yield speech[:320]
        answered.wait(LIMIT_S)
        yield speech[320:640]

    with udp.Endpoint(("127.0.0.1", 0)) as endpoint, udp.Endpoint() as asker:
        sender = Sender(encoder(), session_id=5)

        def ask():
            from narrows.streaming import wire

            time.sleep(0.2)
            asker.send(wire.pack_request(5), ("127.0.0.1", endpoint.port), 0)
            for datagram, _ in asker.receive(time.monotonic() + LIMIT_S):
                if wire.unpack_header(datagram).session_id == 5:
                    answered.set()
                    return

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        udp.send(sender, source(), endpoint, ("127.0.0.1", 9), RATE_HZ)
        thread.join(LIMIT_S)
    assert answered.is_set()


def test_after_a_pause_the_rest_keeps_its_pace(speech):
    times = []

    def source():
        for number, block in enumerate(blocks(speech[:6400])):
            if number == 10:
                time.sleep(1)
            yield block

    with udp.Endpoint() as endpoint:
        udp.send(
            Sender(encoder()), source(), endpoint, ("127.0.0.1", 9), RATE_HZ, tick=times.append
        )  # fmt: skip
    assert times[-2] - times[10] > 0.1  # ten blocks of 20 ms, not at once


def test_what_the_source_raises_is_raised(speech):
    def source():
        yield speech[:320]
        raise OSError(5, "unplugged")

    with udp.Endpoint() as endpoint, pytest.raises(OSError, match="unplugged"):
        udp.send(Sender(encoder()), source(), endpoint, ("127.0.0.1", 9), RATE_HZ, paced=False)


def test_a_receiver_without_senders_ends_when_idle():
    listener = Listener(idle_s=0.3)
    listener.wait()
    assert listener.closed == []


def test_a_sender_that_vanishes_is_given_up(speech):
    listener = Listener(idle_s=0.3)
    sender = Sender(encoder(), session_id=3)
    with udp.Endpoint() as endpoint:
        for datagram in sender.push(speech[:3200], 0):
            endpoint.send(datagram, listener.address, 0)
    listener.wait()
    assert [session for session, _ in listener.closed] == [3]


def test_a_port_in_use_is_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            udp.Endpoint(("127.0.0.1", port))
    assert caught.value.filename == f"127.0.0.1:{port}"


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "1:70000", ":-1"])
def test_what_is_no_address(text):
    with pytest.raises(OptionError, match="HOST:PORT"):
        udp.parse_address(text)


def test_what_is_open_is_closed_whatever_ends_the_loop(speech):
    """A disk that is full, say: the other streams' files still get their heads and ENDs."""
    closed = []

    def opened(incoming):
        def take(block):
            if incoming.stream.session_id == 2:
                raise OSError(28, "no space left")

        return take

    with udp.Endpoint(("127.0.0.1", 0)) as endpoint, udp.Endpoint() as other:
        for session in (1, 2):
            sender = Sender(encoder(), session_id=session)
            for datagram in sender.push(speech[:3200], 0):
                other.send(datagram, ("127.0.0.1", endpoint.port), 0)
        end_s = time.monotonic() + LIMIT_S
        with pytest.raises(OSError, match="no space"):
            udp.receive(
                Receiver(narrows.decoder), endpoint, opened=opened,
                closed=lambda incoming: closed.append(incoming.stream.session_id),
                stop=lambda: time.monotonic() > end_s,
            )  # fmt: skip
    assert sorted(closed) == [1, 2]


def test_ipv6_and_names_are_looked_up_once(speech, monkeypatch):
    looked_up = []
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: looked_up.append(a[0]) or real(*a, **k))
    hosts = ["localhost", "127.0.0.1"]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
            hosts.append("::1")
        except OSError:
            pass  # this machine has no IPv6
    for host in hosts:
        with udp.Endpoint(("127.0.0.1" if host == "localhost" else host, 0)) as endpoint:
            looked_up.clear()
            with udp.Endpoint(to=(host, endpoint.port)) as sending:
                for _ in range(5):
                    sending.send(b"hello", sending.peer, 0)
            assert looked_up == [host]
            got = [datagram for datagram, _ in endpoint.receive(time.monotonic() + 0.1)]
            assert got == [b"hello"] * 5


def test_a_name_that_is_none_is_said(monkeypatch):
    def nothing(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(OSError, match="not known") as caught:
        udp.Endpoint(to=("no.such.host", 5))
    assert caught.value.filename == "no.such.host:5"


def test_a_source_is_let_go_when_nobody_reads_on():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with udp.Ahead(endless()) as reader:
        while reader.take(1)[1] is None:
            pass
    assert closed.wait(LIMIT_S)
    reader._thread.join(LIMIT_S)
    assert not reader._thread.is_alive()


def test_what_a_source_raises_is_raised_to_who_reads():
    def broken():
        yield 1
        raise ValueError("unplugged")

    with udp.Ahead(broken()) as reader:
        assert reader.take(LIMIT_S) == (True, 1)
        with pytest.raises(ValueError, match="unplugged"):
            reader.take(LIMIT_S)
