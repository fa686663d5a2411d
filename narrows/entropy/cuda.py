"""rANS on a CUDA device: the payloads of `narrows.entropy`, from and to torch tensors.

Calls queue work on torch's current stream and return; sizes and errors stay on the device until the caller
asks. A payload is, byte for byte, what `entropy.encode` writes for the same arguments, and either side reads
the other's. `docs/cuda.md` says how to choose `chunk_bytes`, and what has been run.

    encoded = cuda.encode([y, z], [y_index, z_index], tables)    # CUDA tensors; one launch for all
    payloads = encoded.to_host()                                 # waits; raises ValueError
    decoded = cuda.decode(payloads, [y_index, z_index], tables)  # or cuda.decode(encoded, ...)
    y, z = decoded.check()                                       # waits; raises CorruptStream

The first call compiles the kernels (a second; kept in the user's cache) and each `Tables` is copied at its
first use: these two wait for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from narrows import _core
from narrows.entropy import cuda_driver
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream, MissingExtra
from narrows.limits import Limits

try:
    import torch
except ImportError as error:
    raise MissingExtra("narrows.entropy.cuda", "cuda") from error

Payload = bytes | bytearray | memoryview

_ELEMENTS = {torch.uint8: 0, torch.int8: 1, torch.uint16: 2, torch.int16: 3, torch.int32: 4}
_SYMBOL_DTYPES = (torch.int8, torch.int16, torch.int32)
_INDEX_DTYPES = (torch.uint8, torch.int16, torch.uint16, torch.int32)
_CHECK, _HASH_INDEX = 64, 16
_SLOT_BYTES = 192
_MAX_CHUNK_SYMBOLS = 1 << 22
_LIMITS = Limits()
# struct Chunk of core/src/rans/warp.hpp
_CHUNK = np.dtype(
    [("body", "<u8"), ("first", "<u8")]
    + [
        (name, "<u4")
        for name in (
            "tensor",
            "num_symbols",
            "num_words",
            "num_side_bytes",
            "profile",
            "bits",
            "flags",
            "index_hash",
            "first_entry",
            "num_entries",
        )
    ]
)
_ENTRY_BYTES = 272


def unavailable() -> str:
    """Return why nothing can be coded on a device here, or an empty string."""
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    try:
        cuda_driver._nvrtc()
    except (MissingExtra, RuntimeError) as error:
        return str(error)
    return ""


def _default_device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


def _launcher(device: torch.device) -> Any:
    if device.type != "cuda":
        why = "" if torch.cuda.is_available() else "; torch sees no CUDA device"
        raise ValueError(
            f"tensors are on {device}, not on a CUDA device{why}: narrows.entropy codes on the CPU"
        )
    return cuda_driver.launcher(torch, device)


class _DeviceTables:
    """Tables in one buffer of a device, as `WarpTables` of warp.hpp points into it."""

    def __init__(self, tables: Tables, launcher: Any, device: torch.device) -> None:
        made = _core.device_tables(tables._held, launcher.bucket_bytes)
        parts = [made[name] for name in ("tables", "cdf", "tokens", "buckets", "entropy_256")]
        starts = np.cumsum([0] + [-(-len(part) // 256) * 256 for part in parts]).tolist()
        whole = np.zeros(starts[-1], np.uint8)
        for part, start in zip(parts, starts, strict=False):
            whole[start : start + len(part)] = np.frombuffer(part, np.uint8)
        # Waits, so that any stream may use it.
        self.buffer = torch.from_numpy(whole).to(device)
        pointers = [self.buffer.data_ptr() + start for start in starts[:-1]]
        self.bucket_bytes = len(made["buckets"])
        if not self.bucket_bytes:
            pointers[3] = 0
        self.any_raw = bool(made["any_raw"])
        self.most_256 = int(np.frombuffer(made["entropy_256"], np.uint32).max())
        self.fields = [
            *pointers,
            len(tables),
            tables.bits,
            made["log2_buckets"],
            made["digest"],
            int(self.any_raw),
        ]


_tables: WeakKeyDictionary[Tables, dict[torch.device, _DeviceTables]] = WeakKeyDictionary()


def _on_device(tables: Tables, launcher: Any, device: torch.device) -> _DeviceTables:
    there = _tables.setdefault(tables, {})
    if device not in there:
        there[device] = _DeviceTables(tables, launcher, device)
    if device.type == "cuda":
        there[device].buffer.record_stream(torch.cuda.current_stream(device))
    return there[device]


def _tensors(given: Any, dtypes: tuple[torch.dtype, ...], name: str) -> list[torch.Tensor]:
    tensors = [given] if isinstance(given, torch.Tensor) else list(given)
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{name} holds torch tensors, not {type(tensor).__name__}")  # noqa: TRY004
        if tensor.dtype not in dtypes:
            known = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
            raise ValueError(f"{name} is one of {known}, not {tensor.dtype}")
        if tensor.device != tensors[0].device:
            raise ValueError(f"{name} lies on several devices")
    return [tensor.contiguous() for tensor in tensors]


def _addresses(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _raise_fault(faults: torch.Tensor) -> None:
    """Raise what the chunks of one payload report: the caller's mistakes first, then the first chunk's."""
    found = faults.tolist()
    if callers := [fault for fault in found if _core.is_callers_fault(fault)]:
        raise ValueError(_core.fault_text(max(callers)))
    for chunk, fault in enumerate(found):
        if fault:
            raise CorruptStream(_core.fault_text(fault), chunk=chunk if len(found) > 1 else None)


class Encoded:
    """Payloads on a device. Nothing here waits for it but `check`, `to_host` and `tobytes`.

    `sizes` int64 [num_tensors] on the device: the bytes of each payload. The memory held is the worst case,
    the symbols' own bytes, until this object goes.
    """

    def __init__(
        self,
        payload: torch.Tensor,
        ends: torch.Tensor,
        chunks: torch.Tensor,
        faults: torch.Tensor,
        bounds: list[int],
        numels: list[int],
        sizes: torch.Tensor,
        check: bool,
        digest: int,
    ) -> None:
        self._payload = payload
        self._ends = ends
        self._chunks = chunks
        self._faults = faults
        self._bounds = bounds
        self._numels = numels
        self._check = check
        self._digest = digest
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self._numels)

    def check(self) -> None:
        """Wait, and raise ValueError if an index names no table or a symbol lies outside a closed table."""
        _raise_fault(self._faults.cpu())

    def to_host(self) -> list[bytes]:
        """Wait, and return each payload; where it has a checksum this computes it. Raises as `check`."""
        if not self._numels:
            return []
        self.check()
        ends = [0, *(int(end) for end in self._ends.cpu()[[bound - 1 for bound in self._bounds[1:]]])]
        whole = self._payload[: ends[-1]].cpu().numpy()
        payloads = [whole[begin:end].tobytes() for begin, end in pairwise(ends)]
        if self._check:
            payloads = [part + _core.crc32c(part).to_bytes(4, "little") for part in payloads]
        return payloads

    def tobytes(self) -> bytes:
        """As `to_host`, of the only payload."""
        if len(self) != 1:
            raise ValueError(f"there are {len(self)} payloads: to_host() returns them all")
        return self.to_host()[0]


def encode(
    symbols: torch.Tensor | Sequence[torch.Tensor],
    index: torch.Tensor | Sequence[torch.Tensor],
    tables: Tables,
    *,
    check: bool = True,
    hash_index: bool = False,
    chunk_bytes: int = 1 << 14,
) -> Encoded:
    """Code each tensor of `symbols`, with the tables its tensor of `index` names, into a payload of its own.

    `symbols` are int8, int16 or int32, `index` uint8, uint16, int16 or int32, on one CUDA device. The
    payloads are what `entropy.encode` gives for the same `check`, `hash_index` and `chunk_bytes`: about that
    many bytes a chunk, each coded by one warp. The tensors must not change until the work queued is done.

    Raises ValueError for wrong dtypes, devices and lengths; what only the device sees is raised by
    `Encoded.check` and `Encoded.to_host`.
    """
    sources = _tensors(symbols, _SYMBOL_DTYPES, "symbols")
    indexes = _tensors(index, _INDEX_DTYPES, "index")
    if len(sources) != len(indexes):
        raise ValueError("symbols and index differ in number of tensors")
    if not 1 <= chunk_bytes < 2**31:
        raise ValueError("chunk_bytes is positive")
    for source, which in zip(sources, indexes, strict=True):
        if source.numel() != which.numel():
            raise ValueError("symbols and index differ in length")
        if source.device != which.device:
            raise ValueError("symbols and index lie on different devices")
    device = sources[0].device if sources else _default_device()
    launcher = _launcher(device)
    there = _on_device(tables, launcher, device)

    target = chunk_bytes * 2048
    bounds, slots, records = [0], 0, []
    for source, which in zip(sources, indexes, strict=True):
        n = source.numel()
        # No index costs more than the dearest table, and a chunk has 2^22 symbols at most.
        most = (there.most_256 * n + target // 2) // target
        most = max(1, most if most <= 4 else (most + 2) // 4 * 4, -(-n // _MAX_CHUNK_SYMBOLS))
        records.append(
            [
                *(source.data_ptr(), which.data_ptr(), n),
                *(_ELEMENTS[source.dtype], _ELEMENTS[which.dtype]),
                *(bounds[-1], slots, 0),
            ]
        )
        slots += -(-(n * source.element_size() + most * _SLOT_BYTES) // 256) * 256
        bounds.append(bounds[-1] + most)
    num_chunks = bounds[-1]
    tensor_records = launcher.upload(np.array(records, np.int64).reshape(-1, 8))
    last_chunks = launcher.upload(np.array(bounds[1:], np.int64) - 1)
    scratch = torch.empty(slots, dtype=torch.uint8, device=device)
    payload = torch.empty(slots, dtype=torch.uint8, device=device)
    chunks = torch.empty((num_chunks, 7), dtype=torch.int64, device=device)
    sizes = torch.empty(num_chunks, dtype=torch.int64, device=device)
    faults = torch.empty(num_chunks, dtype=torch.int32, device=device)

    def fields(ends: torch.Tensor | None) -> list[int]:
        return [
            *there.fields,
            tensor_records.data_ptr(),
            len(records),
            num_chunks,
            chunk_bytes,
            (_CHECK if check else 0) | (_HASH_INDEX if hash_index else 0),
            *(_addresses(buffer) for buffer in (scratch, chunks, sizes, ends, payload, faults)),
        ]

    launcher.launch("plan", fields(None), len(records))
    launcher.launch("encode", fields(None), num_chunks)
    ends = torch.cumsum(sizes, 0)
    launcher.launch("gather", fields(ends), num_chunks)
    of_tensors = torch.diff(ends[last_chunks], prepend=ends.new_zeros(1)) + (4 if check else 0)
    numels = [source.numel() for source in sources]
    return Encoded(payload, ends, chunks, faults, bounds, numels, of_tensors, check, int(there.fields[8]))


class Decoded:
    """Symbols on a device, each tensor in the shape of its index.

    `symbols` may be handed to work queued behind; they are garbage if the payload was damaged, which `check`
    tells.
    """

    def __init__(
        self,
        symbols: list[torch.Tensor],
        faults: torch.Tensor,
        bounds: list[int],
        misfits: dict[int, torch.Tensor],
    ) -> None:
        self.symbols = symbols
        self._faults = faults
        self._bounds = bounds
        self._misfits = misfits

    def check(self) -> list[torch.Tensor]:
        """Wait, raise what decoding met, else return the symbols.

        Raises CorruptStream for damage, other tables or other indexes, ValueError for an index that names no
        table.
        """
        faults = self._faults.cpu()
        for i, (begin, end) in enumerate(pairwise(self._bounds)):
            _raise_fault(faults[begin:end])
            if i in self._misfits and bool(self._misfits[i]):
                raise CorruptStream("a symbol does not fit the dtype asked for")
        return self.symbols


class _Job:
    """The chunks that a launch decodes: those of an `Encoded` or of payloads in host memory."""

    payload: torch.Tensor
    chunks: torch.Tensor
    faults: torch.Tensor
    bounds: list[int]
    entries: torch.Tensor | None = None
    segments: torch.Tensor | None = None
    num_segments: int


def _resident(encoded: Encoded, numels: list[int], tables: Tables, device: Any) -> _Job:
    if len(encoded) != len(numels):
        raise ValueError("payloads and index differ in number")
    if encoded._numels != numels:
        raise CorruptStream("a payload holds another number of symbols than there are indexes")
    if numels and encoded._payload.device != device:
        raise ValueError("payloads and index are on different devices")
    if encoded._digest != int.from_bytes(tables.digest(), "little"):
        raise CorruptStream("tables differ from those the payload was coded with")
    job = _Job()
    job.payload, job.chunks, job.bounds = encoded._payload, encoded._chunks, encoded._bounds
    job.faults = encoded._faults.clone()
    job.num_segments = len(job.faults)
    return job


def _uploaded(
    payloads: list[Payload],
    numels: list[int],
    tables: Tables,
    check: bool,
    entries: list[bytes | None],
    launcher: Any,
    device: torch.device,
) -> _Job:
    if len(payloads) != len(numels) or len(entries) != len(payloads):
        raise ValueError("payloads, index and entries differ in number")
    all_chunks, all_entries, bounds, at, num_entries = [], [], [0], 0, 0
    for i, (payload, n, blob) in enumerate(zip(payloads, numels, entries, strict=True)):
        raw_chunks, raw_entries = _core.payload_chunks(payload, n, tables._held, check, blob)
        chunks = np.frombuffer(raw_chunks, _CHUNK).copy()
        chunks["body"] += np.uint64(at)
        chunks["tensor"] = i
        chunks["first_entry"] += np.uint32(num_entries)
        at += len(memoryview(payload).cast("B"))
        num_entries += len(raw_entries) // _ENTRY_BYTES
        bounds.append(bounds[-1] + len(chunks))
        all_chunks.append(chunks)
        all_entries.append(raw_entries)
    joined = np.concatenate(all_chunks) if all_chunks else np.zeros(0, _CHUNK)
    job = _Job()
    job.bounds = bounds
    # One byte more, since an empty tensor has no address.
    job.payload = launcher.upload(np.frombuffer(b"".join(payloads) + b"\0", np.uint8).copy())
    job.chunks = launcher.upload(joined.view(np.int64).reshape(-1, 7))
    job.faults = torch.zeros(len(joined), dtype=torch.int32, device=device)
    job.num_segments = len(joined)
    if num_entries:
        job.entries = launcher.upload(np.frombuffer(b"".join(all_entries), np.uint8).copy())
        counts = joined["num_entries"].astype(np.int64) + 1
        starts = np.cumsum(counts) - counts
        numbers = np.arange(counts.sum()) - np.repeat(starts, counts)
        pairs = np.stack([np.repeat(np.arange(len(counts)), counts), numbers], 1)
        job.segments = launcher.upload(np.ascontiguousarray(pairs, np.int32))
        job.num_segments = len(pairs)
    return job


def decode(
    payloads: Encoded | Payload | Sequence[Payload],
    index: torch.Tensor | Sequence[torch.Tensor],
    tables: Tables,
    *,
    check: bool = True,
    dtype: torch.dtype = torch.int32,
    entries: bytes | Sequence[bytes | None] | None = None,
    limits: Limits = _LIMITS,
) -> Decoded:
    """Decode payloads, one for each tensor of `index`, into tensors of `dtype` in the shape of the index.

    Payloads in host memory are read, checked (with `check` their CRC32C too) and copied by this call; those
    that `encode` left on the device are taken from there, where nothing can have changed them. `entries`,
    from `entropy.entry_index`, one for each payload or None, let many warps decode one chunk.

    Raises CorruptStream for payloads that are not whole or not of these tables, LimitExceeded above
    `limits.max_output_bytes`, ValueError for wrong dtypes, devices and numbers. What only the device sees is
    raised by `Decoded.check`.
    """
    indexes = _tensors(index, _INDEX_DTYPES, "index")
    if dtype not in _SYMBOL_DTYPES:
        raise ValueError(f"decoded symbols are int8, int16 or int32, not {dtype}")
    numels = [which.numel() for which in indexes]
    device = indexes[0].device if indexes else _default_device()
    launcher = _launcher(device)
    there = _on_device(tables, launcher, device)
    # Bits of the side stream may bring a value back into a narrow range, so they are added to int32.
    working = torch.int32 if there.any_raw else dtype
    limits.check("max_output_bytes", sum(numels) * working.itemsize)
    if isinstance(payloads, Encoded):
        job = _resident(payloads, numels, tables, device)
    else:
        one = isinstance(payloads, Payload)
        given: list[Payload] = [payloads] if one else list(payloads)  # type: ignore[list-item, arg-type]
        if entries is None or isinstance(entries, bytes):
            entries = [entries] * len(given) if entries is None else [entries]
        job = _uploaded(given, numels, tables, check, list(entries), launcher, device)

    symbols = [torch.empty(which.shape, dtype=working, device=device) for which in indexes]
    bits = np.cumsum([0] + [-(-n // 32) * 32 for n in numels]).tolist()
    records = [
        [target.data_ptr(), which.data_ptr(), _ELEMENTS[working], _ELEMENTS[which.dtype], bit]
        for target, which, bit in zip(symbols, indexes, bits, strict=False)
    ]
    tensor_records = launcher.upload(np.array(records, np.int64).reshape(-1, 5))
    escapes = torch.zeros(bits[-1] // 32, dtype=torch.int32, device=device)
    final_states = torch.empty((len(job.faults), 32), dtype=torch.int32, device=device)
    fields = [
        *there.fields,
        job.payload.data_ptr(),
        job.chunks.data_ptr(),
        tensor_records.data_ptr(),
        job.num_segments,
        *(_addresses(b) for b in (job.segments, job.entries, escapes, final_states, job.faults)),
    ]
    if job.segments is None:
        launcher.launch("decode", fields, job.num_segments, there.bucket_bytes)
    else:
        launcher.launch("decode_split", fields, job.num_segments, there.bucket_bytes)
        launcher.launch("decode_side", fields, job.num_segments)
    misfits = {}
    if working != dtype:
        for i, wide in enumerate(symbols):
            symbols[i] = wide.to(dtype)
            misfits[i] = (symbols[i] != wide).any()
    return Decoded(symbols, job.faults, job.bounds, misfits)
