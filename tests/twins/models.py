"""The entropy models' loops in plain Python, written from docs/format.md: the judge of the compiled ones."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from narrows import entropy
from narrows.entropy import distributions, reference
from narrows.entropy.reference_range import Adaptive, RangeEncoder


def signed(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def framed(kind: int, symbols: int, passes: int, digest: int, hashed: bool, pieces: list[bytes]) -> bytes:
    out = bytes([0x10 | kind, (16 if hashed else 0) | 64]) + digest.to_bytes(4, "little")
    out += varint(symbols) + varint(passes)
    out += b"".join(varint(len(piece)) + piece for piece in pieces)
    return out + reference.crc32c(out).to_bytes(4, "little")


def head(symbols: int, digest: int, hashed: bool, stream: bytes) -> bytes:
    return framed(4, symbols, 1, digest, hashed, [stream])


def words(values: Any, size: int) -> bytes:
    return b"".join((int(v) % 2 ** (8 * size)).to_bytes(size, "little") for v in values)


# ---- passes


def encode_passes(model: Any, symbols: np.ndarray, side: Any, kind: int) -> bytes:
    """A payload of a model with a plan, in pieces for each pass (3) or in one (4)."""
    known = np.zeros(symbols.shape, np.int32)
    coder, pieces = RangeEncoder(), []
    for k in range(model.passes):
        plan = model.plan(k, known, side)
        places = np.zeros(symbols.shape, bool)
        places[plan.mask] = True
        part = np.empty(symbols.shape)[plan.mask].shape
        index, means = (
            np.reshape(
                a if np.shape(a) == part else np.broadcast_to(a, symbols.shape)[plan.mask], -1
            ).tolist()
            for a in (plan.index, plan.mean)
        )
        coded = [signed(int(s) - m) for s, m in zip(symbols[places].tolist(), means, strict=True)]
        known[places] = symbols[places]
        if not coded:
            pieces.append(b"")
            continue
        value = reference.crc32c(words(index, 2) + (words(means, 4) if any(means) else b""))
        if kind == 4:
            coder.put_bits([value & 0xFFFF], [16])
            coder.put(coded, index, model.tables)
        else:
            chunks = reference.encode(coded, index, model.tables, check=False)
            pieces.append(value.to_bytes(4, "little") + chunks)
    pieces = [coder.finish()] if kind == 4 else pieces
    return framed(kind, symbols.size, model.passes, reference.digest(model.tables), True, pieces)


# ---- context networks


def named(model: entropy.Autoregressive, known: np.ndarray, sides: np.ndarray, at: tuple[int, ...]) -> Any:
    """Table, as the network names it, and mean of the symbol at (item, channel, row, column)."""
    item, c, y, x = at
    inputs = []
    for tap in model.taps:
        dc, dy, dx, which = (*map(int, tap), 0)[:4]
        place = (c + dc, y + dy, x + dx)
        inside = all(0 <= p < size for p, size in zip(place, known.shape[1:], strict=True))
        symbol = int(known[(item, *place)]) if inside else 0
        table = model.maps[which]
        inputs.append(int(table[min(max(symbol + len(table) // 2, 0), len(table) - 1)]))
    values = inputs + [int(side[at]) for side in sides]
    for number, layer in enumerate(model.layers):
        net = min(c, layer.num_nets - 1)
        single = layer.weights.ndim == 2
        w, b, m = (
            np.asarray(a, np.int64) if single else np.asarray(a[net], np.int64)
            for a in (layer.weights, layer.bias, layer.multiplier)
        )
        sums = [int(row @ values) + int(bias) for row, bias in zip(w, b, strict=True)]
        values = [
            s * int(mul) + (1 << layer.shift - 1) >> layer.shift for s, mul in zip(sums, m, strict=True)
        ]
        if number + 1 < len(model.layers):
            values = [min(max(v, 0), 127) for v in values]
    table = 0
    for size, value in zip(model.grid, values, strict=False):
        table = table * size + min(max(value, 0), size - 1)
    cells = int(np.prod(model.grid))
    held = model.tables.tables if isinstance(model.tables, entropy.Adaptive) else model.tables
    if len(held) != cells:
        table += min(c, model.layers[0].num_nets - 1) * cells
    return table, min(max(values[-1], -32768), 32767) if model.mean else 0


def canonical(model: entropy.Autoregressive) -> bytes:
    taps = [(*map(int, tap), 0)[:4] for tap in model.taps]
    nets = model.layers[0].num_nets
    out = words([len(taps), *(v for tap in taps for v in tap)], 4)
    out += words([model.num_sides, *model.maps.shape], 4) + model.maps.tobytes()
    out += words([nets, len(model.layers)], 4)
    for layer in model.layers:
        out += words([layer.weights.shape[-1], layer.weights.shape[-2], layer.shift], 4)
        out += layer.weights.tobytes() + words(layer.bias.ravel(), 4) + words(layer.multiplier.ravel(), 4)
    return out + words([*(*model.grid, 1)[:2], model.mean], 4)


def encode_autoregressive(model: entropy.Autoregressive, symbols: np.ndarray, sides: np.ndarray) -> bytes:
    tables: Any = model.tables
    if isinstance(tables, entropy.Adaptive):
        tables = Adaptive(tables.tables)
    plain = tables.tables if isinstance(tables, Adaptive) else tables
    coder, index, means = RangeEncoder(), [], []
    hashed = b""
    for at in product(*map(range, symbols.shape)):
        table, mean = named(model, symbols, sides, at)
        coder.put([signed(int(symbols[at]) - mean)], [table], tables)
        index.append(table)
        means.append(mean)
        if at[3] == symbols.shape[3] - 1:
            hashed += words(index, 2) + (words(means, 4) if model.mean else b"")
            index, means = [], []
    coder.put_bits([reference.crc32c(hashed) & 0xFFFF], [16])
    digest = reference.crc32c(canonical(model) + words([reference.digest(plain)], 4))
    return head(symbols.size, digest, True, coder.finish())


# ---- symbols with distributions of their own


def encode_rows(symbols: Any, rows: np.ndarray) -> bytes:
    coder = RangeEncoder()
    size = rows.shape[1]
    for symbol, row in zip(symbols, rows.tolist(), strict=True):
        below = [sum(row[:t]) * (65536 - size) // sum(row) + t for t in range(size + 1)]
        coder.encode(below[symbol], below[symbol + 1] - below[symbol], 16)
    return head(len(symbols), reference.crc32c(words(rows.ravel(), 4)), False, coder.finish())


def cumulative(family: str, distance: int, scale: int) -> int:
    """The definition in docs/format.md, "Distributions", in Python's integers."""
    data = distributions._data()

    def line(table: np.ndarray, at: int) -> int:
        i, part = at >> 14, at & 16383
        return int(table[i]) - ((int(table[i]) - int(table[i + 1])) * part >> 14)

    x = (abs(distance) << 24) // scale
    if abs(distance) >> 5 >= scale:
        upper = 0
    elif family == "gaussian":
        upper = 0 if x >= 6656 << 14 else line(data["gaussian_tail"], x)
    elif x >= 23 << 24:
        upper = 0
    else:
        octaves = x * 1549082005 >> 30
        upper = line(data["exponential"], octaves & (1 << 24) - 1) >> (octaves >> 24)
        if family == "logistic":
            upper = (upper << 32) // (2**31 + upper)
    return upper if distance < 0 else 2**32 - upper


