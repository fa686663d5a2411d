"""The high-level interface of torch_ans on this coder: change the import, keep the calls.

    from narrows.entropy.compat.torch_ans import TorchANSInterface

    coder = TorchANSInterface(freq_precision=15)
    coder.init_params(freqs, num_freqs, offsets)             # [tables, L], [tables], [tables]
    payload = coder.encode_with_indexes(symbols, indexes)    # int32, of any shape
    symbols = coder.decode_with_indexes(payload, indexes)

This project's bytes: one checked payload a call, whatever the batch. `impl` and what tunes it are taken and
ignored; tables have at most 15 bits. Works on CPU tensors and NumPy arrays and returns tensors.
"""

from __future__ import annotations

from math import fsum, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy.arrays import integers_of
from narrows.entropy.coder import decode, encode
from narrows.entropy.compat.compressai_ans import int32_of, narrow_index, numbers_of
from narrows.entropy.compat.steps import StepDecoder, StepEncoder
from narrows.entropy.framing import bytes_of
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream, TruncatedStream, UnsupportedStream

# The first byte of a payload: what follows.
_WHOLE, _STEPS, _ROWS = range(3)
_ROW_BITS = 24


def _tensor(symbols: npt.NDArray[np.int32], like: Any) -> Any:
    import torch

    return torch.from_numpy(symbols.reshape(np.shape(like)))


