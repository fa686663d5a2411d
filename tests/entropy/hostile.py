"""Everything that peers crash, hang or lie on, done to this coder, in a process with little memory.

`python hostile.py [FLIPS]` prints one JSON object a case; `test_robustness.py` says what each must do. Among
the cases are those of a comparison of CompressAI 1.2.6, constriction 0.5.0, torch_ans 0.4.0, torchac 0.9.3.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from narrows import _core, entropy
from narrows.entropy.compat import compressai
from narrows.errors import CorruptStream, LimitExceeded, UnsupportedStream
from narrows.limits import Limits

SPARE_BYTES = 384 << 20  # what a case may take beyond the interpreter and its libraries

rng = np.random.default_rng(3)


def gaussian(scale: float) -> np.ndarray:
    values = np.arange(-40, 41)
    pmf = np.exp(-0.5 * (values / scale) ** 2)
    return 0.98 * pmf / pmf.sum()


TABLES = entropy.Tables.from_pmf([gaussian(s) for s in (0.3, 1, 4, 9)], [-40] * 4, escape=0.02)
OTHER_TABLES = entropy.Tables.from_pmf([gaussian(s) for s in (0.4, 1, 4, 9)], [-40] * 4, escape=0.02)
CLOSED = entropy.Tables.from_pmf([np.ones(200, np.uint64)], [0], bits=12, escape=False)
ADAPTIVE = entropy.Tables.from_pmf([[4, 2, 1, 1]] * 4, [0] * 4)
INDEX = rng.integers(0, 4, 5000).astype(np.uint8)
SYMBOLS = np.rint(rng.standard_normal(5000) * np.array([0.3, 1, 4, 9])[INDEX]).astype(np.int32)
SYMBOLS[::97] = rng.integers(-(2**31), 2**31, len(SYMBOLS[::97]))
PAYLOAD = entropy.encode(SYMBOLS, INDEX, TABLES)

CDFS = [[0, 40_000, 65_000, 65_500, 65_536], [0, 20_000, 40_000, 65_535, 65_536]]
THEIRS = (CDFS, [5, 5], [-1, 0])
THEIR_INDEX = [0, 1] * 500
THEIR_SYMBOLS = rng.integers(-1, 2, 1000).tolist()
THEIR_STRING = compressai.RansEncoder().encode_with_indexes(THEIR_SYMBOLS, THEIR_INDEX, *THEIRS)


def their_encode(symbols, index, tables=THEIRS):
    return compressai.RansEncoder().encode_with_indexes(symbols, index, *tables)


def their_decode(string, index, tables=THEIRS):
    return compressai.RansDecoder().decode_with_indexes(string, index, *tables)


def same(symbols, index, tables=TABLES, **options):
    """Code and decode; CorruptStream's opposite is an assertion."""
    back = entropy.decode(entropy.encode(symbols, index, tables, **options), index, tables)
    assert np.array_equal(back, symbols)


def decoded(payload, index=INDEX, tables=TABLES):
    return entropy.decode(payload, index, tables)


def flipped(payload: bytes, bit: int) -> bytes:
    damaged = bytearray(payload)
    damaged[bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged)


def sealed(body: bytes) -> bytes:
    return body + _core.crc32c(body).to_bytes(4, "little")


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def claims(num_symbols: int, num_words: int, num_side_bytes: int) -> bytes:
    """A whole and checked payload of 32 lanes that says it holds so many symbols, words and bytes."""
    head = bytes([1 << 4, TABLES.bits, 5 | 1 << 3 | 1 << 6]) + TABLES.digest()
    return sealed(head + b"".join(map(varint, (num_symbols, num_words, num_side_bytes))) + bytes(4096))


def make_tables(**change):
    fields = {"bits": 8, "offset": [0], "shift": [0], "size": [3], "cdf": [[0, 1, 128, 256]]} | change
    return entropy.Tables(**fields)


def ranged(symbols, index, model=TABLES):
    encoder = entropy.RangeEncoder()
    encoder.put(symbols, index, model)
    return encoder.finish()


def far(shape) -> np.ndarray:
    """An index of as many zeros as asked for, in one byte of memory."""
    return np.broadcast_to(np.uint8(0), shape)


def one_symbol_many_times():
    for _ in range(200):
        same([7], [3])
        assert their_decode(their_encode([0], [0]), [0]) == [0]
        assert entropy.RangeDecoder(ranged([7], [3])).get([3], TABLES).tolist() == [7]


