"""`speech` and `music`: MDCT packets of 20 ms with integer contexts; sessions, and files as a loop over them.

All arithmetic that reaches a packet or a sample is integers in C++ (core/include/narrows/audio.hpp): both are
the same on every machine. Here are options, sessions, and how packets lie in chunks. Format: docs/format.md,
"speech and music"; figures: the model cards.

A DATA chunk holds packets that follow each other: varint seq of the first, then each as varint length and
payload; length 0 is a packet that never came and is concealed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from narrows import _core, models
from narrows.container import Input, preamble, varint
from narrows.contracts import Chunk, ChunkSource, Header, Kind, Latency, Packet, Want, check_range
from narrows.errors import CorruptStream, LimitExceeded, NarrowsError, OptionError, PacketError, SignalError
from narrows.limits import Limits
from narrows.signals import Array, Audio

_ARRAYS = ("coefficients", "envelope", "bands", "flags", "steps")  # of a model
_LIVE = 1
_CHUNK_FRAMES = 500
_FILE_FRAMES = 50
_FRAME_S = 0.02
# A gap of more frames than a 16-bit sequence number can tell is another stream.
_MOST_LOST = 1 << 15
_MOST_COPIES = 2
_MOST_FRAMES = 1 << 32  # of a stream: 2.7 years, and products of positions stay below 2^62


@dataclass(frozen=True)
class Options:
    """`quality` (0 to 100) fixes the quantizer's step; `kbps` keeps a rate (no window of 2 s, or 8 packets,
    has more than 2 % and one packet above), or with `constant` the bytes of every packet. Without either, 12
    kbit/s of speech, 64 of music. `packet_frames` of 20 ms share a packet: 1 live, 50 in files, unless given.

    `redundancy`, live only: every packet also carries coarse copies of so many before it (0 to 2), each about
    a third of a packet's bytes, beside `kbps`. A receiver plays them where a packet is lost.
    """

    quality: float | None = None
    kbps: float | None = None
    constant: bool = False
    packet_frames: int | None = None
    redundancy: int = 0

    def __post_init__(self) -> None:
        if self.quality is not None:
            check_range("quality", self.quality, 0, 100)
        if self.kbps is not None:
            check_range("kbps", self.kbps, 1, 2_000)
        if self.packet_frames is not None:
            check_range("packet_frames", self.packet_frames, 1, _core.MAX_PACKET_FRAMES)
        check_range("redundancy", self.redundancy, 0, _MOST_COPIES)
        if self.redundancy * (self.packet_frames or 1) > 255:
            raise OptionError("copies are of the last 255 frames: fewer frames a packet, or less redundancy")
        if self.quality is not None and (self.kbps is not None or self.constant):
            raise OptionError("quality and kbps say the same thing twice: give one")


@dataclass(frozen=True)
class _Profile:
    """What differs between the two codecs, and the encoder's tuning."""

    model: str
    rates_hz: tuple[int, int]
    default_kbps: float
    channels: int  # that the default rate is for
    # Steps in 1/256 octave: by quality, the most for a rate, at the default rate, by octave of it.
    steps: tuple[tuple[int, int], ...]
    coarsest: int
    default_step: int
    octave_step: int
    # How steps grow with a band's level, noise of full and of empty bands, all 1/64, at rates in kbit/s.
    tuning: tuple[tuple[float, int, int, int], ...]

    def tuned(self, kbps: float) -> list[int]:
        """Gamma, fill and floor at a rate for `channels`; between rates linear in its logarithm."""
        knots = np.log2([knot[0] for knot in self.tuning])
        columns = list(zip(*self.tuning, strict=True))[1:]
        return [round(float(np.interp(math.log2(kbps), knots, column))) for column in columns]