def slots(family: str, f: int, components: Any) -> tuple[reference.Table, list[int]]:
    """The tokens of one mixture of (weight, mean, scale), and where each begins."""
    live = [(w, m, s) for w, m, s in components if w]
    far = 5 if family == "gaussian" else 12
    low = max(-(2**31), min(min((m - far * s) >> f for _, m, s in live), 2**31 - 1))
    high = max(low, min(max(-((-m - far * s) >> f) for _, m, s in live), 2**31 - 1))
    shift = max(0, (high - low).bit_length() - 8)
    count = (high - low >> shift) + 1
    low = min(low, 2**31 - (count << shift))

    def below(t: int) -> int:
        edge = 2 * (low + (t << shift)) - 1
        return sum(w * cumulative(family, (edge << f) - 2 * m, 2 * s) for w, m, s in live)

    total = sum(w for w, _, _ in live)
    tail = (total << 32) - (below(count) - below(0))
    begin = [0]
    for token in range(1, count + 2):
        mass = tail + below(token - 1) - below(0)
        begin.append(token + mass * (65536 - count - 1) // (total << 32))
    return reference.Table(16, low, shift, begin), begin


def encode_mixtures(family: str, f: int, symbols: Any, side: np.ndarray) -> bytes:
    coder = RangeEncoder()
    for symbol, components in zip(symbols, np.moveaxis(side, 0, -1).tolist(), strict=True):
        table, begin = slots(family, f, components)
        token, rest = table.token(symbol)
        coder.encode(begin[token], begin[token + 1] - begin[token], 16)
        if token == 0:
            coder._put_exp_golomb(rest, table.shift + 2)
        else:
            coder.encode_raw(rest, table.shift)
    digest = bytes([entropy.distributions.FAMILIES.index(family), f])
    digest += words(side[0].ravel(), 2) + words(side[1].ravel(), 4) + words(side[2].ravel(), 4)
    return head(len(symbols), reference.crc32c(digest), False, coder.finish())
