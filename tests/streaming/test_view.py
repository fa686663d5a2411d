"""The page and its WebSocket; in headless Chromium where there is one."""

import json
import shutil
import struct
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

import narrows
from narrows.errors import MissingExtra
from narrows.streaming import udp
from narrows.streaming.live import Receiver, Sender

pytest.importorskip("websockets", reason="needs the extra live")
from narrows.streaming.view import View

RATE_HZ = 16_000
LIMIT_S = 30


class Station:
    """A receiver with a page, and senders that can be started and stopped."""

    def __init__(self):
        self.endpoint = udp.Endpoint(("127.0.0.1", 0))
        self.receiver = Receiver(narrows.decoder)
        self.view = View(("127.0.0.1", 0))
        self._stop, self._sending = threading.Event(), None
        self._threads = [threading.Thread(target=self._receive, daemon=True)]

    def __enter__(self):
        self.view.__enter__()
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self.hush()
        self._stop.set()
        for thread in self._threads:
            thread.join(LIMIT_S)
        self.view.__exit__()
        self.endpoint.close()

    def _receive(self):
        udp.receive(
            self.receiver,
            self.endpoint,
            opened=self.view.opened,
            closed=self.view.closed,
            tick=lambda now_s: self.view.tell(now_s, self.receiver),
            stop=self._stop.is_set,
            stream_idle_s=1.0,
        )

    def send(self, sound, session, *, finish=True):
        """Send in a thread, over and over until `hush`; without `finish` the sender then just vanishes."""
        self._sending = threading.Event()
        stop = self._sending

        def blocks():
            while not stop.is_set():
                for first in range(0, len(sound), 320):
                    yield sound[first : first + 320]

        def work():
            sender = Sender(narrows.encoder("pcm", sample_rate_hz=RATE_HZ), session_id=session)
            if not finish:
                sender.finish = lambda now_s: []
            with udp.Endpoint() as endpoint:
                udp.send(
                    sender, blocks(), endpoint, ("127.0.0.1", self.endpoint.port), RATE_HZ, stop=stop.is_set
                )

        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()

    def hush(self):
        if self._sending is not None:
            self._sending.set()


@pytest.fixture
def station():
    with Station() as running:
        yield running


def messages(station, count, **options):
    from websockets.sync.client import connect

    with connect(station.view.url.replace("http", "ws") + "live", **options) as client:
        return [client.recv(timeout=LIMIT_S) for _ in range(count)]


def test_the_page_is_served_and_nothing_else(station):
    with urllib.request.urlopen(station.view.url, timeout=LIMIT_S) as answer:
        page = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert page.startswith("<!doctype html>")
    assert "http://" not in page  # it loads nothing
    assert "https://" not in page
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(station.view.url + "other", timeout=LIMIT_S)
    caught.value.close()


def test_messages_are_the_stream_its_samples_and_statistics(station, speech):
    station.send(speech, 0xABCD)
    got = messages(station, 60)
    texts = [json.loads(m) for m in got if isinstance(m, str)]
    sounds = [m for m in got if isinstance(m, bytes)]
    begun = next(m for m in texts if m["type"] == "stream")
    assert (begun["id"], begun["rate"], begun["channels"], begun["codec"]) == (0xABCD, RATE_HZ, 1, "pcm")
    assert {struct.unpack_from("<I", m)[0] for m in sounds} == {0xABCD}
    assert {len(m) for m in sounds} == {4 + 640}
    told = [m for m in texts if m["type"] == "statistics"]
    assert told[-1]["packets"] > told[0]["packets"]
    samples = np.concatenate([np.frombuffer(m[4:], "<i2") for m in sounds])
    assert np.abs(samples).max() > 0


def test_other_sites_may_not_listen(station):
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus, match="403"):
        messages(station, 1, origin="http://elsewhere.example")


@pytest.mark.parametrize("host", ["evil.example:80", "evil.example", "", "[::1", "127.0.0.1.evil.example"])
def test_a_name_that_was_made_to_lead_here_is_refused(station, host):
    """DNS rebinding: then Origin and Host agree, and are both a stranger's."""
    request = urllib.request.Request(station.view.url, headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError, match=r"40[03]") as caught:
        urllib.request.urlopen(request, timeout=LIMIT_S)
    caught.value.close()


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "192.0.2.7:8080", "[::1]:99"])
def test_addresses_are_no_strangers(station, host):
    request = urllib.request.Request(station.view.url, headers={"Host": host})
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        assert answer.status == 200


