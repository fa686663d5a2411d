"""The datagrams of docs/format.md, "Live packets", written out here byte by byte."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.contracts import Packet
from narrows.errors import OptionError, PacketError
from narrows.streaming import wire

HEADER = bytes.fromhex("894e525701000b") + b"not a real header"
SESSION = 0x12345678


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit, as the specification words it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sealed(body: bytes, *before: bytes) -> bytes:
    """`body` and the CRC over what comes before it and itself."""
    return body + struct.pack("<I", crc32c(b"".join(before) + body))


def a_stream(**more) -> wire.Stream:
    return wire.Stream(HEADER, SESSION, **more)


def of_stream(body: bytes) -> bytes:
    return sealed(body, HEADER, struct.pack("<I", SESSION))


GOLDEN = {
    "plain": (
        Packet(3, 960, 0, b"\xaa\xbb\xcc", key=False),
        bytes.fromhex("40 78 0300 c0030000 aabbcc"),
    ),
    "key": (
        Packet(0, 0, 0, b"\x01", key=True),
        bytes.fromhex("48 78 0000 00000000 01"),
    ),
    "last, of 300 samples": (
        Packet(258, 82_560, 300, b"\xff", key=True, last=True),
        bytes.fromhex("4a 78 0201 80420100 ac02 ff"),
    ),
    "two copies": (
        Packet(5, 1600, 0, b"\x05", key=True, copies=((1, b"\x04\x04"), (3, b"\x02"))),
        bytes.fromhex("4c 78 0500 40060000 02 01 02 0404 03 01 02 05"),
    ),
    "last with a copy, nothing of its own": (
        Packet(1, 320, 0, b"", key=True, last=True, copies=((1, b"\x09"),)),
        bytes.fromhex("4e 78 0100 40010000 00 01 01 01 09"),
    ),
    "wrapped": (
        Packet(65_537, 20_971_840, 0, b"\x07", key=False),
        bytes.fromhex("40 78 0100 40014001 07"),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_packets(name):
    packet, body = GOLDEN[name]
    assert wire.pack(packet, a_stream()) == of_stream(body)
    near = a_stream(seq=max(packet.seq - 1, 0), time=packet.time)
    assert wire.unpack(of_stream(body), near) == packet


def test_golden_header_request_report():
    body = bytes.fromhex("50 78 78563412 ac02 80f405") + HEADER
    stream = a_stream(seq=300, time=96_768)
    assert wire.pack_header(stream) == sealed(body)
    found = wire.unpack_header(sealed(body))
    assert (found.header, found.session_id, found.byte) == (HEADER, SESSION, 0x78)
    assert (found.seq, found.time) == (300, 96_768)

    assert wire.pack_request(0x78) == sealed(bytes.fromhex("60 78"))
    assert wire.unpack_request(sealed(bytes.fromhex("60 78"))) == 0x78

    report = wire.Report(70_000, 69_900, 100, 3, 4500, 61_000)
    body = bytes.fromhex("70 78 f0a204 8ca204 64 03 9423 c8dc03")
    assert wire.pack_report(report, a_stream()) == of_stream(body)
    assert wire.unpack_report(of_stream(body), a_stream()) == report


@st.composite
def packets(draw):
    seq = draw(st.integers(0, 2**40))
    last = draw(st.booleans())
    distances = draw(st.lists(st.integers(1, min(255, seq)), max_size=8, unique=True)) if seq else []
    copies = tuple((d, draw(st.binary(min_size=1, max_size=60))) for d in sorted(distances))
    return Packet(
        seq,
        draw(st.integers(0, 2**48)),
        draw(st.integers(0, 2**20)) if last else 0,
        draw(st.binary(max_size=600)),
        draw(st.booleans()),
        last,
        copies,
    )


@given(packets(), st.integers(-(2**15), 2**15 - 1), st.integers(-(2**31), 2**31 - 1))
def test_packets_come_back_near_what_was_accepted_before(packet, behind, behind_time):
    near = wire.Stream(HEADER, SESSION, max(packet.seq + behind, 0), max(packet.time + behind_time, 0))
    assert wire.unpack(wire.pack(packet, a_stream()), near) == packet


@given(st.binary(max_size=1300))
def test_any_bytes_are_refused_and_change_nothing(data):
    stream = a_stream(seq=9, time=2880)
    for read in (
        lambda: wire.unpack(data, stream),
        lambda: wire.unpack_report(data, stream),
        lambda: wire.unpack_header(data),
        lambda: wire.unpack_request(data),
    ):
        with pytest.raises(PacketError):
            read()
    assert (stream.seq, stream.time) == (9, 2880)


@given(st.binary(max_size=40), st.sampled_from([0x40, 0x42, 0x44, 0x46, 0x48, 0x4A, 0x4C, 0x4E]))
def test_sound_checksums_around_any_bytes_give_a_packet_or_a_refusal(rest, first):
    datagram = of_stream(bytes([first, SESSION & 0xFF]) + rest)
    try:
        packet = wire.unpack(datagram, a_stream())
    except PacketError:
        return
    assert wire.pack(packet, a_stream()) == datagram  # one spelling each


@given(packets(), st.data())
def test_every_flipped_bit_is_found(packet, data):
    datagram = wire.pack(packet, a_stream())
    bit = data.draw(st.integers(0, 8 * len(datagram) - 1))
    damaged = bytearray(datagram)
    damaged[bit // 8] ^= 1 << bit % 8
    stream = a_stream(seq=packet.seq, time=packet.time)
    with pytest.raises(PacketError):
        wire.unpack(bytes(damaged), stream)
    assert (stream.seq, stream.time) == (packet.seq, packet.time)


@given(packets())
def test_every_prefix_is_refused(packet):
    datagram = wire.pack(packet, a_stream())
    for size in range(len(datagram)):
        with pytest.raises(PacketError):
            wire.unpack(datagram[:size], a_stream(seq=packet.seq, time=packet.time))


@pytest.mark.parametrize(
    "other",
    [
        wire.Stream(HEADER, SESSION + 0x100),  # another session with the same byte
        wire.Stream(HEADER + b"x", SESSION),  # another header, as of another model or rate
        wire.Stream(HEADER, SESSION + 1),
    ],
)
def test_a_packet_of_another_stream_is_refused(other):
    datagram = wire.pack(Packet(1, 320, 0, b"abc", key=True), other)
    with pytest.raises(PacketError, match=r"checksum|stream"):
        wire.unpack(datagram, a_stream())


def test_seq_wraps_and_packets_out_of_order_stay_in_place():
    sender, receiver = a_stream(), a_stream()
    order = [*range(0, 70_000, 7000), 65_534, 65_537, 65_535, 65_536, 65_533, 70_001]
    for seq in order:
        datagram = wire.pack(Packet(seq, seq * 320, 0, b"x", key=True), sender)
        packet = wire.unpack(datagram, receiver)
        assert (packet.seq, packet.time) == (seq, seq * 320)
    assert receiver.seq == 70_001


def test_a_receiver_that_joins_after_a_wrap_counts_as_the_sender_does():
    sender = a_stream()
    wire.pack(Packet(200_000, 64_000_000, 0, b"x", key=True), sender)
    joined = wire.unpack_header(wire.pack_header(sender))
    datagram = wire.pack(Packet(200_003, 64_000_960, 0, b"y", key=True), sender)
    assert wire.unpack(datagram, joined).seq == 200_003


def test_a_packet_from_before_the_start_is_refused():
    body = bytes.fromhex("40 78 ffff 00000000 01")
    with pytest.raises(PacketError, match="before the start"):
        wire.unpack(of_stream(body), a_stream())


@pytest.mark.parametrize(
    "body",
    [
        "41 78 0000 00000000 01",  # reserved bit
        "00 78 0000 00000000 01",  # version 0
        "80 78 0000 00000000 01",  # version 2
        "40 79 0000 00000000 01",  # another stream
        "50 78 0000 00000000 01",  # a header
        "40 78 0000 000000",  # cut
        "42 78 0000 00000000",  # last, no count
        "42 78 0000 00000000 8000",  # a count in a long form
        "44 78 0500 40060000 00",  # copies, but none
        "44 78 0500 40060000 09 01 01 aa",  # more copies than there may be
        "44 78 0500 40060000 01 00 01 aa",  # a copy of itself
        "44 78 0500 40060000 01 06 01 aa",  # a copy of what came before the first
        "44 78 0500 40060000 02 02 01 aa 01 01 bb",  # farthest first
        "44 78 0500 40060000 01 01 00",  # an empty copy
        "44 78 0500 40060000 01 01 05 aa",  # a copy that is cut
    ],
)
def test_malformed_packets_with_sound_checksums(body):
    stream = a_stream()
    with pytest.raises(PacketError):
        wire.unpack(of_stream(bytes.fromhex(body)), stream)
    assert (stream.seq, stream.time) == (0, 0)


@pytest.mark.parametrize(
    "body", ["51 78 78563412 00 00", "58 78 78563412 00 00", "50 79 78563412 00 00", "50 78 7856"]
)
def test_malformed_headers(body):
    with pytest.raises(PacketError):
        wire.unpack_header(sealed(bytes.fromhex(body)))


def test_what_does_not_fit_a_datagram_is_refused_by_the_sender():
    largest = Packet(1, 320, 0, bytes(1188), key=True)
    assert len(wire.pack(largest, a_stream())) == 1200
    with pytest.raises(OptionError, match="1,200"):
        wire.pack(Packet(1, 320, 0, bytes(1189), key=True), a_stream())
    with pytest.raises(OptionError, match="header"):
        wire.Stream(bytes(1200), SESSION)
    longest = wire.Stream(bytes(wire.MAX_HEADER_BYTES), SESSION, 2**32, 2**48)
    assert wire.unpack_header(wire.pack_header(longest)).header == longest.header


def test_a_stream_cannot_have_come_further_than_positions_can_tell():
    with pytest.raises(PacketError):
        wire.unpack_header(wire.pack_header(wire.Stream(bytes(20), SESSION, 2**32 + 1, 0)))


@pytest.mark.parametrize(
    "packet",
    [
        Packet(-1, 0, 0, b"a", key=True),
        Packet(5, 1600, 0, b"a", key=True, copies=((2, b"x"), (1, b"y"))),
        Packet(5, 1600, 0, b"a", key=True, copies=((6, b"x"),)),
        Packet(5, 1600, 0, b"a", key=True, copies=((1, b""),)),
    ],
)
def test_what_has_no_form_is_refused(packet):
    with pytest.raises(ValueError):
        wire.pack(packet, a_stream())


def test_copies_become_the_packets_they_are_of():
    packet = Packet(5, 1600, 0, b"five", key=True, copies=((1, b"four"), (3, b"two")))
    assert wire.copy_packets(packet) == [
        Packet(4, 1280, 0, b"four", key=True),
        Packet(2, 640, 0, b"two", key=True),
    ]