def extremes():
    edge = np.array([-(2**31), 2**31 - 1, 0, -1, 2**31 - 1, -(2**31)] * 20, np.int32)
    which = np.arange(len(edge)) % 4
    same(edge, which)
    assert np.array_equal(entropy.RangeDecoder(ranged(edge, which)).get(which, TABLES), edge)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert their_decode(their_encode(edge, which % 2), which % 2) == edge.tolist()


def odd_layouts():
    same(SYMBOLS[::3], INDEX[::3])
    same(SYMBOLS[::-1], INDEX[::-1])
    for dtype in (np.int64, np.uint64, np.uint16, np.uint32):
        same(SYMBOLS, INDEX.astype(dtype))
    same(SYMBOLS.astype(np.int64), INDEX)
    same(SYMBOLS.astype(">i4"), INDEX)
    same(np.asfortranarray(SYMBOLS.reshape(50, 100)), np.asfortranarray(INDEX.reshape(50, 100)))


def unaligned():
    symbols = np.frombuffer(b"x" + SYMBOLS.tobytes(), np.int32, offset=1, count=5000)
    index = np.frombuffer(b"x" + INDEX.astype(np.uint16).tobytes(), np.uint16, offset=1, count=5000)
    same(symbols, index)


def finished_twice():
    encoder = entropy.RangeEncoder()
    encoder.finish()
    encoder.finish()