class _AudioCodec:
    """Both codecs: they differ in their profile alone. Weights are loaded once, when an instance is made."""

    name = ""
    version, signal, options = 1, Audio, Options
    traits = frozenset({"exact", "seekable", "streaming"})
    _profile: _Profile

    def __init__(self) -> None:
        self._model = self._tables(bytes.fromhex(self._profile.model))

    def _tables(self, model: bytes) -> Any:
        arrays = models.load(self.name, model)
        return _core.AudioModel(*(arrays[name] for name in _ARRAYS))

    def _model_of(self, header: Header) -> Any:
        if len(header.model) != 8:
            raise CorruptStream(f"a {self.name} stream names its model")
        return self._model if header.model.hex() == self._profile.model else self._tables(header.model)

    # ---- sessions

    def encoder(self, header: Header, options: Options, *, state: bytes | None = None) -> Encoder:
        """A session for the rate and channels of `header`: one frame a packet unless `options` have more."""
        rate, channels = header.sample_rate_hz, header.channels
        if not _core.LEAST_RATE_HZ <= rate <= _core.LARGEST_RATE_HZ:
            raise SignalError(
                f"{self.name} takes {_core.LEAST_RATE_HZ:,} to {_core.LARGEST_RATE_HZ:,} samples a second, "
                f"not {rate:,}"
            )
        if not 1 <= channels <= 255:
            raise SignalError(f"{self.name} takes 1 to 255 channels, not {channels}")
        profile = self._profile
        low, high = profile.rates_hz
        inside_hz = low if rate <= low else high
        frames = options.packet_frames or 1
        bytes_256 = 0
        if options.quality is None:
            kbps = profile.default_kbps if options.kbps is None else options.kbps
            bytes_256 = max(round(kbps * 1000 / 8 * _FRAME_S * frames * 256), 256)
            octaves = math.log2(kbps * profile.channels / channels / profile.default_kbps)
            step = round(profile.default_step - profile.octave_step * octaves)
            step = min(max(step, profile.steps[-1][1]), profile.coarsest)
        else:
            qualities, steps = zip(*profile.steps, strict=True)
            step = round(float(np.interp(options.quality, qualities, steps)))
            octaves = (profile.default_step - step) / profile.octave_step
            kbps = profile.default_kbps * 2**octaves * channels / profile.channels
        tuned = profile.tuned(profile.default_kbps * 2**octaves)
        copied = options.redundancy > 0
        varying = bytes_256 > 0 or copied
        params = _core.audio_params(inside_hz, frames, step, varying, *tuned)
        header = replace(
            header,
            codec=self.name,
            version=self.version,
            params=params,
            model=bytes.fromhex(profile.model),
        )
        try:
            rates = bytes_256, options.constant, copied
            core = _core.AudioEncoder(self._model, params, rate, channels, *rates)
        except LimitExceeded:
            raise OptionError(
                f"{kbps:g} kbit/s are too few for {channels} channels in packets of {frames}: "
                "even silence needs more"
            ) from None
        return Encoder(core, header, state, options.redundancy)

    def decoder(self, header: Header, *, state: bytes | None = None, limits: Limits = Limits()) -> Decoder:
        """A session for a stream that begins with `header`. LimitExceeded if a packet is too much."""
        rate, channels = header.sample_rate_hz, header.channels
        if not (_core.LEAST_RATE_HZ <= rate <= _core.LARGEST_RATE_HZ and 1 <= channels <= 255):
            raise CorruptStream(f"{self.name} has no {channels} channels of {rate:,} Hz")
        core = _core.AudioDecoder(self._model_of(header), header.params, rate, channels)
        packet_s = _FRAME_S * core.packet_frames
        limits.check("max_output_bytes", math.ceil(packet_s * rate) * channels * 4)
        return Decoder(core, header, state)

    # ---- files

    def encode(self, signal: Audio, options: Options, *, threads: int = 1) -> tuple[Header, Iterator[Chunk]]:
        """The header, and chunks of about 10 s, made by a session as they are taken."""
        frames = _FILE_FRAMES if options.packet_frames is None else options.packet_frames
        options = replace(options, packet_frames=frames, redundancy=0)
        session = self.encoder(Header.of(self, signal), options)

        def chunks() -> Iterator[Chunk]:
            waiting: list[Packet] = []
            first = 0
            for packet in _packets(session, signal):
                waiting.append(packet)
                if packet.last or packet.seq + packet_frames - waiting[0].seq >= _CHUNK_FRAMES:
                    chunk = self.chunk(waiting, first)
                    first += chunk.count
                    waiting = []
                    if chunk.count:
                        yield chunk

        packet_frames = options.packet_frames or 1
        return session.parsed, chunks()

    def chunk(self, packets: list[Packet], first: int) -> Chunk:
        """A DATA chunk of packets that follow each other, the first of which adds samples from `first` on."""
        payload = varint(packets[0].seq) + b"".join(varint(len(p.payload)) + p.payload for p in packets)
        return Chunk(payload, first, sum(p.count for p in packets))

    def decode(
        self, header: Header, chunks: ChunkSource, want: Want, *, threads: int = 1, limits: Limits = Limits()
    ) -> Audio:
        """The samples wanted. What is missing of a damaged file is concealed, then silent."""
        start, stop = want.span(header.num_samples)
        samples = np.zeros((stop - start, header.channels), np.float32)
        end = 0
        for first, block in self._decoded(header, chunks, start, stop, limits):
            end = first + len(block)
            low, high = max(first, start), min(end, stop)
            if low < high:
                samples[low - start : high - start] = block[low - first : high - first]
        if end < stop and start < stop and not chunks.partial:
            raise CorruptStream(f"the sound ends at sample {end:,} of {header.num_samples:,}")
        return Audio(samples, header.sample_rate_hz)

    def blocks(self, header: Header, chunks: ChunkSource, *, limits: Limits = Limits()) -> Iterator[Audio]:
        """The whole signal, a packet in memory at a time; needs no total."""
        for _, block in self._decoded(header, chunks, 0, None, limits):
            if len(block):
                yield Audio(block, header.sample_rate_hz)

    def _decoded(
        self, header: Header, chunks: ChunkSource, start: int, stop: int | None, limits: Limits
    ) -> Iterator[tuple[int, Array]]:
        """(first sample, samples) of each packet that is needed for [start, stop)."""
        session = self.decoder(header, limits=limits)
        # A packet needs the half block before it, and a resampler its reach, which is less than a packet.
        early = session.packet_samples * 2
        begin = max(0, start - early)
        source = chunks if stop is None else chunks.covering(Want(start=begin, stop=stop))
        begun = begin == 0
        for chunk in source:
            if chunk.kind != Kind.DATA or chunk.layer:
                raise CorruptStream(f"{self.name} has only DATA chunks of layer 0")
            packets = list(_unpacked(chunk, session))
            if begun and packets[0].seq < session.next:
                raise CorruptStream("packets come twice")
            if begun and packets[0].seq > session.next and not chunks.partial:
                raise CorruptStream("packets are missing")
            for packet in packets:
                first = session.samples_before(packet.seq)
                if stop is not None and first >= stop:
                    return
                if not begun:
                    if first + packet.count <= begin:
                        continue
                    session.seek(packet.seq)
                    begun = True
                # What is missing before, one packet in memory at a time.
                while session.next < packet.seq and packet.seq - session.next <= _MOST_LOST:
                    missing = session.samples_before(session.next)
                    yield missing, session.push(None)
                try:
                    block = session.push(packet if packet.payload else None)
                except PacketError as error:
                    raise CorruptStream(f"packet {packet.seq}: {error}") from None
                if packet.payload:
                    yield first + packet.count - len(block), block
                else:
                    yield first, block[: packet.count]