def test_pages_that_were_left_make_room_also_without_a_stream(station):
    from websockets.sync.client import connect

    for _ in range(40):
        with connect(station.view.url.replace("http", "ws") + "live"):
            pass
        end = time.monotonic() + LIMIT_S
        while station.view.num_clients > 5 and time.monotonic() < end:
            time.sleep(0.02)
        assert station.view.num_clients <= 5


def test_a_page_that_does_not_read_is_no_burden(station, speech):
    from websockets.sync.client import connect

    with connect(station.view.url.replace("http", "ws") + "live", close_timeout=0.2):
        station.send(speech, 5)
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end and not any(
            s.statistics(0)["packets"] > 50 for s in station.receiver.streams.values()
        ):
            time.sleep(0.05)
        assert station.view.num_clients == 1
    assert station.receiver.streams


def test_a_taken_port_is_named(station):
    port = int(station.view.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(OSError, match="in use") as caught:
        View(("127.0.0.1", port))
    assert caught.value.filename == f"127.0.0.1:{port}"


def test_without_websockets_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "websockets.sync.server", None)
    with pytest.raises(MissingExtra, match="live"):
        View(("127.0.0.1", 0))


def until(page, expression):
    """Wait until an expression is true in the page; evaluated from outside, since the page allows no eval."""
    end = time.monotonic() + LIMIT_S
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never: {expression}; {page.evaluate('JSON.stringify(view)')}"
        time.sleep(0.05)


@pytest.fixture
def page(station):
    """The page in headless Chromium, with what its console said."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright for Python")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--mute-audio", "--disable-gpu"]
        )
        opened = browser.new_page()
        opened.complaints = []
        opened.on(
            "console", lambda m: opened.complaints.append(m.text) if m.type in ("error", "warning") else None
        )
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.goto(station.view.url)
        yield opened
        browser.close()


@pytest.mark.slow
def test_a_browser_plays_the_stream_and_reconnects(station, page, speech):
    tone = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)[
        :, np.newaxis
    ]
    until(page, "document.body.dataset.state === 'waiting for a stream'")
    station.send(tone, 0x0A, finish=False)
    until(page, "document.body.dataset.state === 'receiving'")
    page.click("#play")

    # Audio flows: blocks arrive, are scheduled, and reach the end of the graph at the tone's level.
    until(page, "view.scheduledS > 1")
    until(page, "view.heard() > 0.1")
    # A busy machine may leave a gap in what is measured.
    assert page.evaluate("view.heard()") == pytest.approx(8000 / 32_768 / np.sqrt(2), rel=0.3)
    assert "0000000a: pcm, 16,000 Hz, mono" in page.inner_text("#stream")

    # Statistics move.
    first = int(page.inner_text("#packets").replace(",", ""))
    until(page, f"Number(document.getElementById('packets').textContent.replace(',', '')) > {first + 20}")
    assert float(page.inner_text("#rate").split()[0]) == pytest.approx(256, rel=0.3)
    assert page.inner_text("#loss").endswith("%")
    assert float(page.inner_text("#level").split()[0]) == pytest.approx(-15, abs=2)
    drawn = page.evaluate(
        "Array.from(document.getElementById('wave').getContext('2d').getImageData(0, 0, 1400, 288).data)"
        ".some((v) => v > 0)"
    )
    assert drawn

    # The sender dies without a word; another takes its place and the page plays it.
    station.hush()
    until(page, "document.body.dataset.state === 'ended, waiting for another'")
    station.send(tone // 2, 0x0B)
    until(page, "view.streams === 2")
    until(page, "document.body.dataset.state === 'receiving'")
    before = page.evaluate("view.scheduledS")
    until(page, f"view.scheduledS > {before} + 1")
    until(page, "view.heard() > 0.04 && view.heard() < 0.1")
    assert "0000000b" in page.inner_text("#stream")
    page.click("#play")
    until(page, "document.getElementById('play').textContent === 'Play'")
    assert page.complaints == []


@pytest.mark.slow
def test_a_page_finds_a_server_that_comes_back(page, station):
    until(page, "view.connections === 1")
    port = int(station.view.url.rsplit(":", 1)[1].strip("/"))
    station.view.__exit__()
    until(page, "document.body.dataset.state === 'connecting'")
    station.view = View(("127.0.0.1", port))
    station.view.__enter__()
    until(page, "view.connections === 2")
    assert page.evaluate("view.connections") == 2