# Name, what must happen, and how. "sound" is a case that must simply work.
CASES: dict[str, tuple[str, Callable[[], object]]] = {
    # rows of the comparison
    "index out of range, encode": ("mistake", lambda: entropy.encode([0, 0], [0, 4], TABLES)),
    "index out of range, decode": ("mistake", lambda: decoded(PAYLOAD, np.full(5000, 200, np.uint8))),
    "index out of range, range coder": ("mistake", lambda: ranged([0], [4])),
    "index out of range, their strings": ("mistake", lambda: their_encode([0] * 4, [0, 1, 2, 0])),
    "index out of range, their decoder": ("mistake", lambda: their_decode(THEIR_STRING, [9] * 1000)),
    "index -1, encode": ("mistake", lambda: entropy.encode([0], [-1], TABLES)),
    "index -1, decode": ("mistake", lambda: decoded(PAYLOAD, INDEX.astype(np.int64) - 1)),
    "index -1, range decoder": ("mistake", lambda: entropy.RangeDecoder(b"abc").get([-1], TABLES)),
    "index -1, their strings": ("mistake", lambda: their_decode(THEIR_STRING, [-1] * 1000)),
    "empty input": ("sound", lambda: same(np.zeros(0, np.int32), np.zeros(0, np.uint8))),
    "empty input, range coder": ("sound", lambda: entropy.RangeDecoder(ranged([], [])).finish()),
    "empty input, their strings": ("sound", lambda: their_decode(their_encode([], []), [])),
    "one symbol, 200 calls": ("sound", one_symbol_many_times),
    "empty stream": ("damage", lambda: decoded(b"")),
    "empty stream, range decoder": (
        "damage",
        lambda: entropy.RangeDecoder(b"").get(np.full(5000, 3, np.uint8), TABLES),
    ),
    "empty stream, their strings": ("damage", lambda: their_decode(b"", THEIR_INDEX)),
    "cut in half": ("damage", lambda: decoded(PAYLOAD[: len(PAYLOAD) // 2])),
    "cut in half, their strings": (
        "damage",
        lambda: their_decode(THEIR_STRING[: len(THEIR_STRING) // 2], THEIR_INDEX),
    ),
    "cut to 3 bytes": ("damage", lambda: decoded(PAYLOAD[:3])),
    "cut to 3 bytes, their strings": ("damage", lambda: their_decode(THEIR_STRING[:3], THEIR_INDEX)),
    "one bit flipped": ("damage", lambda: decoded(flipped(PAYLOAD, len(PAYLOAD) * 4))),
    "one bit flipped, their strings": (
        "damage",
        lambda: their_decode(flipped(THEIR_STRING, 400), THEIR_INDEX),
    ),
    "wrong tables": ("damage", lambda: decoded(PAYLOAD, INDEX, OTHER_TABLES)),
    "wrong indexes": ("damage", lambda: decoded(PAYLOAD, INDEX[::-1])),
    "symbols at the ends of int32": ("sound", extremes),
    "unequal lengths": ("mistake", lambda: entropy.encode([0] * 5, [0] * 6, TABLES)),
    "unequal lengths, range coder": ("mistake", lambda: ranged([0] * 5, [0] * 6)),
    "unequal lengths, their strings": ("mistake", lambda: their_encode([0] * 5, [0] * 6)),
    "more symbols than encoded": ("damage", lambda: decoded(PAYLOAD, np.zeros(5_000_000, np.uint8))),
    "fewer symbols than encoded": ("damage", lambda: decoded(PAYLOAD, INDEX[:-1])),
    "more symbols, their strings": ("damage", lambda: their_decode(THEIR_STRING, [0] * 100_000)),
    "10^12 symbols": ("limit", lambda: decoded(PAYLOAD, far(10**12))),
    "10^18 symbols": ("limit", lambda: decoded(PAYLOAD, far(10**18))),
    "above the caller's limit": (
        "limit",
        lambda: entropy.decode(PAYLOAD, INDEX, TABLES, limits=Limits(max_output_bytes=10)),
    ),
    # counts in the data
    "claims 2^60 symbols": ("damage", lambda: decoded(claims(2**60, 1000, 0))),
    "claims 2^60 words": ("damage", lambda: decoded(claims(5000, 2**60, 0))),
    "claims 2^60 side bytes": ("damage", lambda: decoded(claims(5000, 100, 2**60))),
    "claims sums beyond 64 bits": ("damage", lambda: decoded(claims(2**63, 2**63, 2**63))),
    "claims more symbols than asked": ("damage", lambda: decoded(claims(5001, 1000, 0))),
    "stored, claims 2^31 symbols": (
        "damage",
        lambda: decoded(sealed(b"\x12\x04\x40" + TABLES.digest() + varint(2**31) + varint(0) + varint(9))),
    ),
    "bytes behind the end": ("damage", lambda: decoded(PAYLOAD + b"\0")),
    "bytes before the beginning": ("refusal", lambda: decoded(b"\0" + PAYLOAD)),
    "twice the payload": ("damage", lambda: decoded(PAYLOAD + PAYLOAD)),
    "endless varint": ("damage", lambda: decoded(sealed(PAYLOAD[:7] + b"\xff" * 4000))),
    "zeros": ("refusal", lambda: decoded(bytes(100_000))),
    "ones": ("refusal", lambda: decoded(b"\xff" * 100_000)),
    "a newer version": ("refusal", lambda: decoded(sealed(b"\xf0" + PAYLOAD[1:-4]))),
    # tables
    "tables: a frequency of zero in the middle": ("mistake", lambda: make_tables(cdf=[[0, 1, 1, 256]])),
    "tables: falling": ("mistake", lambda: make_tables(cdf=[[0, 200, 100, 256]])),
    "tables: sum too small": ("mistake", lambda: make_tables(cdf=[[0, 1, 128, 255]])),
    "tables: sum too large": ("mistake", lambda: make_tables(cdf=[[0, 1, 128, 2**32 - 1]])),
    "tables: 10^9 symbols": ("mistake", lambda: make_tables(size=[10**9])),
    "tables: size 0": ("mistake", lambda: make_tables(size=[0])),
    "tables: size -1": ("mistake", lambda: make_tables(size=[-1])),
    "tables: none": ("mistake", lambda: make_tables(offset=[], shift=[], size=[], cdf=np.zeros((0, 4), int))),
    "tables: shift 255": ("mistake", lambda: make_tables(shift=[255])),
    "tables: shift 256": ("mistake", lambda: make_tables(shift=[256])),
    "tables: values beyond int32": ("mistake", lambda: make_tables(offset=[2**31 - 1], shift=[30])),
    "tables: bits 33": ("mistake", lambda: make_tables(bits=33)),
    "tables: bits 2.5": ("mistake", lambda: make_tables(bits=2.5)),
    "tables: float cdf": ("mistake", lambda: make_tables(cdf=[[0, 1.5, 128, 256]])),
    "tables: more tokens than slots": (
        "mistake",
        lambda: entropy.Tables.from_pmf([np.ones(2**20, np.uint64)], [0], bits=16),
    ),
    "tables: more than 65,536": (
        "mistake",
        lambda: entropy.Tables(
            8,
            np.zeros(70_000, int),
            np.zeros(70_000, int),
            np.full(70_000, 2),
            np.broadcast_to(np.array([0, 1, 256]), (70_000, 3)),
        ),
    ),
    "pmf: NaN": ("mistake", lambda: entropy.Tables.from_pmf([[0.5, float("nan")]], [0])),
    "pmf: NaN escape": ("mistake", lambda: entropy.Tables.from_pmf([[0.5, 0.5]], [0], escape=float("nan"))),
    "pmf: negative": ("mistake", lambda: entropy.Tables.from_pmf([[0.5, -0.5]], [0])),
    "pmf: all zero": ("mistake", lambda: entropy.Tables.from_pmf([[0.0, 0.0]], [0])),
    "pmf: empty": ("mistake", lambda: entropy.Tables.from_pmf([[]], [0])),
    "pmf: text": ("mistake", lambda: entropy.Tables.from_pmf([["a", "b"]], [0])),
    "pmf: complex": ("mistake", lambda: entropy.Tables.from_pmf([np.ones(3, complex)], [0])),
    "pmf: two rows, one offset": ("mistake", lambda: entropy.Tables.from_pmf([[1, 1], [1, 1]], [0])),
    "pmf: infinite": ("sound", lambda: entropy.Tables.from_pmf([[0.5, float("inf")]], [0])),
    "pmf: sums beyond 64 bits": (
        "sound",
        lambda: same([0] * 9, [0] * 9, entropy.Tables.from_pmf([np.full(9, 2**64 - 1, np.uint64)], [0])),
    ),
    "their cdf: falling": ("mistake", lambda: their_encode([0], [0], ([[0, 500, 400, 65_536]], [4], [0]))),
    "their cdf: sum off": ("mistake", lambda: their_encode([0], [0], ([[0, 400, 500, 65_535]], [4], [0]))),
    "their cdf: length beyond the row": ("mistake", lambda: their_encode([0], [0], (CDFS, [5, 50], [0, 0]))),
    "their cdf: length 10^9": ("mistake", lambda: their_encode([0], [0], (CDFS, [5, 10**9], [0, 0]))),
    "their cdf: length -1": ("mistake", lambda: their_encode([0], [0], (CDFS, [5, -1], [0, 0]))),
    "their cdf: no offsets": ("mistake", lambda: their_encode([0], [0], (CDFS, [5, 5], []))),
    "their cdf: rounded": ("mistake", lambda: their_encode([0], [0], ([[0, 0.5, 65_536]], [3], [0]))),
    "their pmf: NaN": ("mistake", lambda: compressai.pmf_to_quantized_cdf([0.5, float("nan")])),
    "their pmf: infinite": ("mistake", lambda: compressai.pmf_to_quantized_cdf([0.5, float("inf")])),
    "their pmf: negative": ("mistake", lambda: compressai.pmf_to_quantized_cdf([0.5, -0.5])),
    "their pmf: empty": ("mistake", lambda: compressai.pmf_to_quantized_cdf([])),
    "their pmf: precision 99": ("mistake", lambda: compressai.pmf_to_quantized_cdf([0.5, 0.5], 99)),
    # arrays
    "odd layouts and dtypes": ("sound", odd_layouts),
    "unaligned and read-only": ("sound", unaligned),
    "float symbols": ("mistake", lambda: entropy.encode([0.5], [0], TABLES)),
    "NaN symbols": ("mistake", lambda: entropy.encode([float("nan")], [0], TABLES)),
    "float index": ("mistake", lambda: entropy.encode([0], [0.0], TABLES)),
    "symbols beyond int32": ("mistake", lambda: entropy.encode([2**31], [0], TABLES)),
    "symbols beyond int64": ("mistake", lambda: entropy.encode([2**70], [0], TABLES)),
    "object array": ("mistake", lambda: entropy.encode(np.array([None]), [0], TABLES)),
    "text": ("mistake", lambda: entropy.encode("abc", [0, 0, 0], TABLES)),
    "a symbol outside a closed table": ("mistake", lambda: entropy.encode([200], [0], CLOSED)),
    "decode into floats": ("mistake", lambda: entropy.decode(PAYLOAD, INDEX, TABLES, dtype=np.float32)),
    "no threads": ("mistake", lambda: entropy.encode(SYMBOLS, INDEX, TABLES, threads=0)),
    "-1 threads": ("mistake", lambda: entropy.decode(PAYLOAD, INDEX, TABLES, threads=-1)),
    "chunks of no bytes": ("mistake", lambda: entropy.encode(SYMBOLS, INDEX, TABLES, chunk_bytes=0)),
    "chunks of 2^40 bytes": ("mistake", lambda: entropy.encode(SYMBOLS, INDEX, TABLES, chunk_bytes=2**40)),
    "chunks of a byte": ("sound", lambda: same(SYMBOLS, INDEX, chunk_bytes=1)),
    "a million threads": ("sound", lambda: same(SYMBOLS, INDEX, threads=10**6, chunk_bytes=64)),
    "ragged symbols": ("mistake", lambda: entropy.encode([[1], [1, 2]], [0, 0, 0], TABLES)),
    "records": ("mistake", lambda: entropy.encode(np.zeros(1, [("a", "i4")]), [0], TABLES)),
    "stack: pop from an empty one": ("damage", lambda: entropy.Stack().pop([0] * 200, TABLES)),
    "stack: index out of range": ("mistake", lambda: entropy.Stack().push([0], [4], TABLES)),
    "stack: unequal lengths": ("mistake", lambda: entropy.Stack().push([0], [0, 0], TABLES)),
    "stack: empty bytes": ("damage", lambda: entropy.Stack.frombytes(b"")),
    "stack: claims 2^60 words": (
        "damage",
        lambda: entropy.Stack.frombytes(
            sealed(entropy.Stack().tobytes()[:1] + b"\x40" + varint(2**60) + bytes(8))
        ),
    ),
    "tables: 10^12 offsets": ("mistake", lambda: make_tables(offset=far(10**12))),
    "tables: 10^12 boundaries": ("mistake", lambda: make_tables(cdf=far((10**6, 10**6)))),
    "pmf: a row of 10^12": ("mistake", lambda: entropy.Tables.from_pmf([far(10**12)], [0])),
    "pmf: 10^12 rows": ("mistake", lambda: entropy.Tables.from_pmf(far((10**12, 1)), [0])),
    "pmf: 10^12 shifts": ("mistake", lambda: entropy.Tables.from_pmf([[1]], [0], shift=far(10**12))),
    "pmf: 10^12 escapes": ("mistake", lambda: entropy.Tables.from_pmf([[1]], [0], escape=far(10**12))),
    "pmf: one long row of 40,000": (
        "mistake",
        lambda: entropy.Tables.from_pmf([np.ones(2**16)] + [[1]] * 40_000, np.zeros(40_001, int), bits=16),
    ),
    "cost: a symbol beyond int32": ("mistake", lambda: TABLES.cost_bits([2**31], [0])),
    "cost: halves": ("mistake", lambda: TABLES.cost_bits([0.5], [0])),
    "mixture: a mean of 2^62": (
        "mistake",
        lambda: entropy.mixture_tables("laplace", [[1]], [[2**62]], [[1]]),
    ),
    "bits 99": ("mistake", lambda: entropy.scale_family("gaussian", [1 << 20], bits=99)),
    "mixture: bits 99": ("mistake", lambda: entropy.mixture_tables("laplace", [[1]], [[0]], [[1]], bits=99)),
    "their cdf: halves": (
        "mistake",
        lambda: their_encode([0], [0], (np.array([[0, 400.5, 65_536]]), [3], [0])),
    ),
    "their cdf: beyond int32": ("mistake", lambda: their_encode([0], [0], ([[0, 2**40, 65_536]], [3], [0]))),
    "their cdf: a row of 10^6 among many": (
        "mistake",
        lambda: their_encode([0], [0], ([[0, 65_536]] * 10_000 + [[0] * 10**6], [2], [0])),
    ),
    "every other byte of a payload": ("mistake", lambda: decoded(memoryview(PAYLOAD)[::2])),
    "adaptive: index out of range, damaged": (
        "mistake",
        lambda: entropy.decode(b"damaged", [4], entropy.Adaptive(ADAPTIVE)),
    ),
    "scales: halves": ("mistake", lambda: entropy.scale_family("gaussian", [1.5, 2.5])),
    "scales: dates": (
        "mistake",
        lambda: entropy.scale_family("gaussian").index_of_floats(np.zeros(3, "M8[s]")),
    ),
    "scales: complex": ("mistake", lambda: entropy.scale_family("gaussian").index_of_floats([1j])),
    "distances: halves": ("mistake", lambda: entropy.cumulative("laplace", [0.5], [1])),
    "scales: NaN": ("mistake", lambda: entropy.scale_family("gaussian").index_of_floats([float("nan")])),
    "scales: floats decide": ("mistake", lambda: entropy.scale_family("gaussian").index([0.5])),
    "scales: falling": ("mistake", lambda: entropy.scale_family("gaussian", [5, 4])),
    "scales: zero": ("mistake", lambda: entropy.scale_family("gaussian", [0])),
    "scales: a million": ("mistake", lambda: entropy.scale_family("gaussian", np.arange(1, 10**6))),
    "10^9 contexts": ("mistake", lambda: entropy.AdaptiveBits(10**9)),
    "finished twice": ("mistake", finished_twice),
    "raw values of 33 bits": ("mistake", lambda: entropy.RangeEncoder().put_bits([0], [33])),
    "raw values wider than said": ("mistake", lambda: entropy.RangeEncoder().put_bits([9], [3])),
    "bits that are 2": ("mistake", lambda: ranged([2], [0], entropy.AdaptiveBits(4))),
    "a context too many": ("mistake", lambda: ranged([1], [4], entropy.AdaptiveBits(4))),
    "adaptive: index out of range": ("mistake", lambda: ranged([0], [4], entropy.Adaptive(ADAPTIVE))),
}


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except UnsupportedStream:
        return "refusal"
    except CorruptStream:
        return "damage"
    except LimitExceeded:
        return "limit"
    except ValueError:
        return "mistake"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]
    return "sound"


def sweep(name: str, payloads, decode, wanted) -> dict[str, object]:
    """Decode each of many damaged payloads; count what came of it."""
    counts: dict[str, int] = {}
    began, longest = time.process_time(), 0.0
    for payload in payloads:
        start = time.process_time()
        try:
            got = np.array_equal(decode(payload), wanted)
            kind = "exact" if got else "other"
        except CorruptStream:
            kind = "damage"
        except UnsupportedStream:
            kind = "refusal"
        except Exception as error:
            kind = f"{type(error).__name__}: {error}"[:100]
        longest = max(longest, time.process_time() - start)
        counts[kind] = counts.get(kind, 0) + 1
    spent = time.process_time() - began
    return {"sweep": name, "counts": counts, "longest_s": longest, "spent_s": spent}


def many_flips(payload: bytes, count: int, size: int = 1):
    """`count` copies with `size` bits flipped, each other ones."""
    draw = np.random.default_rng(len(payload))
    for _ in range(count):
        damaged = bytearray(payload)
        for bit in draw.integers(0, 8 * len(payload), size):
            damaged[bit // 8] ^= 1 << (bit % 8)
        yield bytes(damaged)


def prefixes(payload: bytes):
    return (payload[:i] for i in range(len(payload)))


def sweeps(flips: int):
    short, short_index = SYMBOLS[:500], INDEX[:500]
    for label, symbols, index in (("500", short, short_index), ("5,000", SYMBOLS, INDEX)):
        for check in (True, False):
            payload = entropy.encode(symbols, index, TABLES, check=check)

            def read(data, index=index, check=check):
                return entropy.decode(data, index, TABLES, check=check)

            name = f"{label} symbols, check {'on' if check else 'off'}"
            yield sweep(f"{name}, prefixes", prefixes(payload), read, symbols)
            yield sweep(f"{name}, flips", many_flips(payload, flips), read, symbols)
            yield sweep(f"{name}, 20 flips at once", many_flips(payload, flips // 5, 20), read, symbols)
    values, where = rng.integers(0, 200, 3000).astype(np.int32), np.zeros(3000, np.uint8)
    payload = entropy.encode(values, where, CLOSED, check=False)
    yield sweep(
        "bytes, check off, flips",
        many_flips(payload, flips // 2),
        lambda data: entropy.decode(data, where, CLOSED, check=False),
        values,
    )
    string = ranged(short, short_index)
    yield sweep(
        "range coder, flips",
        many_flips(string, flips),
        lambda data: entropy.RangeDecoder(data).get(short_index, TABLES),
        short,
    )
    wanted = np.array(THEIR_SYMBOLS)
    yield sweep(
        "their strings, prefixes", prefixes(THEIR_STRING), lambda d: their_decode(d, THEIR_INDEX), wanted
    )
    yield sweep(
        "their strings, flips",
        many_flips(THEIR_STRING, flips // 5),
        lambda data: their_decode(data, THEIR_INDEX),
        wanted,
    )


def main() -> None:
    flips = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + SPARE_BYTES, held + SPARE_BYTES))
    for name, (_, call) in CASES.items():
        print(json.dumps({"begins": name}), flush=True)
        start = time.process_time()
        what = outcome(call)
        print(json.dumps({"case": name, "outcome": what, "spent_s": time.process_time() - start}), flush=True)
    for result in sweeps(flips):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    sys.exit(main())
