"""Every other coder that is installed, called the way its users call it, each in its best settings."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.bench.entropy.timing import Contender
from narrows.bench.entropy.workloads import Workload, bits_under, quantized_cdfs

_SLOW_SIZE = 1 << 20  # where a symbol costs 50 ns or memory by the row
_TORCHAC_WIDE_SIZE = 1 << 16
_INSTALL = "pip install 'narrows[bench]'"
_PACKAGES = ("compressai", "torch_ans", "constriction", "torchac", "zstandard")


@dataclass(frozen=True)
class Missing:
    """A coder that cannot run here, and what to do about it."""

    coder: str
    hint: str


@dataclass(frozen=True)
class Prepared:
    """A workload with the 16-bit tables that all peers share, made once."""

    workload: Workload
    cdfs: list[Any]
    tables_bits: float

    @classmethod
    def of(cls, workload: Workload) -> Prepared:
        """Quantize the workload's distributions as CompressAI does."""
        cdfs = quantized_cdfs(workload.pmfs, 16)
        return cls(workload, cdfs, bits_under(workload, cdfs, 16))

    def with_part(self, part: Workload) -> Prepared:
        """Return the same tables with the first symbols of the workload."""
        share = len(part.symbols) / max(len(self.workload.symbols), 1)
        return Prepared(part, self.cdfs, self.tables_bits * share)

    def matrix(self) -> Any:
        """Return the tables as one int32 matrix [num_tables, longest], rows filled up with zeros."""
        matrix = np.zeros((len(self.cdfs), max(map(len, self.cdfs))), np.int32)
        for row, cdf in zip(matrix, self.cdfs, strict=True):
            row[: len(cdf)] = cdf
        return matrix

    def sizes(self) -> Any:
        """Return the length of each row of `matrix`, int32."""
        return np.array([len(cdf) for cdf in self.cdfs], np.int32)


