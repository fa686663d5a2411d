"""Compiles the device's kernels with NVRTC at first use and launches them through the CUDA driver.

The sources are those the wheel carries beside the compiled core. Cubins are kept in the user's cache, under a
name that tells sources, compiler and architecture apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from narrows import _core
from narrows.errors import MissingExtra
from narrows.files import atomic

KERNELS = ("plan", "encode", "gather", "decode", "decode_split", "decode_side")
_SOURCE = "rans.cu"
_HEADERS = ("rans/lane.hpp", "rans/warp.hpp", "rans/warp_encode.hpp", "rans/warp_decode.hpp")
_WARPS_A_BLOCK = 16
_STAGE_FROM = 8  # warps a block that make copying the tables to shared memory worth its time
_BUCKET_BYTES = 1 << 17


def sources() -> dict[str, str]:
    """Return the device's sources, as the compiler's includes name them."""
    folder = Path(_core.__file__).parent / "entropy" / "device"
    try:
        return {name: (folder / name).read_text("utf-8") for name in (_SOURCE, *_HEADERS)}
    except OSError as error:
        raise RuntimeError(f"this build of narrows lacks {error.filename}: install it again") from error


def _modules() -> tuple[Any, Any]:
    """Return cuda.bindings' `driver` and `nvrtc`; MissingExtra."""
    try:
        from cuda.bindings import driver, nvrtc
    except ImportError as error:
        raise MissingExtra("coding on a CUDA device", "cuda") from error
    return driver, nvrtc


def _nvrtc() -> Any:
    """Return cuda.bindings' `nvrtc` with its library loaded; MissingExtra where it is not found."""
    _, nvrtc = _modules()
    try:
        result, *_ = nvrtc.nvrtcVersion()
    except RuntimeError as error:  # DynamicLibNotFoundError of cuda.pathfinder
        raise MissingExtra(
            f"NVRTC was not found ({str(error).split(',')[0]}); coding on a CUDA device", "cuda"
        ) from error
    if int(result) != 0:
        raise RuntimeError(f"NVRTC fails: {result}")
    return nvrtc


def _must(answer: Sequence[Any]) -> Any:
    """Return what a call of cuda.bindings gave; RuntimeError with the name of its error."""
    result, *values = answer
    if int(result) != 0:
        raise RuntimeError(f"a CUDA call fails: {getattr(result, 'name', result)}")
    return values[0] if values else None