class TorchANSInterface:
    """What `torch_ans.utils.TorchANSInterface` is, with errors where that one loses data.

    `freq_precision` is the tables' bits (8 to 15). With `bypass_coding` every int32 can be coded; without, a
    symbol outside its table is a ValueError.
    """

    def __init__(
        self,
        impl: str = "rans64",
        bypass_coding: bool = True,
        *,
        freq_precision: int = 15,
        threads: int = 1,
        device: Any = None,
        **_: Any,
    ) -> None:
        if device is not None and str(device) != "cpu":
            raise ValueError("this interface codes on the CPU; narrows.entropy.cuda codes on the device")
        if threads < 1:
            raise ValueError("threads is positive")
        self.impl, self.bypass_coding, self.threads = impl, bool(bypass_coding), threads
        self.freq_precision = min(max(int(freq_precision), 8), 15)
        self._tables: Tables | None = None
        self._stream: Any = None
        self.reset_cache()

    def init_params(self, freqs: Any, num_freqs: Any, offsets: Any) -> None:
        """Make the tables: table i has num_freqs[i] symbols from offsets[i] up, as frequent as freqs[i].

        Frequencies are integers or floats, in proportion. Raises ValueError for negative, NaN or all-zero
        rows.
        """
        rows, sizes = numbers_of(freqs, "freqs"), int32_of(num_freqs, "num_freqs")
        if rows.ndim != 2 or len(rows) != sizes.size or (sizes < 1).any() or (sizes > rows.shape[1]).any():
            raise ValueError("freqs is a matrix with a row for each table, num_freqs 1 to its width")
        weights = []
        for row, size in zip(rows, sizes, strict=True):
            used = row[:size]
            if used.dtype.kind == "f":
                # Rounded once, so the same sum in whatever order: two machines make the same tables.
                total = fsum(used.tolist()) if np.isfinite(used).all() else 0.0
                if not total > 0:
                    raise ValueError("a row of frequencies is not finite, or all zero")
                used = used.astype(np.float64) / total
            weights.append(used)
        escape = None if self.bypass_coding else False
        self._tables = Tables.from_pmf(
            weights, int32_of(offsets, "offsets"), bits=self.freq_precision, escape=escape
        )

    def set_cdfs(self, cdfs: Any, cdfs_sizes: Any, offsets: Any) -> None:
        """Make the tables of quantized cdfs; with bypass coding the last interval of each is the escape's."""
        rows = integers_of(numbers_of(cdfs, "cdfs"), np.int64, "cdfs")
        sizes = int32_of(cdfs_sizes, "cdfs_sizes")
        least = 3 if self.bypass_coding else 2
        if (
            rows.ndim != 2
            or len(rows) != sizes.size
            or (sizes < least).any()
            or (sizes > rows.shape[1]).any()
        ):
            raise ValueError("cdfs is a matrix with a row for each table, cdfs_sizes at most its width")
        frequencies = [np.diff(row[:size]) for row, size in zip(rows, sizes, strict=True)]
        if any((row < 0).any() for row in frequencies):
            raise ValueError("a cdf falls")
        if self.bypass_coding:
            escape: Any = np.array([row[-1] for row in frequencies], np.uint64)
            frequencies = [row[:-1] for row in frequencies]
        else:
            escape = False
        self._tables = Tables.from_pmf(
            frequencies, int32_of(offsets, "offsets"), bits=self.freq_precision, escape=escape
        )

    @property
    def tables(self) -> Tables:
        """The tables in use; ValueError before `init_params` or `set_cdfs`."""
        if self._tables is None:
            raise ValueError("init_params or set_cdfs comes first")
        return self._tables

    def _index(self, indexes: Any) -> npt.NDArray[Any]:
        return narrow_index(int32_of(indexes, "indexes"), len(self.tables))

    def encode_with_indexes(self, symbols: Any, indexes: Any, cache: bool = False, **_: Any) -> bytes | None:
        """Code `symbols`, each with the table that `indexes` names; with `cache` keep them for `flush`."""
        values, which = int32_of(symbols, "symbols"), self._index(indexes)
        if cache:
            self._steps().put(values, which, self.tables)
            return None
        payload = encode(values, which, self.tables, threads=self.threads, hash_index=True)
        return bytes([_WHOLE]) + payload

    def decode_with_indexes(self, encoded: bytes, indexes: Any, **_: Any) -> Any:
        """Return the symbols, in the shape of `indexes`. Raises CorruptStream for anything but them."""
        kind, rest = _split(encoded)
        which = self._index(indexes)
        if kind == _WHOLE:
            return _tensor(decode(rest, which, self.tables, threads=self.threads), indexes)
        if kind != _STEPS:
            raise CorruptStream("the payload was coded with a distribution a symbol")
        decoder = StepDecoder(rest)
        symbols = decoder.get(which, self.tables)
        decoder.finish()
        return _tensor(symbols, indexes)

    def encode_with_freqs(
        self,
        symbols: Any,
        freqs: Any,
        num_freqs: Any = None,
        offsets: Any = None,
        cache: bool = False,
        **_: Any,
    ) -> bytes | None:
        """Code `symbols` [...], each with its own frequencies [..., L], from offsets [...] (0) up.

        There is no bypass here: a symbol outside its row is a ValueError.
        """
        values = int32_of(symbols, "symbols").astype(np.int64)
        if offsets is not None:
            values -= int32_of(offsets, "offsets")
        model = _row_model(freqs, num_freqs, values.size)
        queue = self._rows() if cache else _core.IntervalQueue(_ROW_BITS)
        queue.put(values.clip(-(2**31), 2**31 - 1).astype(np.int32), model)
        return None if cache else bytes([_ROWS]) + _bytes_of(queue)

    def decode_with_freqs(
        self, encoded: bytes, freqs: Any, num_freqs: Any = None, offsets: Any = None, **_: Any
    ) -> Any:
        """Return the symbols, in the shape of `freqs` less its last axis."""
        self.set_stream(encoded)
        symbols = self.decode_stream_with_freqs(freqs, num_freqs, offsets)
        if len(self._stream):
            raise CorruptStream("the payload holds more symbols than were asked for")
        return symbols

    def flush(self, **_: Any) -> bytes:
        """Return the payload of all cached calls: b"" if there were none."""
        steps, rows = self._cached_steps, self._cached_rows
        self.reset_cache()
        if steps is not None:
            return bytes([_STEPS]) + steps.finish()
        return b"" if rows is None else bytes([_ROWS]) + _bytes_of(rows)

    def reset_cache(self) -> None:
        """Forget what was cached."""
        self._cached_steps: StepEncoder | None = None
        self._cached_rows: Any = None

    def _steps(self) -> StepEncoder:
        if self._cached_rows is not None:
            raise ValueError("a payload holds symbols with indexes or with frequencies, not both")
        if self._cached_steps is None:
            self._cached_steps = StepEncoder()
        return self._cached_steps

    def _rows(self) -> Any:
        if self._cached_steps is not None:
            raise ValueError("a payload holds symbols with indexes or with frequencies, not both")
        if self._cached_rows is None:
            self._cached_rows = _core.IntervalQueue(_ROW_BITS)
        return self._cached_rows

    def set_stream(self, encoded: bytes) -> None:
        """Begin to read a payload call by call."""
        kind, rest = _split(encoded)
        if kind == _STEPS:
            self._stream = StepDecoder(rest)
        elif kind == _ROWS:
            if len(rest) % 4:
                raise TruncatedStream("the payload is cut")
            self._stream = _core.IntervalStack(_ROW_BITS)
            self._stream.open(np.frombuffer(rest, "<u4").astype(np.uint32))
        else:
            self._stream = rest

    def decode_stream(self, indexes: Any, **_: Any) -> Any:
        """Return the next symbols of a flushed payload, or all of one that was coded in a single call."""
        which = self._index(indexes)
        if isinstance(self._stream, StepDecoder):
            return _tensor(self._stream.get(which, self.tables), indexes)
        if not isinstance(self._stream, bytes):
            raise CorruptStream("there is no stream, or none that was coded with indexes")
        return _tensor(decode(self._stream, which, self.tables, threads=self.threads), indexes)

    def decode_stream_with_freqs(
        self, freqs: Any, num_freqs: Any = None, offsets: Any = None, **_: Any
    ) -> Any:
        """Return the next symbols of a payload that was coded with frequencies."""
        if not isinstance(self._stream, _core.IntervalStack):
            raise CorruptStream("the payload was not coded with frequencies")
        shape = np.shape(freqs)[:-1]
        if prod(shape) > len(self._stream):
            raise CorruptStream("the payload holds fewer symbols than are asked for")
        symbols = np.empty(prod(shape), np.int32)
        self._stream.pop(symbols, _row_model(freqs, num_freqs, symbols.size))
        if offsets is not None:
            symbols += int32_of(offsets, "offsets")
        return _tensor(symbols, np.empty(shape, bool))


def _bytes_of(queue: Any) -> bytes:
    return bytes(queue.payload().astype("<u4").tobytes())


def _split(encoded: bytes) -> tuple[int, bytes]:
    payload = bytes_of(encoded)
    if not payload:
        raise TruncatedStream("the payload is empty")
    if payload[0] > _ROWS:
        raise UnsupportedStream("the payload is of no kind that this interface writes")
    return payload[0], payload[1:]


def _row_model(freqs: Any, num_freqs: Any, num_symbols: int) -> Any:
    rows = numbers_of(freqs, "freqs")
    if rows.ndim < 1 or rows.shape[-1] < 1 or rows.size // rows.shape[-1] != num_symbols:
        raise ValueError("freqs has a row for each symbol")
    rows = np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]), np.float64)
    if num_freqs is not None:
        sizes = int32_of(num_freqs, "num_freqs")
        if sizes.size != len(rows):
            raise ValueError("num_freqs has a number for each symbol")
        rows = np.where(np.arange(rows.shape[1]) < sizes[:, None], rows, 0.0)
    return _core.model_of_probabilities(rows)
