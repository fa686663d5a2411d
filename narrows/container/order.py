"""The rules of order: which chunk may stand where. One implementation for the writer and the reader."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from narrows.container.forms import CODED, METADATA, ChunkInfo, entry_bytes, varint
from narrows.contracts import Chunk, Header, Kind


@dataclass
class Order:
    """How far a stream has been written or read, and what of it later chunks depend on.

    `begins`, `ends` and `layers` are, per track, the first unit of the last DATA, the end of all so far and
    the layer of the last chunk; `index` is what an INDEX at this point says. `holes`: chunks were lost, so
    DATA need not join on.
    """

    position: int
    live: bool
    number: int = 0
    tracks: int = 1
    coded: bool = False
    holes: bool = False
    seen: set[int] = field(default_factory=set)
    begins: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    layers: dict[int, int] = field(default_factory=dict)
    index: bytearray = field(default_factory=bytearray)
    index_offset: int = 0
    last_offset: int = 0

    def copy(self) -> Order:
        """An independent copy."""
        return copy.deepcopy(self)

    def passed(self, kind: int, offset: int, end: int) -> None:
        """Count a chunk from `offset` to `end`."""
        self.seen.add(kind)
        if kind == Kind.INDEX:
            self.index_offset = offset
        self.number += 1
        self.position = end

    def refuse(self, kind: int) -> str | None:
        """Why a chunk of `kind` cannot stand here, or None."""
        if Kind.INDEX in self.seen and kind != Kind.END:
            return "only END may follow INDEX"
        if kind in self.seen and (kind in METADATA or kind in (Kind.INDEX, Kind.CHECK)):
            return f"a second {Kind(kind).name}"
        if kind in (Kind.ICC, Kind.EXIF, Kind.XMP, Kind.TRACK) and self.coded:
            return f"{Kind(kind).name} behind coded data"
        if kind in CODED and Kind.CHECK in self.seen:
            return "coded data behind CHECK"
        return None

    def place(self, info: ChunkInfo, tracks: list[Header]) -> str | None:
        """Why the coded chunk `info` cannot stand here; None if it can, and then it is taken account of."""
        if info.track >= len(tracks):
            return f"there is no track {info.track}"
        if info.kind != Kind.TABLE:
            problem = self._join(info, tracks[info.track].length)
            if problem:
                return problem
        self.coded = True
        self.index += bytes([info.kind]) + entry_bytes(info)[:1] + varint(info.offset - self.last_offset)
        self.index += varint(info.first) + varint(info.count)
        self.last_offset = info.offset
        return None

    def _join(self, info: ChunkInfo, length: int) -> str | None:
        end = self.ends.get(info.track, 0)
        if info.kind == Kind.PART:
            if info.track not in self.begins:
                return "PART before any DATA of its track"
            if not self.begins[info.track] <= info.first <= end:
                return f"PART at {info.first:,} does not join the DATA before it"
            if info.layer < self.layers[info.track]:
                return f"PART of layer {info.layer} behind one of layer {self.layers[info.track]}"
        elif info.first < end or (info.first > end and not (self.live or self.holes)):
            return f"DATA begins at {info.first:,}, what is before it ends at {end:,}"
        if not self.live and info.first + info.count > length:
            return f"coded data ends at {info.first + info.count:,} of {length:,}"
        if info.kind == Kind.DATA:
            self.begins[info.track] = info.first
        self.layers[info.track] = info.layer
        self.ends[info.track] = max(end, info.first + info.count)
        return None

    def incomplete(self, tracks: list[Header]) -> str | None:
        """What is missing at the end of a stream that is not live, or None."""
        for track, header in enumerate(tracks):
            end = self.ends.get(track, 0)
            if end < header.length and not (self.live or self.holes):
                return f"coded data of track {track} ends at {end:,} of {header.length:,}"
        return None


C = TypeVar("C", Chunk, ChunkInfo)


def meeting(infos: Iterable[C], start: int, stop: int) -> list[C]:
    """TABLEs, and of each group that meets [start, stop) the chunks up to the last that does."""
    chosen: list[C] = []
    group: list[C] = []
    for info in infos:
        if info.kind == Kind.TABLE:
            chosen.append(info)
            continue
        if info.kind == Kind.DATA:
            group = []
        group.append(info)
        if info.first < stop and info.first + info.count > start:
            chosen += group
            group = []
    return chosen
