"""Opus through its own library: every mode, forced bandwidth, and the decoder's own loss concealment.

    from libopus import Opus
    opus = Opus()                                           # the library inside PyAV, else the system's
    packets = opus.encode(samples, 16_000, 12_000)          # list of bytes, 20 ms each
    decoded = opus.decode(packets, 16_000, len(samples))    # delay removed; None in `packets` is a loss

`samples` are float32 or int16, [time] or [time, channels], at 8, 12, 16, 24 or 48 kHz.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.generic]

RATES_HZ = (8000, 12_000, 16_000, 24_000, 48_000)
FRAME_MS = 20
_MAX_PACKET_BYTES = 4000
_APPLICATIONS = {"voip": 2048, "audio": 2049}
_SET_BITRATE, _SET_VBR, _SET_BANDWIDTH, _SET_COMPLEXITY = 4002, 4006, 4008, 4010
_SET_FEC, _SET_LOSS_PERCENT, _SET_CONSTRAINT, _GET_LOOKAHEAD = 4012, 4014, 4020, 4027
_BANDWIDTHS = {"narrow": 1101, "medium": 1102, "wide": 1103, "superwide": 1104, "full": 1105}


class Opus:
    """The library. RuntimeError where none is found; `version` is its own words."""

    def __init__(self) -> None:
        path = _library()
        if path is None:
            raise RuntimeError("no libopus: install PyAV (pip install 'narrows[bench]') or libopus0")
        self._lib = ctypes.CDLL(path)
        self._lib.opus_get_version_string.restype = ctypes.c_char_p
        self._lib.opus_encoder_create.restype = ctypes.c_void_p
        self._lib.opus_decoder_create.restype = ctypes.c_void_p
        self.version = str(self._lib.opus_get_version_string().decode())

    def encode(
        self,
        samples: Samples,
        sample_rate_hz: int,
        bitrate: int,
        *,
        application: str = "audio",
        vbr: str = "on",
        bandwidth: str = "",
        expected_loss_percent: int = 0,
    ) -> list[bytes]:
        """Packets of 20 ms at complexity 10, enough of them that `decode` gives every sample back.

        `vbr` is on, constrained or off; `bandwidth` forces narrow, medium, wide, superwide or full;
        `expected_loss_percent` over 0 turns on in-band FEC.
        """
        block = _as_float(samples)
        channels = block.shape[1]
        error = ctypes.c_int()
        state = ctypes.c_void_p(
            self._lib.opus_encoder_create(
                sample_rate_hz, channels, _APPLICATIONS[application], ctypes.byref(error)
            )
        )
        _check(error.value, "opus_encoder_create")
        try:
            settings = [(_SET_BITRATE, bitrate), (_SET_COMPLEXITY, 10), (_SET_VBR, int(vbr != "off"))]
            settings += [(_SET_CONSTRAINT, int(vbr == "constrained"))]
            settings += [(_SET_BANDWIDTH, _BANDWIDTHS[bandwidth])] if bandwidth else []
            if expected_loss_percent:
                settings += [(_SET_FEC, 1), (_SET_LOSS_PERCENT, expected_loss_percent)]
            for request, value in settings:
                _check(self._lib.opus_encoder_ctl(state, request, ctypes.c_int(value)), f"ctl {request}")
            frame = sample_rate_hz * FRAME_MS // 1000
            count = -(-(len(block) + self.lookahead(sample_rate_hz, application)) // frame)
            block = np.pad(block, ((0, count * frame - len(block)), (0, 0)))
            buffer = ctypes.create_string_buffer(_MAX_PACKET_BYTES)
            packets = []
            for first in range(0, len(block), frame):
                data = np.ascontiguousarray(block[first : first + frame])
                size = self._lib.opus_encode_float(
                    state, data.ctypes.data_as(ctypes.c_void_p), frame, buffer, _MAX_PACKET_BYTES
                )
                _check(size, "opus_encode_float")
                packets.append(buffer.raw[:size])
            return packets
        finally:
            self._lib.opus_encoder_destroy(state)

    def decode(
        self,
        packets: Sequence[bytes | None],
        sample_rate_hz: int,
        num_samples: int,
        *,
        channels: int = 1,
        application: str = "audio",
        fec: bool = False,
    ) -> npt.NDArray[np.float32]:
        """`num_samples` samples without the encoder's delay. A None is concealed, from FEC if `fec`."""
        error = ctypes.c_int()
        state = ctypes.c_void_p(self._lib.opus_decoder_create(sample_rate_hz, channels, ctypes.byref(error)))
        _check(error.value, "opus_decoder_create")
        try:
            frame = sample_rate_hz * FRAME_MS // 1000
            output = np.zeros((frame * len(packets), channels), np.float32)
            for number, packet in enumerate(packets):
                follower = packets[number + 1] if number + 1 < len(packets) else None
                repair = packet is None and fec and follower is not None
                data = follower if repair else packet
                block = output[number * frame : (number + 1) * frame]
                size = self._lib.opus_decode_float(
                    state, data, len(data or b""), block.ctypes.data_as(ctypes.c_void_p), frame, int(repair)
                )
                _check(size, "opus_decode_float")
            skip = self.lookahead(sample_rate_hz, application)
            return output[skip : skip + num_samples]
        finally:
            self._lib.opus_decoder_destroy(state)

    @cache  # noqa: B019  one Opus object lives as long as the process
    def lookahead(self, sample_rate_hz: int, application: str = "audio") -> int:
        """Samples by which the decoder's output is late."""
        error, value = ctypes.c_int(), ctypes.c_int()
        state = ctypes.c_void_p(
            self._lib.opus_encoder_create(sample_rate_hz, 1, _APPLICATIONS[application], ctypes.byref(error))
        )
        _check(error.value, "opus_encoder_create")
        _check(self._lib.opus_encoder_ctl(state, _GET_LOOKAHEAD, ctypes.byref(value)), "lookahead")
        self._lib.opus_encoder_destroy(state)
        return value.value


def _library() -> str | None:
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin:
        bundled = sorted((Path(spec.origin).parents[1] / "av.libs").glob("libopus-*.so*"))
        if bundled:
            return str(bundled[0])
    return ctypes.util.find_library("opus")


def _as_float(samples: Samples) -> npt.NDArray[np.float32]:
    block = samples.reshape(len(samples), -1)
    if block.dtype == np.int16:
        return block.astype(np.float32) / 32_768
    return block.astype(np.float32)


def _check(result: int, call: str) -> None:
    if result < 0:
        raise RuntimeError(f"{call} failed with {result}")
