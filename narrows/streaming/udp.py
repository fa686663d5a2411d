"""Live streams over UDP sockets: one loop that sends, one that receives. Both end when told to.

Time is `time.monotonic`; a simulated network (channel.py) may stand between a sender and its socket.
"""

from __future__ import annotations

import contextlib
import heapq
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from narrows.errors import OptionError, PacketError
from narrows.streaming import wire
from narrows.streaming.channel import Channel
from narrows.streaming.live import Incoming, Receiver, Sender

T = TypeVar("T")
Address = tuple[str, int]

TICK_S = 0.005
_BUFFER_BYTES = 1 << 20
_READ_AHEAD_BLOCKS = 64


class Endpoint:
    """A UDP socket, and in front of what it sends perhaps a simulated network.

    Raises OSError naming the address where it cannot be bound, as when the port is in use.
    """

    def __init__(self, bind: Address | None = None, *, channel: Channel | None = None) -> None:
        self.channel = channel
        self._waiting: list[tuple[float, int, bytes, Address]] = []
        self._number = 0
        host = bind[0] if bind else "127.0.0.1"
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if bind is not None:
            try:
                self._socket.bind(bind)
            except OSError as error:
                self._socket.close()
                raise OSError(error.errno, error.strerror, f"{bind[0]}:{bind[1]}") from None

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @property
    def port(self) -> int:
        """The port it is bound to."""
        return int(self._socket.getsockname()[1])

    @property
    def num_waiting(self) -> int:
        """Datagrams that the simulated network still holds."""
        return len(self._waiting)

    def send(self, datagram: bytes, address: Address, now_s: float) -> None:
        """Send, through the simulated network if there is one: then `flush` sends what is due."""
        if self.channel is None:
            self._put(datagram, address)
            return
        for arrival_s, one in self.channel.send(datagram, now_s):
            heapq.heappush(self._waiting, (arrival_s, self._number, one, address))
            self._number += 1
        self.flush(now_s)

    def flush(self, now_s: float) -> None:
        """Send what the simulated network has held long enough."""
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, datagram, address = heapq.heappop(self._waiting)
            self._put(datagram, address)

    def receive(self, until_s: float) -> Iterator[tuple[bytes, Any]]:
        """Datagrams and where they come from, as they arrive, until the time `until_s`; `flush` meanwhile."""
        while True:
            now_s = time.monotonic()
            self.flush(now_s)
            due_s = min(until_s, self._waiting[0][0]) if self._waiting else until_s
            ready, _, _ = select.select([self._socket], [], [], max(due_s - now_s, 0))
            if ready:
                # An error here is of a datagram sent before: nobody listens there, or no network leads to it.
                with contextlib.suppress(OSError):
                    yield self._socket.recvfrom(wire.MAX_DATAGRAM_BYTES + 1)
            if time.monotonic() >= until_s:
                return

    def _put(self, datagram: bytes, address: Address) -> None:
        # A full buffer, an absent receiver or a network that is away is a loss like any other.
        try:
            self._socket.sendto(datagram, address)
        except OSError as error:
            if isinstance(error, socket.gaierror):  # not away: there is no such name
                raise


def parse_address(text: str, default_host: str = "127.0.0.1") -> Address:
    """`HOST:PORT`, `:PORT` or `PORT`; IPv6 in brackets. OptionError.

    >>> from narrows.streaming.udp import parse_address
    >>> parse_address("5004"), parse_address("[::1]:5004")
    (('127.0.0.1', 5004), ('::1', 5004))
    """
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) < 65_536:
        raise OptionError(f"an address is HOST:PORT, not {text!r}")
    return host.strip("[]") or default_host, int(port)


def send(
    sender: Sender,
    blocks: Iterable[Any],
    endpoint: Endpoint,
    address: Address,
    sample_rate_hz: int,
    *,
    paced: bool = True,
    stop: Callable[[], bool] = lambda: False,
    tick: Callable[[float], None] = lambda now_s: None,
) -> None:
    """Send blocks [time, channels] until they end or `stop` says so; then what the encoder still holds.

    `paced`: a block leaves when it would have been spoken; else as fast as it comes. `tick` is called with
    the time after every block.
    """
    begin_s = time.monotonic()
    num_samples = 0
    reader = Ahead(blocks)
    while not stop():
        more, block = reader.take()
        if not more:
            break
        if block is None:
            _serve(sender, endpoint, time.monotonic() + TICK_S)
            continue
        num_samples += len(block)
        due_s = begin_s + num_samples / sample_rate_hz if paced else time.monotonic()
        _serve(sender, endpoint, due_s)
        now_s = time.monotonic()
        for datagram in sender.push(block, now_s):
            endpoint.send(datagram, address, now_s)
        tick(now_s)
    now_s = time.monotonic()
    for datagram in sender.finish(now_s):
        endpoint.send(datagram, address, now_s)
    while endpoint.num_waiting:
        _serve(sender, endpoint, time.monotonic() + TICK_S)
    tick(time.monotonic())


