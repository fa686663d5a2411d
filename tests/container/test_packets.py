import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.container import join_packets, split_packets
from narrows.errors import CorruptStream


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=60))
def test_packets_come_back(payloads):
    assert split_packets(join_packets(payloads)) == payloads


@given(st.integers(1, 200), st.integers(1, 20))
def test_equal_lengths_cost_one_number(size, number):
    payloads = [bytes([i]) * size for i in range(number)]
    data = join_packets(payloads)
    assert len(data) == size * number + (1 if size < 64 else 2)
    assert split_packets(data) == payloads


def test_forms_byte_by_byte():
    assert join_packets([b"abc"]) == b"\x06abc"
    assert join_packets([b"ab", b"cd", b"ef"]) == b"\x04abcdef"
    assert join_packets([b"ab", b"c"]) == b"\x01\x02ab\x01c"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x04",  # a length and no packet
        b"\x04abc",  # no whole number of packets
        b"\x00",  # packets of no bytes
        b"\x01",  # lengths, and no packet
        b"\x03ab",  # an odd head that is not 1
        b"\x01\x02ab\x02cd",  # equal lengths are not written so
        b"\x01\x02ab",
        b"\x01\x02ab\x00",  # an empty packet
        b"\x01\x02ab\x05c",  # cut
        b"\x01\x82\x00ab\x01c",  # a length in a long form
        b"\x84\x00abcd",
    ],
)
def test_what_is_no_form_is_corrupt(data):
    with pytest.raises(CorruptStream):
        split_packets(data)


@given(st.binary(max_size=60))
def test_one_spelling_for_each_list(data):
    try:
        payloads = split_packets(data)
    except CorruptStream:
        return
    assert join_packets(payloads) == data


def test_number_of_packets_is_bounded():
    with pytest.raises(CorruptStream, match="more than 3"):
        split_packets(b"\x02abcd", limit=3)
    with pytest.raises(CorruptStream, match="more than 1"):
        split_packets(join_packets([b"ab", b"c"]), limit=1)


@pytest.mark.parametrize("payloads", [[], [b"a", b""]])
def test_nothing_and_empty_packets_cannot_be_joined(payloads):
    with pytest.raises(ValueError, match="one packet or more"):
        join_packets(payloads)