def versions() -> dict[str, str]:
    """Return the version of each peer that is installed.

    >>> sorted(set(versions()) - set(_PACKAGES))
    ['numpy', 'torch']
    """
    found = {}
    for name in (*_PACKAGES, "numpy", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def contenders(workload: Workload) -> Iterator[Contender | Missing]:
    """Yield each peer's ways of coding a workload, and a `Missing` for each peer that is not there."""
    prepared = Prepared.of(workload)
    makers: tuple[tuple[str, Callable[[Prepared], Iterator[Contender]]], ...] = (
        ("compressai", compressai_model),
        ("compressai, C++ core", compressai_core),
        ("torch_ans", torch_ans),
        ("constriction", constriction),
        ("torchac", torchac),
        ("zstd", zstd),
    )
    for coder, make in makers:
        try:
            with quiet():
                made = list(make(prepared))
        except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
            yield Missing(coder, hint(coder, error))
        else:
            yield from made


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what peers, and the compilers that they start, print and warn of: stdout is rows."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout.flush()
        for stream, before in zip((1, 2), kept, strict=True):
            os.dup2(before, stream)
            os.close(before)
        os.close(nowhere)


def hint(coder: str, error: Exception) -> str:
    """Say why a coder did not start and what helps."""
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {_INSTALL}"
    if isinstance(error, FileNotFoundError):
        return "needs a C++ compiler named c++"
    return f"did not start: {type(error).__name__}: {error}"[:160]


def _contender(
    prepared: Prepared, coder: str, setting: str, encode: Any, decode: Any, size_bytes: Any = len, **more: Any
) -> Contender:
    work = prepared.workload
    more = {"wanted": work.symbols, **more}
    return Contender(
        coder,
        setting,
        encode,
        decode,
        size_bytes,
        symbols=len(work.symbols),
        exact_bits=work.exact_bits,
        tables_bits=prepared.tables_bits,
        **more,
    )


def entropy_model(prepared: Prepared) -> Any:
    """Return a CompressAI `EntropyModel` with the workload's tables."""
    torch: Any = importlib.import_module("torch")
    model: Any = importlib.import_module("compressai.entropy_models").EntropyModel()
    model._quantized_cdf = torch.from_numpy(prepared.matrix())
    model._cdf_length = torch.from_numpy(prepared.sizes())
    model._offset = torch.from_numpy(prepared.workload.offsets)
    return model


def compressai_model(prepared: Prepared, model: Any = None) -> Iterator[Contender]:
    """`EntropyModel.compress` and `decompress`: tensors in and out, one string."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    model = model or entropy_model(prepared)
    inputs = torch.from_numpy(prepared.workload.symbols.astype(np.float32))[None]
    indexes = torch.from_numpy(prepared.workload.index.astype(np.int32))[None]
    yield _contender(
        prepared,
        "compressai",
        "EntropyModel",
        lambda: model.compress(inputs, indexes),
        lambda strings: model.decompress(strings, indexes),
        lambda strings: len(strings[0]),
    )


def compressai_lists(prepared: Prepared) -> Iterator[Contender]:
    """`compressai.ans` with every list made beforehand."""
    ans: Any = importlib.import_module("compressai.ans")
    work = prepared.workload
    symbols, index = work.symbols.tolist(), work.index.tolist()
    tables = [prepared.matrix().tolist(), prepared.sizes().tolist(), work.offsets.tolist()]
    encoder, decoder = ans.RansEncoder(), ans.RansDecoder()
    yield _contender(
        prepared,
        "compressai",
        "ans, lists ready",
        lambda: encoder.encode_with_indexes(symbols, index, *tables),
        lambda data: decoder.decode_with_indexes(data, index, *tables),
    )


class CompressaiCore:
    """CompressAI's C++ alone, on vectors that are ready: see compressai_core.cpp."""

    def __init__(self, prepared: Prepared) -> None:
        self._library = _core_library()
        work = prepared.workload
        self._count = len(work.symbols)
        arrays = [
            work.symbols.astype(np.int32),
            work.index.astype(np.int32),
            np.concatenate(prepared.cdfs).astype(np.int32),
            prepared.sizes(),
            work.offsets,
        ]
        symbols, index, cdfs, sizes, offsets = (array.ctypes.data_as(ctypes.c_void_p) for array in arrays)
        count, num_tables = ctypes.c_uint64(self._count), ctypes.c_uint64(len(prepared.cdfs))
        self._held = ctypes.c_void_p(
            self._library.work_new(symbols, index, count, cdfs, sizes, offsets, num_tables)
        )

    def __del__(self) -> None:
        self._library.work_delete(self._held)

    def encode(self) -> int:
        """Code the symbols; return the size of the stream, which stays inside."""
        return int(self._library.work_encode(self._held))

    def decode(self, _: int) -> Any:
        """Return the symbols of the stream that `encode` left, in memory that the next call reuses."""
        address = ctypes.cast(self._library.work_decode(self._held), ctypes.POINTER(ctypes.c_int32))
        return np.ctypeslib.as_array(address, (self._count,))

    def stream(self, size: int) -> bytes:
        """Return the stream that `encode` left."""
        return ctypes.string_at(self._library.work_stream(self._held), size)


def compressai_core(prepared: Prepared) -> Iterator[Contender]:
    """CompressAI's C++ without its lists."""
    core = CompressaiCore(prepared)
    yield _contender(prepared, "compressai, C++ core", "vectors ready", core.encode, core.decode, int)


_built: list[Any] = []


def _core_library() -> Any:
    """Compile the C++ core once a process; FileNotFoundError without a compiler."""
    if not _built:
        compiler = shutil.which("c++")
        if compiler is None:
            raise FileNotFoundError("c++")
        source = Path(__file__).with_name("compressai_core.cpp")
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "compressai_core.so")
            flags = ["-O3", "-std=c++17", "-DNDEBUG", "-shared", "-fPIC"]
            subprocess.run(
                [compiler, *flags, str(source), "-o", str(target)], check=True, capture_output=True
            )
            library = ctypes.CDLL(str(target))
        for name in ("work_new", "work_stream", "work_decode"):
            getattr(library, name).restype = ctypes.c_void_p
        library.work_encode.restype = ctypes.c_uint64
        library.work_delete.restype = None
        _built.append(library)
    return _built[0]


