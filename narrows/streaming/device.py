"""Microphone and speaker, through the optional package sounddevice (PortAudio)."""

from __future__ import annotations

import contextlib
import importlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from narrows.errors import MissingExtra, NarrowsError
from narrows.signals import Array

_QUEUE_S = 0.5
_SILENCE_S = 3.0


class DeviceError(NarrowsError, OSError):
    """A microphone or speaker that is not there, is taken, or was unplugged."""


def _sounddevice(purpose: str) -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise MissingExtra(purpose, "live") from error
    except OSError as error:  # the package is there, the library under it is not
        problem = DeviceError(f"{purpose} needs PortAudio, which is not installed")
        problem.hint = "Debian and Ubuntu: apt-get install libportaudio2"
        raise problem from error


def microphone(
    sample_rate_hz: int, channels: int, block_samples: int, *, device: str | None = None
) -> Iterator[Array]:
    """Blocks int16 [time, channels] as they are recorded, without end. MissingExtra, DeviceError."""
    module = _sounddevice("the microphone")
    blocks: queue.Queue[Array] = queue.Queue()

    def take(data: Any, *_: object) -> None:
        blocks.put(np.array(data, dtype=np.int16, copy=True))

    try:
        with module.InputStream(
            samplerate=sample_rate_hz, channels=channels, dtype="int16", blocksize=block_samples,
            device=device, callback=take,
        ) as stream:  # fmt: skip
            while True:
                try:
                    yield blocks.get(timeout=_SILENCE_S)
                except queue.Empty:
                    if not stream.active:
                        raise DeviceError("the microphone has stopped") from None
                    raise DeviceError(f"the microphone gave nothing for {_SILENCE_S:.0f} s") from None
    except module.PortAudioError as error:
        raise DeviceError(f"microphone: {error}") from error


class Speaker:
    """Plays what is written to it, half a second behind at most. MissingExtra, DeviceError.

    `paced`: `write` waits where there is more; else, as for a stream that keeps pace itself, it is dropped.
    """

    def __init__(
        self, sample_rate_hz: int, channels: int, *, device: str | None = None, paced: bool = False
    ) -> None:
        module = _sounddevice("the speaker")
        self._rate_hz, self._paced = sample_rate_hz, paced
        self._limit = round(_QUEUE_S * sample_rate_hz)
        self._lock = threading.Lock()
        self._waiting = np.zeros((0, channels), np.float32)
        self.num_dropped = 0
        try:
            self._stream = module.OutputStream(
                samplerate=sample_rate_hz, channels=channels, dtype="float32", device=device,
                callback=self._give,
            )  # fmt: skip
            self._stream.start()
        except module.PortAudioError as error:
            raise DeviceError(f"speaker: {error}") from error

    def write(self, samples: Array) -> None:
        """Queue samples, float32 [time, channels]. DeviceError when the device is gone."""
        if not self._stream.active:
            raise DeviceError("the speaker has stopped")
        with self._lock:
            self._waiting = np.concatenate([self._waiting, samples.astype(np.float32)])
            excess = max(len(self._waiting) - self._limit, 0)
            if not self._paced:
                self._waiting = self._waiting[excess:]
                self.num_dropped += excess
        if self._paced and excess:
            time.sleep(excess / self._rate_hz)

    def close(self) -> None:
        """Stop playing; `paced`: when all has been played."""
        while self._paced and self._stream.active and len(self._waiting):
            time.sleep(0.01)
        with contextlib.suppress(Exception):
            self._stream.stop()
        self._stream.close()

    def _give(self, out: Any, count: int, *_: object) -> None:
        with self._lock:
            part, self._waiting = self._waiting[:count], self._waiting[count:]
        out[: len(part)] = part
        out[len(part) :] = 0
