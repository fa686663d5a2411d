"""Many packets in one chunk: a head, then the payloads back to back, with lengths where they differ.

Every codec with sessions uses these two forms for its DATA, and only the payloads: seq, time and count
follow from the entry and the header.
"""

from __future__ import annotations

from collections.abc import Sequence

from narrows.container.forms import Input, varint
from narrows.errors import CorruptStream, TruncatedStream


def join_packets(payloads: Sequence[bytes]) -> bytes:
    """The payloads of packets as codec bytes of a chunk: by one length if it is common to all.

    Raises ValueError for no packets, or an empty one.

    >>> from narrows.container import join_packets, split_packets
    >>> join_packets([b"ab", b"cd"]), join_packets([b"ab", b"c"])
    (b'\\x04abcd', b'\\x01\\x02ab\\x01c')
    >>> split_packets(b"\\x04abcd")
    [b'ab', b'cd']
    """
    if not payloads or not all(payloads):
        raise ValueError("a chunk holds one packet or more, each of one byte or more")
    size = len(payloads[0])
    if all(len(payload) == size for payload in payloads):
        return varint(size << 1) + b"".join(payloads)
    return b"\x01" + b"".join(varint(len(payload)) + payload for payload in payloads)


def split_packets(data: bytes, limit: int = 1 << 20) -> list[bytes]:
    """The payloads in the codec bytes of a chunk; at most `limit` of them.

    Raises CorruptStream if `data` is no such form in its shortest spelling.
    """
    source = Input(data)
    try:
        head = source.varint()
        size = head >> 1
        if head & 1:
            if size:
                raise CorruptStream("a head of packets that is neither a length nor 1", 0)
            payloads: list[bytes] = []
            while source.position < len(data) and len(payloads) <= limit:
                payloads.append(source.read(source.varint(len(data))))
            if len({len(payload) for payload in payloads}) == 1:
                raise CorruptStream("packets of one length, each with its own", 0)
        else:
            rest = len(data) - source.position
            if not size or not rest or rest % size:
                raise CorruptStream(f"{rest:,} bytes are no packets of {size:,}", 0)
            if rest // size > limit:
                raise CorruptStream(f"more than {limit:,} packets in a chunk", 0)
            payloads = [data[at : at + size] for at in range(source.position, len(data), size)]
    except TruncatedStream:
        raise CorruptStream("the last packet of a chunk is cut", len(data)) from None
    if not all(payloads) or not payloads or len(payloads) > limit:
        raise CorruptStream(f"an empty packet, none, or more than {limit:,}", 0)
    return payloads