# The default of torch_ans 0.4.0, then the best for each direction among its families, 1 to 8 lanes and
# inverse tables of 6 to 11 bits: family, bits, lanes, bits of the inverse table.
_TORCH_ANS_MODES: dict[str, tuple[tuple[str, int, int, int | None], ...]] = {
    "w1": (("rans64", 16, 1, None), ("rans64", 16, 4, 9)),
    "w2": (("rans64", 16, 1, None), ("rans64", 16, 4, 7), ("rans32_16", 15, 8, 6)),
    "w3": (("rans64", 16, 1, None), ("rans64", 16, 4, 6), ("tans32", 10, 8, None)),
    "w4": (("rans64", 16, 1, None), ("rans64", 16, 4, 9), ("rans32_16", 15, 4, 11), ("tans32", 12, 8, None)),
}
_TORCH_ANS_SHORT = (("rans64", 16, 1, None),)


def torch_ans(prepared: Prepared) -> Iterator[Contender]:
    """`TorchANSInterface.encode_with_indexes` and its mirror: int32 tensors in and out."""
    torch: Any = importlib.import_module("torch")
    library: Any = importlib.import_module("torch_ans.utils")
    torch.set_num_threads(1)
    work = prepared.workload
    symbols = torch.from_numpy(work.symbols.astype(np.int32))[None]
    index = torch.from_numpy(work.index.astype(np.int32))[None]
    for family, bits, lanes, inverse in _TORCH_ANS_MODES.get(work.name, _TORCH_ANS_SHORT):
        coder = library.TorchANSInterface(
            impl=family,
            freq_precision=bits,
            num_interleaves=lanes,
            num_parallel_states=1,
            inverse_cdf_precision=inverse,
        )
        rows = prepared.cdfs if bits == 16 else quantized_cdfs(work.pmfs, bits)
        cdfs, sizes = (
            torch.from_numpy(_torch_ans_matrix(rows, bits, inverse)),
            torch.from_numpy(prepared.sizes()),
        )
        if family.startswith("tans"):
            cdfs = coder._native.tans_build_tables(cdfs, sizes, bits)
        coder.set_cdfs(cdfs, sizes, torch.from_numpy(work.offsets))
        setting = f"{family} p{bits} i{lanes}" + (f" invcdf{inverse}" if inverse else "")
        yield _contender(
            prepared,
            "torch_ans",
            setting,
            lambda coder=coder: coder.encode_with_indexes(symbols, index),
            lambda data, coder=coder: coder.decode_with_indexes(data, index),
        )


def _torch_ans_matrix(rows: list[Any], bits: int, inverse: int | None) -> Any:
    """Return int32 rows: cumulative frequencies, their inverse table right behind, then filled up."""
    buckets = np.arange(1 << inverse) << (bits - inverse) if inverse else np.zeros(0, np.int64)
    matrix = np.full((len(rows), max(map(len, rows)) + len(buckets)), 1 << bits, np.int32)
    for row, cdf in zip(matrix, rows, strict=True):
        row[: len(cdf)] = cdf
        row[len(cdf) : len(cdf) + len(buckets)] = np.searchsorted(cdf, buckets, side="right") - 1
    return matrix