class Speech(_AudioCodec):
    """Speech: 16 and 24 kHz inside, 3 to 32 kbit/s, 30 ms behind; best for one voice, takes any sound."""

    name = "speech"
    _profile = _Profile(
        model="df8f3fe5e963c729",
        rates_hz=(16_000, 24_000),
        default_kbps=12,
        channels=1,
        steps=((0, 5_200), (100, 2_600)),
        coarsest=5_200,
        default_step=4_000,
        octave_step=435,
        tuning=((6, 14, 12, 44), (16, 14, 12, 44)),
    )


class Music(_AudioCodec):
    """Music: 44.1 and 48 kHz inside, 12 to 128 kbit/s, 40 ms behind; channels in pairs, transients split."""

    name = "music"
    _profile = _Profile(
        model="b486dd498a94b4bf",
        rates_hz=(44_100, 48_000),
        default_kbps=64,
        channels=2,
        steps=((0, 5_800), (1, 5_170), (100, 2_200)),
        coarsest=5_200,
        default_step=3_600,
        octave_step=490,
        tuning=((12, 13, 20, 58), (64, 13, 20, 58)),
    )


class Encoder:
    """A live session: samples to packets. `header` is the preamble that `narrows.decoder` takes."""

    def __init__(self, core: Any, header: Header, state: bytes | None, redundancy: int = 0) -> None:
        self._core = core
        self._redundancy = redundancy
        self._coarse: list[bytes] = []  # of the last packets, newest first
        self.parsed = header
        self.header = preamble(header.with_length(0), _LIVE)
        self._frame = core.frame
        self.latency = _latency(core, header)
        self._finished = False
        if state is not None:
            flags = Input(_restore(core, self.header, state))
            try:
                self._finished = flags.byte() == 1
                while not flags.at_end():
                    self._coarse.append(flags.read(flags.varint()))
            except NarrowsError:
                raise SignalError("the state is damaged") from None
            if len(self._coarse) > redundancy:
                raise SignalError("the state is of a session with more redundancy")

    def push(self, block: Array | Audio) -> list[Packet]:
        """Packets that `block` completes: int16 or float32 [time, channels], any length. SignalError for NaN,
        another rate or number of channels.
        """
        self._check_open()
        samples = self._samples(block)
        try:
            made = self._core.push(samples)
        except ValueError as error:  # NaN
            raise SignalError(str(error)) from None
        return self._packets(made)

    def finish(self) -> list[Packet]:
        """The remaining packets; the last has `last` set."""
        self._check_open()
        self._finished = True
        return self._packets(self._core.finish())

    def save(self) -> bytes:
        """The state, for `narrows.encoder(..., state=b)` with the same options."""
        coarse = b"".join(varint(len(payload)) + payload for payload in self._coarse)
        return _saved(self._core, self.header, bytes([self._finished]) + coarse)

    def _check_open(self) -> None:
        if self._finished:
            raise OptionError("the session is finished: begin another")

    def _samples(self, block: Array | Audio) -> Array:
        header = self.parsed
        if isinstance(block, Audio):
            if block.sample_rate_hz != header.sample_rate_hz:
                raise SignalError(
                    f"the session has {header.sample_rate_hz:,} samples a second, this block "
                    f"{block.sample_rate_hz:,}"
                )
            block = block.samples
        if not isinstance(block, np.ndarray) or block.dtype not in (np.int16, np.float32):
            kind = getattr(block, "dtype", type(block).__name__)
            raise SignalError(f"a block of sound is an int16 or float32 array, not {kind}")
        block = block[:, np.newaxis] if block.ndim == 1 else block
        if block.ndim != 2 or block.shape[1] != header.channels:
            raise SignalError(f"the session has [time, {header.channels} channels], not {list(block.shape)}")
        return np.ascontiguousarray(block)

    def _packets(self, made: list[tuple[int, int, bool, bytes, bytes]]) -> list[Packet]:
        packets = []
        for seq, count, last, payload, coarse in made:
            copies = tuple((n * self._core.packet_frames, c) for n, c in enumerate(self._coarse, 1))
            packets.append(Packet(seq, seq * self._frame, count, payload, True, last, copies))
            self._coarse = [coarse, *self._coarse][: self._redundancy]
        return packets


