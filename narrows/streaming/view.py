"""A web page that plays what is received: one file, one port for the page and its WebSocket.

The page gets JSON text (a stream has begun, statistics, the end) and binary messages: the session id (u32),
then int16 samples. Needs the package websockets.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import queue
import struct
import threading
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from narrows.errors import MissingExtra
from narrows.signals import Array
from narrows.streaming.live import Incoming, Receiver

TELL_EVERY_S = 0.25
_PAGE = Path(__file__).with_name("view.html")
_BLOCK_S = 0.02
_MOST_WAITING = 256  # messages for a page that does not keep up; then it misses some
_MAX_CLIENTS = 32
_LOOK_EVERY_S = 0.25  # whether a page that is told nothing is still there
# The page is whole in itself: whatever else it were made to load is refused by the browser.
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self' ws:",
    "X-Content-Type-Options": "nosniff",
}


class View:
    """Serves the page at `address` from threads of its own; `opened`, `closed`, `tell` are for udp.receive.

    Raises MissingExtra without websockets, OSError where the address is taken.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        try:
            server = importlib.import_module("websockets.sync.server")
        except ImportError as error:
            raise MissingExtra("the page", "live") from error
        self._page = _PAGE.read_bytes()
        self._name = address[0]
        self._clients: set[queue.Queue[Any]] = set()
        self._lock = threading.Lock()
        self._current: str | None = None
        self._told_s = float("-inf")
        self._closed_error = importlib.import_module("websockets.exceptions").ConnectionClosed
        try:
            self._server = server.serve(
                self._talk, *address, process_request=self._answer, compression=None, max_size=1024
            )
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{address[0]}:{address[1]}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="narrows-view", daemon=True)
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.url = f"http://{host}:{self._server.socket.getsockname()[1]}/"

    def __enter__(self) -> View:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for client in self._clients:
                _offer(client, None)
        self._server.shutdown()
        self._thread.join(5)

    @property
    def num_clients(self) -> int:
        """Pages that are connected."""
        return len(self._clients)

    def opened(self, incoming: Incoming) -> Callable[[Array], None]:
        """Tell pages of a stream, the newest is the one they play; what takes its samples."""
        self._current = json.dumps(
            {
                "type": "stream",
                "id": incoming.stream.session_id,
                "session": f"{incoming.stream.session_id:08x}",
                "codec": incoming.header.codec,
                "rate": incoming.header.sample_rate_hz,
                "channels": incoming.header.channels,
            }
        )
        self._send(self._current)
        head = struct.pack("<I", incoming.stream.session_id)
        size = max(round(_BLOCK_S * incoming.header.sample_rate_hz), 1)
        waiting: list[Array] = []

        def take(samples: Array) -> None:
            waiting.append(samples)
            if sum(map(len, waiting)) >= size:
                values = np.concatenate(waiting) * 32_768
                waiting.clear()
                self._send(head + np.clip(np.rint(values), -32_768, 32_767).astype("<i2").tobytes())

        return take

    def closed(self, incoming: Incoming) -> None:
        """Tell pages that a stream has ended."""
        session = f"{incoming.stream.session_id:08x}"
        self._send(json.dumps({"type": "end", "session": session}))
        if self._current is not None and json.loads(self._current)["session"] == session:
            self._current = None

    def tell(self, now_s: float, receiver: Receiver) -> None:
        """Send statistics, four times a second."""
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            for incoming in receiver.streams.values():
                self._send(json.dumps({"type": "statistics", **incoming.statistics(now_s)}))

    def _send(self, message: str | bytes) -> None:
        with self._lock:
            for client in self._clients:
                _offer(client, message)

    def _answer(self, connection: Any, request: Any) -> Any:
        """The page for a browser that asks for it; None lets a WebSocket of our own page through."""
        path = urlsplit(request.path).path
        if not self._is_ours(request.headers.get("Host", "")):
            return connection.respond(403, "this server has another name\n")
        if path == "/live":
            origin = request.headers.get("Origin")
            if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
                return connection.respond(403, "only this server's own page may listen\n")
            if self.num_clients >= _MAX_CLIENTS:
                return connection.respond(503, "too many pages are open\n")
            return None
        if path != "/":
            return connection.respond(404, "there is one page: /\n")
        response = connection.respond(200, "")
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
        for name, value in _HEADERS.items():
            response.headers[name] = value
        response.headers["Content-Length"] = str(len(self._page))
        response.body = self._page
        return response

    def _is_ours(self, host: str) -> bool:
        """Whether a browser was led here by an address, `localhost` or the name given. Any other name may be
        a stranger's that was made to lead here (DNS rebinding), and its pages would pass for ours.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", self._name.lower()):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def _talk(self, connection: Any) -> None:
        client: queue.Queue[Any] = queue.Queue(_MOST_WAITING)
        with self._lock:
            if len(self._clients) >= _MAX_CLIENTS:
                return
            if self._current is not None:
                client.put(self._current)
            self._clients.add(client)
        try:
            with contextlib.suppress(self._closed_error, OSError):
                self._pass_on(client, connection)
        finally:
            with self._lock:
                self._clients.discard(client)

    def _pass_on(self, client: queue.Queue[Any], connection: Any) -> None:
        """Send what the queue brings, until it brings None or the page is gone: then `recv` raises."""
        while True:
            try:
                message = client.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                with contextlib.suppress(TimeoutError):
                    connection.recv(timeout=0)
                continue
            if message is None:
                return
            connection.send(message)


def _offer(client: queue.Queue[Any], message: Any) -> None:
    """Put a message into a queue; where it is full the oldest makes room."""
    while True:
        try:
            client.put_nowait(message)
        except queue.Full:
            with contextlib.suppress(queue.Empty):
                client.get_nowait()
        else:
            return