def constriction(prepared: Prepared) -> Iterator[Contender]:
    """Its ANS stack: a Gaussian a symbol, and fixed tables over symbols sorted by table beforehand."""
    library: Any = importlib.import_module("constriction")
    stream = library.stream
    work = prepared.workload
    if work.scales is not None:
        yield from _constriction_gaussian(prepared, stream)
        if work.name not in _TORCH_ANS_MODES:
            return  # short calls: sorting by table would be most of the work
    order = np.argsort(work.index, kind="stable")
    values = (work.symbols[order].astype(np.int64) - work.offsets[work.index[order]]).astype(np.int32)
    bounds = np.searchsorted(work.index[order], np.arange(len(work.pmfs) + 1))
    groups, models = [], []
    for t, pmf in enumerate(work.pmfs):
        part = np.ascontiguousarray(values[bounds[t] : bounds[t + 1]])
        groups.append(np.clip(part, 0, len(pmf) - 1))
        safe = np.maximum(pmf, 1e-9)
        models.append(stream.model.Categorical((safe / safe.sum()).astype(np.float64), perfect=False))

    def encode() -> Any:
        coder = stream.stack.AnsCoder()
        for group, model in zip(reversed(groups), reversed(models), strict=True):
            coder.encode_reverse(group, model)
        return coder.get_compressed()

    def decode(words: Any) -> Any:
        coder = stream.stack.AnsCoder(words)
        return np.concatenate([coder.decode(m, len(g)) for g, m in zip(groups, models, strict=True)])

    yield _contender(
        prepared,
        "constriction",
        "AnsCoder Categorical, sorted before",
        encode,
        decode,
        lambda words: 4 * len(words),
        wanted=np.concatenate(groups),
    )


def _constriction_gaussian(prepared: Prepared, stream: Any) -> Iterator[Contender]:
    work = prepared.workload.head(_SLOW_SIZE)
    assert work.scales is not None
    prepared = prepared.with_part(work)
    model = stream.model.QuantizedGaussian(-4096, 4096)
    symbols = work.symbols.astype(np.int32)
    means, deviations = np.zeros(len(symbols)), work.scales[work.index]

    def encode() -> Any:
        coder = stream.stack.AnsCoder()
        coder.encode_reverse(symbols, model, means, deviations)
        return coder.get_compressed()

    yield _contender(
        prepared,
        "constriction",
        "AnsCoder, Gaussian per symbol",
        encode,
        lambda words: stream.stack.AnsCoder(words).decode(model, means, deviations),
        lambda words: 4 * len(words),
    )


def torchac(prepared: Prepared) -> Iterator[Contender]:
    """Its integer entry point, with the row of cumulative frequencies that it needs for every symbol."""
    if prepared.workload.name not in ("w3", "w4"):
        return  # a row of 3,100 columns a symbol: 26 GB
    torch: Any = importlib.import_module("torch")
    library: Any = importlib.import_module("torchac")
    size = _SLOW_SIZE if prepared.workload.name == "w3" else _TORCHAC_WIDE_SIZE
    work = prepared.workload.head(size)
    prepared = prepared.with_part(work)
    rows = torch.from_numpy(prepared.matrix()[:, :-1].astype(np.uint16).view(np.int16))
    cdfs = rows[torch.from_numpy(work.index.astype(np.int64))].contiguous()
    symbols = torch.from_numpy(work.symbols)
    yield _contender(
        prepared,
        "torchac",
        f"row per symbol, first {len(work.symbols):,}",
        lambda: library.encode_int16_normalized_cdf(cdfs, symbols),
        lambda data: library.decode_int16_normalized_cdf(cdfs, data),
    )


def zstd(prepared: Prepared) -> Iterator[Contender]:
    """zstd level 1 over the raw symbols: what a general compressor does with them."""
    library: Any = importlib.import_module("zstandard")
    work = prepared.workload
    dtype = np.dtype(np.int16 if work.scales is not None else np.uint8)
    raw = work.symbols.astype(dtype)
    compressor, decompressor = library.ZstdCompressor(level=1), library.ZstdDecompressor()
    yield _contender(
        prepared,
        "zstd",
        f"level 1 on raw {dtype}",
        lambda: compressor.compress(raw),
        lambda data: np.frombuffer(decompressor.decompress(data), dtype),
    )
