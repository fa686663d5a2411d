"""The public functions: file <-> signal <-> codec <-> container. Read this first.

encode: a signal goes to the codec that its type or the caller names, whose header and chunks are written by
the container, with metadata before and the CHECK digest behind them. decode: the way back, all rules checked.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np

from narrows import container, files, registry
from narrows.contracts import (
    MEDIA_OF,
    Chunk,
    Codec,
    Decoder,
    Encoder,
    Header,
    Kind,
    Media,
    StreamingCodec,
    Tokenizer,
    Want,
    dims_of,
    output_bytes,
)
from narrows.errors import CorruptStream, OptionError, SignalError
from narrows.limits import Limits
from narrows.signals import Audio, Blob, Image, Signal, equal
from narrows.stream import (
    CHECK_DIFFERS,
    Data,
    Info,
    PathLike,
    Stream,
    check_digest,
    check_threads,
    codec_of,
    decode_reader,
    info,
    make_want,
    open,
    tensor_of,
)

__all__ = [
    "Info",
    "Preset",
    "Stream",
    "Verification",
    "as_signal",
    "codec",
    "decode",
    "decode_file",
    "decoder",
    "encode",
    "encode_file",
    "encoder",
    "info",
    "open",
    "tokenizer",
    "verify",
]

CodecName: TypeAlias = "str | Preset | None"

CHECK_FROM_BYTES = 4096


@dataclass(frozen=True)
class Preset:
    """A codec with its options: weights are loaded once, any number of threads may use it.

    >>> import narrows
    >>> preset = narrows.codec("bytes")
    >>> preset.decode(preset.encode(b"to be or not to be")).data
    b'to be or not to be'
    """

    codec: Codec[Any]
    options: Any

    def encode(self, signal: Any, *, threads: int = 1, check: bool = False, strip: bool = False) -> bytes:
        """`narrows.encode` with this codec."""
        return encode(signal, self, threads=threads, check=check, strip=strip)

    def decode(self, data: Data, *, threads: int = 1, limits: Limits = Limits(), **want: Any) -> Any:
        """`narrows.decode`; the stream says by itself which codec and options it needs."""
        return decode(data, threads=threads, limits=limits, **want)

    def __str__(self) -> str:
        return registry.spell(self.codec.name, self.options)


def codec(name: str, **options: Any) -> Preset:
    """A codec and its options, from `name` or `name:option=value,...`.

    >>> import narrows
    >>> str(narrows.codec("bytes"))
    'bytes'
    """
    name, spelled = registry.parse(name)
    twice = spelled.keys() & options.keys()
    if twice:
        raise OptionError(f"{', '.join(sorted(twice))} given twice")
    found = registry.codec(name)
    return Preset(found, registry.make_options(found, {**spelled, **options}))


def tokenizer(name: str) -> Tokenizer[Any]:
    """The tokenizer of this name.

    >>> import narrows
    >>> narrows.tokenizer("no such")
    Traceback (most recent call last):
    narrows.errors.OptionError: there is no tokenizer named 'no such'; known: bsq, vae, vq, wae, walloc
    """
    return registry.tokenizer(name)


def encode(
    signal: Any,
    codec: CodecName = None,
    *,
    threads: int = 1,
    check: bool = False,
    strip: bool = False,
    indexed: bool = False,
    **options: Any,
) -> bytes:
    """Code a signal; the bytes are a whole `.nrws` stream and do not depend on `threads`.

    `signal` is a Signal, a bare uint8 or uint16 array [height, width(, channels)], or bytes. `options` are
    the codec's. `check` adds the CHECK digest also where it needs a decode, `strip` leaves out EXIF, XMP and
    tags, `indexed` adds an INDEX. Raises SignalError for what is no signal, OptionError.

    >>> import narrows
    >>> len(narrows.encode(b"hello", codec="bytes"))
    44
    """
    out = io.BytesIO()
    signal = as_signal(signal)
    preset = _preset(signal, codec, options)
    _encode(out, signal, preset, threads=threads, check=check, strip=strip, indexed=indexed)
    return out.getvalue()


def decode(
    data: Data,
    *,
    scale: float | str = 1,
    start: float | None = None,
    stop: float | None = None,
    region: tuple[int, int, int, int] | None = None,
    out: str = "numpy",
    device: str = "cpu",
    threads: int = 1,
    limits: Limits = Limits(),
    partial: bool = False,
) -> Any:
    """The Signal in a stream: `data` is bytes or a binary file, also a pipe.

    `scale` (1/2, 1/4 ...), `start` and `stop` (seconds of audio, else rows, bytes ...) and `region` (x, y,
    width, height) give a part; a progressive codec reads no more than it needs. With `out="torch"` it is the
    bare tensor, laid out as the Signal. `partial` decodes what is whole of a damaged stream.

    Raises CorruptStream (TruncatedStream), UnsupportedStream, LimitExceeded, ModelNotFound.

    >>> import narrows
    >>> narrows.decode(narrows.encode(b"hello")).data
    b'hello'
    """
    if not isinstance(data, (bytes, bytearray, memoryview)) and not hasattr(data, "read"):
        raise SignalError("decode takes bytes or a binary file; for a path use decode_file or open")
    if out not in ("numpy", "torch"):
        raise OptionError(f"out must be numpy or torch, not {out!r}")
    reader = container.Reader(data, limits, partial=partial)
    want = make_want(reader.header, scale, start, stop, region)
    signal = decode_reader(reader, want, threads=threads, limits=limits)
    return signal if out == "numpy" else tensor_of(signal, device)


def encode_file(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    codec: CodecName = None,
    *,
    as_medium: str | None = None,
    force: bool = False,
    threads: int = 1,
    limits: Limits = Limits(),
    check: bool = False,
    strip: bool = False,
    indexed: bool = False,
    **options: Any,
) -> Info:
    """Code a file by its content (or `as_medium`) into another, which appears whole or not at all.

    Both may be binary file objects. A path that exists is not overwritten without `force`. The file is read
    as what `codec` takes, if one is named; content that has no codec yet is coded as bytes. Returns what
    `info` would say of the result, without its chunks.

    >>> import narrows, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_bytes(b"to be or not to be")
    >>> narrows.encode_file(folder / "a.txt", folder / "a.txt.nrws").codec
    'bytes'
    >>> narrows.decode_file(folder / "a.txt.nrws", folder / "b.txt")
    []
    >>> (folder / "b.txt").read_bytes()
    b'to be or not to be'
    """
    _refuse_same(source, target)
    with files.opened(source, limits) as file:
        signal = files.read(file, limits=limits, as_medium=as_medium or _medium(file, codec))
    preset = _preset(signal, codec, options)
    with _output(target, force) as out:
        counted = _Counted(out)
        header = _encode(counted, signal, preset, threads=threads, check=check, strip=strip, indexed=indexed)
    return Info.of(header, {} if strip else signal.meta, counted.num_bytes)


def decode_file(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    scale: float | str = 1,
    start: float | None = None,
    stop: float | None = None,
    region: tuple[int, int, int, int] | None = None,
    extension: str | None = None,
    force: bool = False,
    threads: int = 1,
    limits: Limits = Limits(),
    partial: bool = False,
) -> list[CorruptStream]:
    """Decode a file into another, in the format of its extension or of `extension` (".png").

    Both may be binary file objects. Bytes flow from file to file block by block. With `partial` the damage
    that was met is returned. OptionError if nothing is there from `start` on.

    >>> import narrows, io
    >>> out = io.BytesIO()
    >>> narrows.decode_file(io.BytesIO(narrows.encode(b"hello")), out)
    []
    >>> out.getvalue()
    b'hello'
    """
    _refuse_same(source, target)
    with open(source, limits=limits, partial=partial) as stream:
        want = make_want(stream.header, scale, start, stop, region)
        if stream.header.media == Media.BYTES and want.full:
            with _output(target, force) as file:
                for block in stream.blocks(threads=threads):
                    file.write(block.data)
        else:
            signal = decode_reader(stream.reader, want, threads=threads, limits=limits)
            if start and not replace(stream.header, dims=dims_of(signal)).length:
                raise OptionError(f"nothing is there from {stream.unit} {start:g} on{_end_of(stream)}")
            files.write(signal, target, extension=extension, force=force)
        return stream.reader.damage


def _end_of(stream: Stream) -> str:
    """`: it ends at 13.6`, where the stream says so."""
    rate = stream.header.sample_rate_hz if stream.header.media == Media.AUDIO else 1
    return f": it ends at {stream.header.length / rate:g}" if stream.header.length else ""


@dataclass(frozen=True)
class Verification:
    """What `verify` found: `problems` is empty when all is well.

    `samples_match` is None in a stream without CHECK; `max_difference` is that to `against`, if comparable.

    >>> import narrows
    >>> narrows.verify(narrows.encode(b"hello") + b"!").problems
    ('byte 44: bytes behind END',)
    """

    problems: tuple[str, ...]
    num_chunks: int = 0
    samples_match: bool | None = None
    max_difference: float | None = None

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def verify(
    source: PathLike | Data,
    against: PathLike | BinaryIO | Signal | None = None,
    *,
    threads: int = 1,
    limits: Limits = Limits(),
) -> Verification:
    """Check every checksum, decode all, and compare with CHECK and with the signal or file `against`.

    Damage and difference are returned; what cannot be checked (a newer version, a missing model, a limit) is
    raised.

    >>> import narrows
    >>> narrows.verify(narrows.encode(b"hello"), against=narrows.Blob(b"hello")).ok
    True
    """
    problems: list[str] = []
    samples_match, difference, num_chunks = None, None, 0
    try:
        with open(source, limits=limits) as stream:
            signal = decode_reader(stream.reader, Want(), threads=threads, limits=limits)
            samples_match = True if stream.reader.check else None
            num_chunks = len(stream.chunks)
    except CorruptStream as error:
        problems.append(str(error))
        if error.message == CHECK_DIFFERS:
            samples_match = False
    else:
        if against is not None:
            medium = "bytes" if isinstance(signal, Blob) else None
            given = isinstance(against, (str, os.PathLike)) or hasattr(against, "read")
            original = files.read(cast(Any, against), limits=limits, as_medium=medium) if given else against
            difference = _difference(signal, cast(Signal, original))
            if not equal(signal, cast(Signal, original)):
                problems.append("the decoded signal differs from the original")
    return Verification(tuple(problems), num_chunks, samples_match, difference)


def encoder(
    name: str,
    *,
    sample_rate_hz: int,
    channels: int = 1,
    state: bytes | None = None,
    **options: Any,
) -> Encoder:
    """A live session: blocks of samples to packets. `state` goes on from a saved one.

    >>> import narrows
    >>> narrows.encoder("bytes", sample_rate_hz=16_000)
    Traceback (most recent call last):
    narrows.errors.OptionError: bytes has no sessions: it lacks the trait streaming
    """
    preset = codec(name, **options)
    found = _streaming(preset.codec)
    header = Header(Media.AUDIO, found.name, found.version, (sample_rate_hz, channels, 0))
    return found.encoder(header, preset.options, state=state)


def decoder(header: bytes, *, state: bytes | None = None, limits: Limits = Limits()) -> Decoder:
    """A live session: packets to blocks of samples. `header` is that of the encoder.

    >>> import narrows
    >>> narrows.decoder(narrows.encode(b"")[:22])
    Traceback (most recent call last):
    narrows.errors.OptionError: bytes has no sessions: it lacks the trait streaming
    """
    _, parsed = container.read_preamble(container.Input(header), limits)
    return _streaming(codec_of(parsed)).decoder(parsed, state=state, limits=limits)


def as_signal(value: Any) -> Signal:
    """`value` as a Signal: a bare uint8 or uint16 array is an Image, bytes are a Blob; wrap all others."""
    if isinstance(value, tuple(MEDIA_OF)):
        return cast(Signal, value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Blob(bytes(value))
    if isinstance(value, np.ndarray) and value.dtype in (np.uint8, np.uint16) and value.ndim in (2, 3):
        return Image(value)
    if isinstance(value, (str, os.PathLike)):
        raise SignalError("a text could be a path or content: use encode_file, or encode its bytes")
    if isinstance(value, np.ndarray):
        raise SignalError(
            f"a bare {value.dtype} array {list(value.shape)} could mean several things: wrap it in a Signal"
        )
    raise SignalError(f"a {type(value).__name__} is no signal")


_FILE_MEDIA: Mapping[type, str] = {Image: "image", Audio: "audio", Blob: "bytes"}


def _medium(file: BinaryIO, name: CodecName) -> str | None:
    """What to read a file as: what the codec takes, else bytes if nothing codes its content, else None."""
    if name is not None:
        found = name.codec if isinstance(name, Preset) else registry.codec(registry.parse(name)[0])
        return _FILE_MEDIA.get(found.signal)
    detected = files.detect(file.read(files.HEAD_BYTES))
    file.seek(0)
    coded = any(registry.default_codec(kind) for kind, medium in _FILE_MEDIA.items() if medium == detected)
    return None if coded else "bytes"


def _preset(signal: Signal, name: CodecName, options: Mapping[str, Any]) -> Preset:
    if isinstance(name, Preset):
        if options:
            raise OptionError("a Preset has its options already: none can be added")
        preset = name
    else:
        found = name or registry.default_codec(signal)
        if found is None:
            raise OptionError(f"there is no codec for {type(signal).__name__} yet; bytes takes whole files")
        preset = codec(found, **options)
    if not isinstance(signal, preset.codec.signal):
        wanted = preset.codec.signal.__name__
        raise SignalError(f"{preset.codec.name} codes {wanted}, not {type(signal).__name__}")
    return preset


def _encode(
    file: Any, signal: Signal, preset: Preset, *, threads: int, check: bool, strip: bool, indexed: bool
) -> Header:
    check_threads(threads)
    header, chunks = preset.codec.encode(signal, preset.options, threads=threads)
    digest: bytes | None = None
    if header.lossless and (check or output_bytes(header) > CHECK_FROM_BYTES):
        digest = check_digest(signal)
    elif check:
        if "exact" not in preset.codec.traits:
            raise OptionError(f"{preset.codec.name} does not decode to the same samples everywhere: no check")
        chunks = iter(kept := list(chunks))
        coded = io.BytesIO()
        _write(coded, header, kept, {}, None, False)
        decoded = decode(coded.getvalue(), threads=threads, limits=_UNLIMITED)
        digest = check_digest(decoded)
    meta = {name: value for name, value in signal.meta.items() if not (strip and name != "icc")}
    _write(file, header, chunks, meta, digest, indexed)
    return header


_UNLIMITED = Limits(max_pixels=2**48, max_samples=2**48, max_output_bytes=2**62, max_chunks=2**32)


def _write(
    file: Any,
    header: Header,
    chunks: Iterable[Chunk],
    meta: Mapping[str, Any],
    digest: bytes | None,
    indexed: bool,
) -> None:
    writer = container.Writer(file, header, indexed=indexed)
    for kind, name in ((Kind.ICC, "icc"), (Kind.EXIF, "exif"), (Kind.XMP, "xmp")):
        if meta.get(name):
            writer.metadata(kind, meta[name])
    if meta.get("tags"):
        writer.metadata(Kind.TAGS, container.tags_bytes(meta["tags"]))
    for chunk in chunks:
        writer.write(chunk)
    if digest is not None:
        writer.metadata(Kind.CHECK, b"\1" + digest)
    writer.finish()


def _streaming(found: Codec[Any]) -> StreamingCodec[Any]:
    if "streaming" not in found.traits:
        raise OptionError(f"{found.name} has no sessions: it lacks the trait streaming")
    return cast("StreamingCodec[Any]", found)


def _difference(a: Signal, b: Signal) -> float | None:
    x, y = (getattr(s, {Image: "pixels", Audio: "samples"}.get(type(s), ""), None) for s in (a, b))
    if x is None or y is None or x.shape != y.shape or x.dtype != y.dtype:
        return None
    return float(np.abs(x.astype(np.float64) - y).max(initial=0))


class _Counted:
    """A file to write to that counts bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.num_bytes = 0

    def write(self, data: bytes) -> int | None:
        written = self._file.write(data)
        self.num_bytes += len(data) if written is None else written
        return written

    def flush(self) -> None:
        self._file.flush()


def _output(target: PathLike | BinaryIO, force: bool) -> contextlib.AbstractContextManager[BinaryIO]:
    if isinstance(target, (str, os.PathLike)):
        return files.atomic(target, force=force)
    return contextlib.nullcontext(target)


def _refuse_same(source: object, target: object) -> None:
    paths = [path for path in (source, target) if isinstance(path, (str, os.PathLike))]
    if len(paths) == 2 and os.path.exists(paths[1]) and os.path.samefile(*paths):
        raise OptionError(f"{os.fspath(paths[1])} is both input and output")
