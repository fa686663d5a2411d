"""Packets as datagrams of at most 1,200 bytes. Specification: docs/format.md, "Live packets".

    stream = wire.Stream(encoder.header, session_id=secrets.randbits(32))
    datagram = wire.pack(packet, stream)
    packet = wire.unpack(datagram, wire.Stream(header, session_id))

The checksum of a packet also covers the header and the session, which are not sent with it: a sound packet
of another stream, session or model fails it, at no cost in bytes. It finds damage and mix-ups, not forgery.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from narrows._core import crc32c
from narrows.container import Input, varint
from narrows.contracts import Packet
from narrows.errors import CorruptStream, OptionError, PacketError

VERSION = 1
MAX_DATAGRAM_BYTES = 1200  # under every path's MTU, IPv6 and tunnels included
MAX_HEADER_BYTES = MAX_DATAGRAM_BYTES - 24
MAX_COPIES = 8
_KEY, _COPIES, _LAST, _ZERO = 0x08, 0x04, 0x02, 0x01
_MOST_FRAMES = 1 << 32  # that a stream can have come to


class Kind(IntEnum):
    """What a datagram is."""

    PACKET = 0
    HEADER = 1
    REQUEST = 2
    REPORT = 3


class Stream:
    """One stream as its datagrams need it: header, session id, and the seq and time it has come to.

    `byte` marks its datagrams; several streams on one port may share it by chance, then checksums tell
    them apart. `pack` and `unpack` move `seq` and `time` forward, `unpack` only for what it accepts.
    """

    __slots__ = ("byte", "header", "seed", "seq", "session_id", "time")

    def __init__(self, header: bytes, session_id: int, seq: int = 0, time: int = 0) -> None:
        if not 0 <= session_id < 2**32:
            raise ValueError(f"a session id has 32 bits, not {session_id}")
        if len(header) > MAX_HEADER_BYTES:
            raise OptionError(
                f"a header sent live has at most {MAX_HEADER_BYTES:,} bytes, not {len(header):,}"
            )
        self.header = bytes(header)
        self.session_id = session_id
        self.byte = session_id & 0xFF
        self.seed = int(crc32c(struct.pack("<I", session_id), crc32c(self.header)))
        self.seq = seq
        self.time = time

    def advance(self, seq: int, time: int) -> None:
        """Note a packet, if it is the furthest so far."""
        if seq > self.seq:
            self.seq, self.time = seq, time


@dataclass(frozen=True, slots=True)
class Report:
    """What a receiver tells its sender: packets since the start, times in microseconds."""

    highest_seq: int
    num_received: int
    num_lost: int
    num_late: int
    jitter_us: int
    delay_us: int


def kind_and_byte(datagram: bytes) -> tuple[Kind, int]:
    """The kind of a datagram and its stream byte, nothing else checked than size and version.

    >>> from narrows.streaming import wire
    >>> wire.kind_and_byte(wire.pack_request(7))
    (<Kind.REQUEST: 2>, 7)
    """
    if not 6 <= len(datagram) <= MAX_DATAGRAM_BYTES:
        raise PacketError(f"a datagram has 6 to {MAX_DATAGRAM_BYTES:,} bytes, not {len(datagram):,}")
    first = datagram[0]
    if first >> 6 != VERSION:
        raise PacketError(f"wire version {first >> 6}; this one knows {VERSION}")
    if first & _ZERO:
        raise PacketError("a reserved bit is set")
    kind = Kind(first >> 4 & 3)
    if kind != Kind.PACKET and first & 0x0F:
        raise PacketError(f"a {kind.name.lower()} with flags of a packet")
    return kind, datagram[1]


def pack(packet: Packet, stream: Stream) -> bytes:
    """The datagram of a packet. OptionError if it is above 1,200 bytes.

    >>> from narrows.contracts import Packet
    >>> from narrows.streaming import wire
    >>> wire.pack(Packet(3, 960, 0, b"abc", key=True), wire.Stream(b"", 0x01020304))[:11].hex()
    '48040300c0030000616263'
    """
    if packet.seq < 0 or packet.time < 0 or packet.count < 0:
        raise ValueError(f"seq, time and count are not negative: {packet.seq}, {packet.time}, {packet.count}")
    first = VERSION << 6 | _KEY * packet.key | _COPIES * bool(packet.copies) | _LAST * packet.last
    body = struct.pack("<BBHI", first, stream.byte, packet.seq & 0xFFFF, packet.time & 0xFFFFFFFF)
    if packet.last:
        body += varint(packet.count)
    if packet.copies:
        body += _pack_copies(packet)
    datagram = _sealed(body + packet.payload, stream.seed)
    stream.advance(packet.seq, packet.time)
    return datagram


def unpack(datagram: bytes, stream: Stream) -> Packet:
    """The packet in a datagram of `stream`, seq and time unwrapped to the nearest of the last accepted.

    `count` is 0 but in the last packet: all others add as much as the codec's packets do.
    Raises PacketError for version, stream, checksum and form; then `stream` is as it was.
    """
    kind, byte = kind_and_byte(datagram)
    if kind != Kind.PACKET:
        raise PacketError(f"a {kind.name.lower()}, not a packet")
    if byte != stream.byte:
        raise PacketError(f"of stream {byte}, not {stream.byte}")
    body = _opened(datagram, stream.seed)
    if len(body) < 8:
        raise PacketError("a packet is cut")
    first, _, low_seq, low_time = struct.unpack_from("<BBHI", body)
    seq, time = _unwrap(low_seq, stream.seq, 16), _unwrap(low_time, stream.time, 32)
    if seq < 0 or time < 0:
        raise PacketError("from before the start of the stream")
    source = Input(body[8:])
    try:
        count = source.varint() if first & _LAST else 0
        copies = _unpack_copies(source, seq) if first & _COPIES else ()
    except CorruptStream as error:
        raise PacketError(error.message) from None
    payload = body[8 + source.position :]
    stream.advance(seq, time)
    return Packet(seq, time, count, payload, bool(first & _KEY), bool(first & _LAST), copies)


def pack_header(stream: Stream) -> bytes:
    """The datagram that makes a stream known, with the seq and time it has come to."""
    body = struct.pack("<BBI", VERSION << 6 | Kind.HEADER << 4, stream.byte, stream.session_id)
    return _sealed(body + varint(stream.seq) + varint(stream.time) + stream.header, 0)


def unpack_header(datagram: bytes) -> Stream:
    """The stream that a header datagram makes known; what the header says is left to the codec."""
    body = _plain(datagram, Kind.HEADER)
    if len(body) < 6:
        raise PacketError("a header is cut")
    (session_id,) = struct.unpack_from("<I", body, 2)
    if session_id & 0xFF != body[1]:
        raise PacketError(f"stream {body[1]} is not that of session {session_id:08x}")
    source = Input(body[6:])
    try:
        seq, time = source.varint(_MOST_FRAMES), source.varint()
        return Stream(body[6 + source.position :], session_id, seq, time)
    except (CorruptStream, OptionError) as error:
        raise PacketError(str(error)) from None


def pack_request(byte: int) -> bytes:
    """The datagram that asks the sender of stream `byte` for its header."""
    return _sealed(bytes([VERSION << 6 | Kind.REQUEST << 4, byte]), 0)


def unpack_request(datagram: bytes) -> int:
    """The stream byte that a request is about."""
    body = _plain(datagram, Kind.REQUEST)
    if len(body) != 2:
        raise PacketError("a request has 6 bytes")
    return body[1]


def pack_report(report: Report, stream: Stream) -> bytes:
    """The datagram of a report."""
    values = (
        report.highest_seq,
        report.num_received,
        report.num_lost,
        report.num_late,
        report.jitter_us,
        report.delay_us,
    )
    body = bytes([VERSION << 6 | Kind.REPORT << 4, stream.byte])
    return _sealed(body + b"".join(map(varint, values)), stream.seed)


def unpack_report(datagram: bytes, stream: Stream) -> Report:
    """The report in a datagram about `stream`."""
    kind, byte = kind_and_byte(datagram)
    if kind != Kind.REPORT:
        raise PacketError(f"a {kind.name.lower()}, not a report")
    if byte != stream.byte:
        raise PacketError(f"of stream {byte}, not {stream.byte}")
    source = Input(_opened(datagram, stream.seed)[2:])
    try:
        report = Report(*(source.varint() for _ in range(6)))
    except CorruptStream as error:
        raise PacketError(error.message) from None
    if source.position != source.size:
        raise PacketError("bytes are left behind a report")
    return report


def copy_packets(packet: Packet) -> list[Packet]:
    """The earlier packets that `packet` carries coarse copies of, as the codec would have sent them."""
    step = packet.time // packet.seq if packet.seq else 0
    return [
        Packet(packet.seq - distance, packet.time - distance * step, 0, payload, key=True)
        for distance, payload in packet.copies
    ]


def _pack_copies(packet: Packet) -> bytes:
    if len(packet.copies) > MAX_COPIES:
        raise OptionError(f"a packet carries at most {MAX_COPIES} copies, not {len(packet.copies)}")
    out = bytes([len(packet.copies)])
    before = 0
    for distance, payload in packet.copies:
        if not before < distance <= min(255, packet.seq) or not payload:
            raise ValueError(f"copies are of 1 to 255 packets back, nearest first, not {distance}")
        out += bytes([distance]) + varint(len(payload)) + payload
        before = distance
    return out


def _unpack_copies(source: Input, seq: int) -> tuple[tuple[int, bytes], ...]:
    number = source.byte()
    if not 1 <= number <= MAX_COPIES:
        raise CorruptStream(f"{number} copies; there are 1 to {MAX_COPIES}")
    copies: list[tuple[int, bytes]] = []
    for _ in range(number):
        distance = source.byte()
        if not (copies[-1][0] if copies else 0) < distance <= seq:
            raise CorruptStream(f"a copy of {distance} packets back")
        size = source.varint(MAX_DATAGRAM_BYTES, "the length of a copy")
        if not size:
            raise CorruptStream("an empty copy")
        copies.append((distance, source.read(size)))
    return tuple(copies)


def _unwrap(low: int, near: int, bits: int) -> int:
    """The number nearest to `near` that ends in the `bits` bits of `low`; half the range off is behind."""
    half = 1 << (bits - 1)
    return near + ((low - near + half) & ((1 << bits) - 1)) - half


def _sealed(body: bytes, seed: int) -> bytes:
    datagram = body + struct.pack("<I", crc32c(body, seed))
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise OptionError(f"a datagram has at most {MAX_DATAGRAM_BYTES:,} bytes, this has {len(datagram):,}")
    return datagram


def _opened(datagram: bytes, seed: int) -> bytes:
    body = bytes(datagram[:-4])
    if struct.pack("<I", crc32c(body, seed)) != datagram[-4:]:
        raise PacketError("the checksum differs: damage, or another stream's")
    return body


def _plain(datagram: bytes, wanted: Kind) -> bytes:
    kind, _ = kind_and_byte(datagram)
    if kind != wanted:
        raise PacketError(f"a {kind.name.lower()}, not a {wanted.name.lower()}")
    return _opened(datagram, 0)
