"""Size and CPU time of every installed codec on samples of the package, one thread, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import narrows
from narrows import files
from narrows.errors import OptionError
from narrows.registry import Listing
from narrows.signals import Audio, Blob, Image, Signal

_PACKAGE = Path(narrows.__file__).parent
_QUALITIES = (30, 75, 90)
_REPEATS = 3

Row = dict[str, str | int | float]


def rows(names: Sequence[str] = ()) -> Iterator[Row]:
    """Yield a row for each codec, sample and setting: sizes in bytes, CPU time in ms, raw MB/s.

    `names` choose codecs, by default all. Times are the least of three, weights loaded before. A codec that
    cannot be imported, or that no sample suits, gives one row that says so. OptionError for an unknown name.

    >>> from narrows.bench import codecs
    >>> [row["codec"] for row in codecs.rows(["bytes"])]
    ['bytes']
    """
    listed = {entry.name: entry for entry in narrows.list_codecs()}
    for name in names:
        if name not in listed:
            raise OptionError(f"no codec {name!r}: there are {', '.join(sorted(listed))}")
    samples = _samples()
    for name in names or listed:
        yield from _measure(listed[name], samples)


def _measure(entry: Listing, samples: Mapping[str, Signal]) -> Iterator[Row]:
    if entry.problem:
        yield _row(entry.name, note=f"{entry.problem}; {entry.hint}" if entry.hint else entry.problem)
        return
    suited = {sample: signal for sample, signal in samples.items() if type(signal).__name__ == entry.signal}
    if not suited:
        yield _row(entry.name, note=f"no sample of {entry.signal} in the package")
    for sample, signal in suited.items():
        for setting, options in _settings(entry).items():
            data = narrows.encode(signal, codec=entry.name, **options)
            narrows.decode(data)
            encode_ms = _least_ms(lambda o=options, s=signal: narrows.encode(s, codec=entry.name, **o))
            decode_ms = _least_ms(lambda d=data: narrows.decode(d))
            raw_bytes = _raw_bytes(signal)
            yield _row(
                entry.name,
                sample=sample,
                setting=setting,
                raw_bytes=raw_bytes,
                bytes=len(data),
                share=len(data) / raw_bytes,
                encode_ms=encode_ms,
                decode_ms=decode_ms,
                encode_mbps=raw_bytes / encode_ms / 1000,
                decode_mbps=raw_bytes / decode_ms / 1000,
            )


def _row(codec: str, **values: str | int | float) -> Row:
    """A row with every column, in one order, whatever is known."""
    numbers = ("raw_bytes", "bytes", "share", "encode_ms", "decode_ms", "encode_mbps", "decode_mbps")
    blank: Row = {"codec": codec, "sample": "", "setting": "", **dict.fromkeys(numbers, 0), "note": ""}
    return blank | values


def _settings(entry: Listing) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {}
    if "quality" in entry.options:
        settings |= {f"quality {q}": {"quality": q} for q in _QUALITIES}
    if "lossless" in entry.options:
        settings["lossless"] = {"lossless": True}
    return settings or {"default": {}}


def _samples() -> dict[str, Signal]:
    """A photograph, two seconds of a plucked chord, and the package's own source text."""
    source = b"".join(path.read_bytes() for path in sorted(_PACKAGE.rglob("*.py")))
    return {
        "photograph": files.read(_PACKAGE / "demo" / "coffee.webp"),
        "chord": _chord(),
        "source": Blob(source),
    }


def _chord() -> Audio:
    import numpy as np

    rate_hz = 16_000
    seconds = np.arange(2 * rate_hz) / rate_hz
    tones = sum(
        np.sin(2 * np.pi * pitch_hz * partial * seconds) * np.exp(-seconds * partial) / partial
        for pitch_hz in (220.0, 277.18, 329.63)
        for partial in range(1, 9)
    )
    return Audio((tones / np.abs(tones).max() * 0.8).astype(np.float32)[:, np.newaxis], rate_hz)


def _raw_bytes(signal: Signal) -> int:
    if isinstance(signal, Image):
        return int(signal.pixels.nbytes)
    if isinstance(signal, Audio):
        return 2 * int(signal.samples.size)  # as 16-bit samples
    return len(signal.data) if isinstance(signal, Blob) else 0


def _least_ms(call: Any) -> float:
    spent = []
    for _ in range(_REPEATS):
        begin = time.process_time()
        call()
        spent.append(time.process_time() - begin)
    return 1000 * max(min(spent), 1e-6)
