"""Streams of the cases, made once, and what the laws need to know of a codec."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

from conformance.cases import signals_for

import narrows
from narrows import registry
from narrows.signals import Signal

TOYS = {"invert": "conformance.toys:Invert", "pyramid": "conformance.toys:Pyramid"}


def presets(codec: Any) -> dict[str, dict[str, Any]]:
    """Sets of options that each law is run with."""
    known = {field for field in codec.options.__dataclass_fields__}
    sets: dict[str, dict[str, Any]] = {"default": {}}
    if "lossless" in known:
        sets["lossless"] = {"lossless": True}
    if "block_bytes" in known:
        sets["small-blocks"] = {"block_bytes": 1024}
    if "quality" in known:
        sets["quality-20"] = {"quality": 20.0}
    return sets


def is_lossless(codec: Any, options: dict[str, Any]) -> bool:
    """Whether these options promise the very signal."""
    if "lossless" not in codec.traits:
        return False
    return "lossless" not in codec.options.__dataclass_fields__ or options.get("lossless", False)


@lru_cache(maxsize=512)
def coded(name: str, case: str, preset: str) -> bytes:
    """The stream of a case; made once for all laws."""
    codec = registry.codec(name)
    return narrows.encode(signals_for(codec.signal)[case], name, **presets(codec)[preset])


def signal_of(codec: Any, case: str) -> Signal:
    """The signal of a case."""
    return signals_for(codec.signal)[case]


class Pipe(io.RawIOBase):
    """Bytes that can be read once, front to back, in pieces as a pipe gives them; counts what was taken."""

    def __init__(self, data: bytes, piece_bytes: int = 1 << 16) -> None:
        self._rest = io.BytesIO(data)
        self._piece_bytes = piece_bytes
        self.taken = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        data = self._rest.read(self._piece_bytes if size < 0 else min(size, self._piece_bytes))
        self.taken += len(data)
        return data