class Decoder:
    """A live session: packets to float32 samples [time, channels], each a 24-bit integer / 2**23."""

    def __init__(self, core: Any, header: Header, state: bytes | None) -> None:
        self._core = core
        self._header = preamble(header.with_length(0), _LIVE)
        self._channels = header.channels
        self._frames = int(core.packet_frames)
        self.latency = _latency(core, header)
        if state is not None:
            _restore(core, self._header, state)

    @property
    def next(self) -> int:
        """Seq of the packet expected next."""
        return int(self._core.next)

    @property
    def packet_frames(self) -> int:
        """By how much seq grows from packet to packet."""
        return self._frames

    @property
    def packet_samples(self) -> int:
        """Samples of the signal that a packet spans, rounded up."""
        return self.samples_before(2 * self._frames) - self.samples_before(self._frames) + 1

    def samples_before(self, seq: int) -> int:
        """Samples of the signal that packets below `seq` add."""
        return int(self._core.samples_before(seq))

    def push(self, packet: Packet | None) -> Array:
        """Samples that `packet` adds, those of packets lost before it concealed; None conceals the next.

        PacketError, the state untouched, for a payload that does not parse, a seq passed or far ahead.
        """
        if packet is None:
            if self._core.finished:
                raise PacketError("the stream has ended")
            block: Array = self._core.conceal()
            return block
        gap, off = divmod(packet.seq - self.next, self._frames)
        if self._core.finished or gap < 0 or off:
            raise PacketError(f"packet {packet.seq} does not follow: {self.next} is next")
        if packet.seq - self.next > _MOST_LOST or packet.seq >= _MOST_FRAMES:
            raise PacketError(f"packet {packet.seq} is {gap:,} packets ahead: of another stream")
        before = self._core.save() if gap else b""
        blocks = [self._core.conceal() for _ in range(gap)]
        count = packet.count
        if not packet.last and count == 0:  # the wire leaves out what seq says
            count = self.samples_before(packet.seq + self._frames) - self.samples_before(packet.seq)
        try:
            blocks.append(self._core.push(packet.seq, count, packet.last, packet.payload))
        except (CorruptStream, ValueError, TypeError) as error:
            if gap:
                self._core.restore(before)
            raise PacketError(str(error)) from None
        return np.concatenate(blocks) if gap else blocks[0]

    def finish(self) -> Array:
        """No samples: packets give all of theirs."""
        return np.zeros((0, self._channels), np.float32)

    def seek(self, seq: int) -> None:
        """Go on at `seq` as if nothing had been heard: right from half a packet on.

        PacketError for 2**32 and more.
        """
        if not 0 <= seq < _MOST_FRAMES:
            raise PacketError(f"no stream has come to frame {seq}")
        self._core.seek(seq)

    def save(self) -> bytes:
        """The state, for `narrows.decoder(header, state=b)`."""
        return _saved(self._core, self._header, b"")


