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
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from narrows.errors import OptionError, PacketError
from narrows.streaming import wire
from narrows.streaming.channel import Channel
from narrows.streaming.live import Incoming, Receiver, Sender

Address = tuple[str, int]

TICK_S = 0.005
_PAUSE_S = 0.5  # behind its time by more, a sender goes on from there
_BUFFER_BYTES = 1 << 20
_READ_AHEAD_BLOCKS = 64
_LET_GO_S = 0.5  # for a source to let go of what it holds; one that waits for a pipe is left waiting


class Endpoint:
    """A UDP socket, and in front of what it sends perhaps a simulated network.

    `bind` is where it listens; without, it only sends, to `to`. Names are looked up once, here: `peer` is
    `to` as sockets take it. Raises OSError naming the address where there is none such or it cannot be bound,
    as when the port is in use.
    """

    def __init__(
        self, bind: Address | None = None, *, to: Address | None = None, channel: Channel | None = None
    ) -> None:
        self.channel = channel
        self._waiting: list[tuple[float, int, bytes, Address]] = []
        self._number = 0
        family, self.peer = _resolved(to or bind or ("127.0.0.1", 0))
        if bind is not None:
            family, local = _resolved(bind)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if bind is not None:
            try:
                self._socket.bind(local)
            except OSError as error:
                self._socket.close()
                raise OSError(error.errno, error.strerror, spell_address(bind)) from None

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
        with contextlib.suppress(OSError):
            self._socket.sendto(datagram, address)


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


def spell_address(address: Address) -> str:
    """The inverse of `parse_address`.

    >>> from narrows.streaming.udp import spell_address
    >>> spell_address(("::1", 5004))
    '[::1]:5004'
    """
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolved(address: Address) -> tuple[int, Any]:
    """The family of an address, and what a socket of that family takes. OSError for a name that is none."""
    host, port = address[:2]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise OSError(error.errno, error.strerror, spell_address(address)) from None
    # Names of both families mean the older one, which the other side's default listens at.
    family, _, _, _, resolved = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return int(family), resolved


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

    `paced`: a block leaves when it would have been spoken; else as fast as it comes. After a pause of the
    source, or of this process, the rest keeps its pace. `tick` is called with the time after every block.
    """
    begin_s = time.monotonic()
    num_samples = 0
    with Ahead(blocks) as reader:
        while not stop():
            more, block = reader.take()
            if not more:
                break
            if block is None:
                _serve(sender, endpoint, time.monotonic() + TICK_S)
                continue
            num_samples += len(block)
            due_s = begin_s + num_samples / sample_rate_hz if paced else time.monotonic()
            behind_s = time.monotonic() - due_s
            if behind_s > _PAUSE_S:
                begin_s += behind_s
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
    nothing was heard of it for `stream_idle_s` (by default `idle_s`); then `closed` is called, and also
    whatever ends the loop. `idle_s` without any stream ends it.
    """
    players: dict[int, _Player] = {}
    try:
        _receive(
            receiver, endpoint, players, opened, closed, stop, tick,
            idle_s, idle_s if stream_idle_s is None else stream_idle_s, once,
        )  # fmt: skip
    finally:
        with contextlib.ExitStack() as stack:  # all of them, also where closing one fails
            for player in players.values():
                stack.callback(closed, player.incoming)


def _receive(
    receiver: Receiver,
    endpoint: Endpoint,
    players: dict[int, _Player],
    opened: Callable[[Incoming], Callable[[Any], None]],
    closed: Callable[[Incoming], None],
    stop: Callable[[], bool],
    tick: Callable[[float], None],
    idle_s: float | None,
    stream_idle_s: float | None,
    once: bool,
) -> None:
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
    """Blocks read by a thread of their own, so that a pipe that stalls stalls nothing else.

    Leaving it as a context ends the thread, and closes the blocks if they are a generator: a microphone is
    let go. A thread that waits for a pipe ends with the pipe, or with the process.
    """

    def __init__(self, blocks: Iterable[Any]) -> None:
        self._waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(_READ_AHEAD_BLOCKS)
        self._blocks = blocks
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="narrows-read", daemon=True)
        self._thread.start()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with contextlib.suppress(queue.Empty):
            while True:  # room for what the thread may be waiting to put
                self._waiting.get_nowait()
        self._thread.join(_LET_GO_S)

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for block in self._blocks:
                self._waiting.put((True, block))
                if self._closed.is_set():
                    break
            if isinstance(self._blocks, Generator):
                self._blocks.close()
        except BaseException as error:
            end = error
        if not self._closed.is_set():
            self._waiting.put((False, end))

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