def compile_kernels(arch: str) -> bytes:
    """Compile for `arch` ("sm_90" gives a cubin, "compute_90" PTX) with NVRTC; needs no device.

    Raises MissingExtra without cuda-bindings or libnvrtc, RuntimeError with the compiler's log if it fails.
    """
    nvrtc = _nvrtc()
    texts = sources()
    program = _must(
        nvrtc.nvrtcCreateProgram(
            texts[_SOURCE].encode(),
            _SOURCE.encode(),
            len(_HEADERS),
            [texts[name].encode() for name in _HEADERS],
            [name.encode() for name in _HEADERS],
        )
    )
    options = [b"--std=c++20", f"--gpu-architecture={arch}".encode()]
    try:
        (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if int(result) != 0:
            log = _filled(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
            said = log.decode(errors="replace").strip("\0 \n")
            raise RuntimeError(f"NVRTC does not compile for {arch}: {said}")
        if arch.startswith("sm_"):
            return _filled(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
        return _filled(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _filled(program: Any, size: Callable[..., Any], get: Callable[..., Any]) -> bytes:
    """Return what `get` writes, `size` bytes of it, into memory that is nobody else's."""
    buffer = bytearray(_must(size(program)))
    _must(get(program, buffer))
    return bytes(buffer)


def arch_for(capability: tuple[int, int], supported: Sequence[int]) -> str:
    """Return what to compile for: the device's own architecture, or PTX of the newest before it.

    >>> arch_for((9, 0), [80, 90]), arch_for((12, 1), [80, 90, 120])
    ('sm_90', 'compute_120')
    """
    own = 10 * capability[0] + capability[1]
    if own in supported:
        return f"sm_{own}"
    older = [arch for arch in supported if arch <= own]
    if not older:
        raise RuntimeError(f"this NVRTC knows no architecture as old as the device's {own / 10}")
    return f"compute_{max(older)}"


def cache_folder() -> Path:
    """Return where cubins are kept: `$XDG_CACHE_HOME/narrows`, by default `~/.cache/narrows`."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(root) if root else Path.home() / ".cache") / "narrows"


def cached_kernels(arch: str) -> bytes:
    """As `compile_kernels`, kept in the cache; a cache that cannot be read or written is done without."""
    version = _must([0, tuple(_nvrtc().nvrtcVersion()[1:])])
    key = hashlib.sha256(repr((sorted(sources().items()), version)).encode()).hexdigest()[:24]
    path = cache_folder() / f"rans-{key}-{arch}.cubin"
    with contextlib.suppress(OSError):
        image = path.read_bytes()
        # A crash while the disk was full may have left half a file.
        if hashlib.sha256(image[32:]).digest() == image[:32]:
            return image[32:]
    image = compile_kernels(arch)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path, force=True) as file:
            file.write(hashlib.sha256(image).digest() + image)
    return image


class Launcher:
    """The kernels, loaded for one device.

    `fields` of a launch are the 8-byte fields of its structure in core/src/rans/warp.hpp.
    """

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch = torch
        self._device = device
        self._driver, nvrtc = _modules()
        properties = torch.cuda.get_device_properties(device)
        supported = _must(_nvrtc().nvrtcGetSupportedArchs()) if nvrtc else []
        with torch.cuda.device(device):
            torch.cuda.current_stream().synchronize()  # makes torch's context, and makes it current
            image = cached_kernels(arch_for((properties.major, properties.minor), supported))
            module = _must(self._driver.cuModuleLoadData(image))
            self._functions = {
                name: _must(self._driver.cuModuleGetFunction(module, f"narrows_{name}".encode()))
                for name in KERNELS
            }
            handle = _must(self._driver.cuDeviceGet(device.index))
            attribute = self._driver.CUdevice_attribute
            self._num_sms = _must(
                self._driver.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, handle)
            )
            self._shared_bytes = _must(
                self._driver.cuDeviceGetAttribute(
                    attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, handle
                )
            )
            for name in ("decode", "decode_split"):
                _must(
                    self._driver.cuFuncSetAttribute(
                        self._functions[name],
                        self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                        self._shared_bytes,
                    )
                )
        self.bucket_bytes = _BUCKET_BYTES if self._shared_bytes >= _BUCKET_BYTES else _BUCKET_BYTES // 2

    def upload(self, array: np.ndarray[Any, Any]) -> Any:
        """Return a device copy of `array`; the copy is queued on the current stream."""
        pinned = self._torch.from_numpy(array).pin_memory()
        return pinned.to(self._device, non_blocking=True)

    def launch(self, kernel: str, fields: Sequence[int], num_warps: int, bucket_bytes: int = 0) -> None:
        """Queue `kernel` for `num_warps` warps on torch's current stream."""
        if num_warps == 0:
            return
        warps, blocks, shared_bytes = geometry(num_warps, self._num_sms, bucket_bytes, self._shared_bytes)
        stream = self._torch.cuda.current_stream(self._device).cuda_stream
        values = np.array(fields, np.uint64)
        pointers = np.array([values.ctypes.data], np.uint64)
        with self._torch.cuda.device(self._device):
            _must(
                self._driver.cuLaunchKernel(
                    self._functions[kernel],
                    *(blocks, 1, 1),
                    *(32 * warps, 1, 1),
                    shared_bytes,
                    self._driver.CUstream(stream),
                    pointers.ctypes.data,
                    0,
                )
            )


def geometry(num_warps: int, num_sms: int, bucket_bytes: int, shared_bytes: int) -> tuple[int, int, int]:
    """Return warps a block, blocks, and bytes of shared memory for tables.

    Few warps are spread over all multiprocessors; many stand in blocks that share a copy of the tables, as
    many blocks as fit at once.

    >>> geometry(64, 132, 1 << 17, 227 << 10)
    (1, 64, 0)
    >>> geometry(8192, 132, 1 << 17, 227 << 10)
    (16, 132, 131072)
    """
    warps = min(_WARPS_A_BLOCK, -(-num_warps // num_sms))
    blocks = min(-(-num_warps // warps), 2**31 - 1)
    if warps < _STAGE_FROM or not 0 < bucket_bytes <= shared_bytes:
        return warps, blocks, 0
    return warps, min(blocks, num_sms * max(1, shared_bytes // bucket_bytes)), bucket_bytes


_launchers: dict[int, Launcher] = {}
_lock = threading.Lock()


def launcher(torch: Any, device: Any) -> Launcher:
    """Return the launcher of a CUDA device, made at the first call."""
    with _lock:
        if device.index not in _launchers:
            _launchers[device.index] = Launcher(torch, device)
        return _launchers[device.index]
