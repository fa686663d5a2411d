"""How much a decoder may take: memory, pixels, chunks."""

from __future__ import annotations

from dataclasses import dataclass, fields

from narrows.errors import LimitExceeded, OptionError


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes above which decoding stops with LimitExceeded before anything is allocated.

    `max_output_bytes` bounds what is held in memory, not what flows from file to file.

    >>> import narrows
    >>> narrows.Limits(max_pixels=100).check("max_pixels", 12 * 12)
    Traceback (most recent call last):
    narrows.errors.LimitExceeded: max_pixels is 100, this needs 144
    """

    max_header_bytes: int = 65_535
    max_chunk_bytes: int = 2**30
    max_chunks: int = 2**20
    max_metadata_bytes: int = 2**24
    max_pixels: int = 2**28
    max_samples: int = 2**33
    max_output_bytes: int = 2**31
    max_tracks: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise OptionError(f"{field.name} is a count, not {value!r}")

    def check(self, limit: str, value: int) -> None:
        """Raise LimitExceeded if `value` is above the field named `limit`."""
        allowed = getattr(self, limit)
        if value > allowed:
            raise LimitExceeded(limit, value, allowed)
