"""Microphone and speaker over a sounddevice that is none: no test may depend on a sound card."""

import sys
import threading
import types

import numpy as np
import pytest

from narrows.errors import MissingExtra
from narrows.streaming import device, pcm, sources


class PortAudioError(Exception):
    pass


class FakeStream:
    """Calls back from a thread, as PortAudio does, until it is stopped or has nothing left."""

    instances: list = []  # noqa: RUF012

    def __init__(self, *, samplerate, channels, dtype, callback, device=None, blocksize=0):
        self.callback, self.channels, self.blocksize = callback, channels, blocksize
        self.active, self.dtype, self.device = True, dtype, device
        FakeStream.instances.append(self)

    def start(self):
        pass

    def stop(self):
        self.active = False

    def close(self):
        self.active = False

    def __enter__(self):
        def speak():
            for i in range(5):
                self.callback(
                    np.full((self.blocksize, self.channels), i, np.int16), self.blocksize, None, None
                )
            self.active = False

        threading.Thread(target=speak, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture
def fake(monkeypatch):
    module = types.ModuleType("sounddevice")
    module.InputStream = module.OutputStream = FakeStream
    module.PortAudioError = PortAudioError
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    monkeypatch.setattr(device, "_SILENCE_S", 0.2)
    FakeStream.instances.clear()
    return module


def test_a_microphone_gives_blocks_until_it_is_unplugged(fake):
    source = sources.open_microphone(pcm.Format("s16le", 16_000, 2))
    assert source.live
    blocks = [next(source.blocks) for _ in range(5)]
    assert [int(block[0, 0]) for block in blocks] == [0, 1, 2, 3, 4]
    assert {block.shape for block in blocks} == {(320, 2)}
    with pytest.raises(device.DeviceError, match="microphone has stopped"):
        next(source.blocks)


def test_a_speaker_plays_what_was_written_and_silence_after_it(fake):
    speaker = device.Speaker(16_000, 1)
    speaker.write(np.full((300, 1), 0.5, np.float32))
    (stream,) = FakeStream.instances
    out = np.ones((200, 1), np.float32)
    stream.callback(out, 200, None, None)
    assert np.array_equal(out, np.full((200, 1), 0.5))
    stream.callback(out, 200, None, None)
    assert np.array_equal(out[:, 0], [0.5] * 100 + [0] * 100)


def test_a_speaker_falls_behind_by_half_a_second_at_most(fake):
    speaker = device.Speaker(16_000, 1)
    for _ in range(20):
        speaker.write(np.zeros((1600, 1), np.float32))
    assert speaker.num_dropped == 20 * 1600 - 8000


def test_an_unplugged_speaker_is_an_error(fake):
    speaker = device.Speaker(16_000, 1)
    FakeStream.instances[0].active = False
    with pytest.raises(device.DeviceError, match="speaker has stopped"):
        speaker.write(np.zeros((1, 1), np.float32))
    speaker.close()


def test_a_device_that_cannot_be_opened_is_an_error(fake):
    def refuse(**_):
        raise PortAudioError("Invalid device")

    fake.OutputStream = fake.InputStream = refuse
    with pytest.raises(device.DeviceError, match="Invalid device"):
        device.Speaker(16_000, 1)
    with pytest.raises(device.DeviceError, match="Invalid device"):
        next(device.microphone(16_000, 1, 320))


def test_without_the_package_or_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtra, match="live"):
        device.Speaker(16_000, 1)

    def fail(name):
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(device.importlib, "import_module", fail)
    with pytest.raises(device.DeviceError, match="PortAudio") as caught:
        device.Speaker(16_000, 1)
    assert "libportaudio2" in caught.value.hint