def receive(
    receiver: Receiver,
    endpoint: Endpoint,
    *,
    opened: Callable[[Incoming], Callable[[Any], None]],
    closed: Callable[[Incoming], None] = lambda incoming: None,
    stop: Callable[[], bool] = lambda: False,
    tick: Callable[[float], None] = lambda now_s: None,
    idle_s: float | None = None,
    stream_idle_s: float | None = None,
    once: bool = False,
) -> None:
    """Receive streams until `stop` says so; `once`: until those that came have ended.

    `opened` is called for each new stream and returns what takes its samples, float32 [time, channels],
    from the first that is played, at the pace of the clock. A stream ends after its last packet, or when
    nothing was heard of it for `stream_idle_s` (by default `idle_s`); then `closed` is called. `idle_s`
    without any stream ends the loop.
    """
    stream_idle_s = idle_s if stream_idle_s is None else stream_idle_s
    players: dict[int, _Player] = {}
    seen = False
    heard_s = next_s = time.monotonic()
    while not stop():
        next_s = max(next_s + TICK_S, time.monotonic() - 1)
        for datagram, source in endpoint.receive(next_s):
            now_s = time.monotonic()
            for answer in receiver.handle(datagram, now_s, source):
                endpoint.send(answer, source, now_s)
        now_s = time.monotonic()
        for incoming in receiver.streams.values():
            if incoming.stream.session_id not in players:
                players[incoming.stream.session_id] = _Player(incoming, opened(incoming), now_s)
                seen = True
        for session_id, player in list(players.items()):
            idle = stream_idle_s is not None and now_s - player.incoming.heard_s > stream_idle_s
            if player.play(now_s) or idle:
                receiver.close(session_id, for_good=player.incoming.playout.finished)
                del players[session_id]
                heard_s = now_s
                closed(player.incoming)
        for target, report in receiver.reports(now_s):
            endpoint.send(report, target, now_s)  # type: ignore[arg-type]
        tick(now_s)
        heard_s = now_s if players else heard_s
        if (once and seen and not players) or (idle_s is not None and now_s - heard_s > idle_s):
            return
    for player in players.values():
        closed(player.incoming)


class _Player:
    """Reads one stream at the pace of the clock, from the moment that it begins to sound."""

    def __init__(self, incoming: Incoming, take: Callable[[Any], None], now_s: float) -> None:
        self.incoming, self._take = incoming, take
        self._begin_s = now_s
        self._num_samples = 0

    def play(self, now_s: float) -> bool:
        """Play what is due; whether the stream is over."""
        playout = self.incoming.playout
        rate_hz = playout.sample_rate_hz
        due = round((now_s - self._begin_s) * rate_hz) - self._num_samples
        step = max(round(TICK_S * rate_hz), 1)
        while due >= step and not playout.finished:
            block = playout.read(step, self._begin_s + self._num_samples / rate_hz)
            self._num_samples += step
            due -= step
            if playout.started and len(block):
                self._take(block)
        return playout.finished


def _serve(sender: Sender, endpoint: Endpoint, until_s: float) -> None:
    """Answer what receivers ask until a time."""
    for datagram, source in endpoint.receive(until_s):
        now_s = time.monotonic()
        with contextlib.suppress(PacketError):
            for answer in sender.handle(datagram, now_s):
                endpoint.send(answer, source, now_s)


class Ahead:
    """Blocks read by a thread of their own, so that a pipe that stalls stalls nothing else."""

    def __init__(self, blocks: Iterable[Any]) -> None:
        self._waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(_READ_AHEAD_BLOCKS)
        self._blocks = blocks
        threading.Thread(target=self._read, name="narrows-read", daemon=True).start()

    def _read(self) -> None:
        try:
            for block in self._blocks:
                self._waiting.put((True, block))
            self._waiting.put((False, None))
        except BaseException as error:
            self._waiting.put((False, error))

    def take(self, timeout_s: float = 0) -> tuple[bool, Any]:
        """(True, block), (True, None) where none has come in time, (False, None) at the end.

        What the blocks raised is raised here.
        """
        try:
            more, item = self._waiting.get(timeout=timeout_s) if timeout_s else self._waiting.get_nowait()
        except queue.Empty:
            return True, None
        if isinstance(item, BaseException):
            raise item
        return more, item
