"""The `.nrws` container, version 1: named, checked chunks. Knows no codec. Specification: docs/format.md.

`Writer` and `Reader` work on pipes; a Reader seeks where the file can. It never allocates more than the bytes
it has been given, checks every declared size first, and every rule of the format is an error with an offset:
of the field that is wrong, of the chunk for a checksum, of the end of the data for a truncation.
"""

from narrows.container.forms import (
    MAGIC,
    ChunkInfo,
    Input,
    check_limits,
    header_bytes,
    parse_header,
    preamble,
    read_preamble,
    tags_bytes,
    varint,
)
from narrows.container.order import meeting
from narrows.container.reader import Reader, Source
from narrows.container.writer import Writer

__all__ = [
    "MAGIC",
    "ChunkInfo",
    "Input",
    "Reader",
    "Source",
    "Writer",
    "check_limits",
    "header_bytes",
    "meeting",
    "parse_header",
    "preamble",
    "read_preamble",
    "tags_bytes",
    "varint",
]