def _latency(core: Any, header: Header) -> Latency:
    """Packet length; overlap of the transforms and reach of both resamplers."""
    lookahead_s = core.overlap / core.rate_hz + core.lookahead / header.sample_rate_hz
    return Latency(1000 * _FRAME_S * core.packet_frames, round(1000 * lookahead_s, 3))


def _packets(session: Encoder, signal: Audio) -> Iterator[Packet]:
    step = signal.sample_rate_hz
    for first in range(0, signal.num_samples, step):
        yield from session.push(signal.samples[first : first + step])
    yield from session.finish()


def _unpacked(chunk: Chunk, session: Decoder) -> Iterable[Packet]:
    """The packets of a chunk, checked against its entry. CorruptStream."""
    data = Input(chunk.payload)
    seq = data.varint(_MOST_FRAMES)
    if seq % session.packet_frames or session.samples_before(seq) != chunk.first:
        raise CorruptStream(f"packets from {seq} do not begin at sample {chunk.first:,}")
    end = chunk.first + chunk.count
    packets = []
    while not data.at_end():
        payload = data.read(data.varint())
        first, after = session.samples_before(seq), session.samples_before(seq + session.packet_frames)
        if first > end:
            raise CorruptStream("a chunk has more packets than its entry says")
        last = after > end or (after < end and data.at_end())
        packets.append(Packet(seq, 0, (end if last else after) - first, payload, True, last))
        seq += session.packet_frames
    if not packets or (not packets[-1].last and session.samples_before(seq) != end):
        raise CorruptStream("a chunk has fewer packets than its entry says")
    return packets


def _saved(core: Any, header: bytes, flags: bytes) -> bytes:
    state: bytes = varint(len(flags)) + flags + core.save()
    check: bytes = zlib.crc32(header + state).to_bytes(4, "little")
    return check + state


def _restore(core: Any, header: bytes, state: bytes) -> bytes:
    """Bring back a saved state; its flags. SignalError for another stream's or a damaged one."""
    body = bytes(state[4:])
    if len(body) < 1 or zlib.crc32(header + body) != int.from_bytes(state[:4], "little"):
        raise SignalError("the state is damaged, or of another stream")
    try:
        source = Input(body)
        flags: bytes = source.read(source.varint())
        core.restore(body[source.position :])
    except (ValueError, NarrowsError):
        raise SignalError("the state is of another session: options and header must be the same") from None
    return flags
