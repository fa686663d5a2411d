"""Every exception that Narrows raises by itself.

Messages are one sentence: what is wrong, where, what to do. OSError, KeyboardInterrupt and MemoryError pass
through unchanged. The compiled core returns a status; its binding raises these classes.
"""

from __future__ import annotations


class NarrowsError(Exception):
    """Root of the tree: `except narrows.NarrowsError` catches all that Narrows raises on purpose.

    >>> import narrows
    >>> try:
    ...     narrows.decode(b"not a stream")
    ... except narrows.NarrowsError as error:
    ...     print(error)
    byte 0: not a Narrows stream: the first bytes are not 89 4e 52 57
    """

    hint: str | None = None


class StreamError(NarrowsError):
    """Anything about coded data: damage, an unknown version, a refused packet."""


class CorruptStream(StreamError, ValueError):
    """Coded data that is damaged or lies. `offset` is the byte where it shows, `chunk` the chunk's number."""

    def __init__(self, message: str = "", offset: int | None = None, chunk: int | None = None) -> None:
        super().__init__(message, offset, chunk)
        self.message = message
        self.offset = offset
        self.chunk = chunk

    def __str__(self) -> str:
        place = [] if self.chunk is None else [f"chunk {self.chunk}"]
        if self.offset is not None:
            place.append(f"at byte {self.offset:,}" if place else f"byte {self.offset:,}")
        return f"{' '.join(place)}: {self.message}" if place else self.message


class TruncatedStream(CorruptStream):
    """Coded data that ends early. `decodable` says how much `partial=True` would give, where known."""

    decodable: str | None = None


class UnsupportedStream(StreamError):
    """Sound data of a newer version, of an unknown codec, or with an unknown critical chunk."""

    def __init__(self, message: str = "", offset: int | None = None) -> None:
        super().__init__(message, offset)
        self.message = message
        self.offset = offset

    def __str__(self) -> str:
        return self.message if self.offset is None else f"byte {self.offset:,}: {self.message}"


class PacketError(StreamError):
    """A packet that a session refuses; the session is as it was before."""


class LimitExceeded(NarrowsError):
    """A declared size above what the caller allows. `limit` is the field of `Limits` that says no."""

    def __init__(self, limit: str = "", value: int | None = None, allowed: int | None = None) -> None:
        super().__init__(limit, value, allowed)
        self.limit = limit
        self.value = value
        self.allowed = allowed
        if allowed is not None:
            option = limit.replace("_", "-")
            self.hint = f"raise it with --{option} {value} or limits=Limits({limit}={value})"

    def __str__(self) -> str:
        if self.allowed is None:
            return self.limit
        return f"{self.limit} is {self.allowed:,}, this needs {self.value:,}"


class ModelNotFound(NarrowsError, LookupError):
    """A stream whose weights are not installed. `hash` is the 16 hex digits that the header asks for."""

    def __init__(self, codec: str = "", hash: str = "") -> None:
        super().__init__(codec, hash)
        self.codec = codec
        self.hash = hash
        self.hint = "narrows models add FILE"

    def __str__(self) -> str:
        return f"needs model {self.hash} (codec {self.codec}); not installed"


class ModelError(NarrowsError, ValueError):
    """A weights file that is no safetensors file, is cut, or has another shape or hash. `path` names it."""

    def __init__(self, message: str = "", path: str = "") -> None:
        super().__init__(message, path)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SignalError(NarrowsError, ValueError):
    """An input that cannot be a signal: its dtype, rank, range, or a NaN in it."""


class OptionError(NarrowsError, ValueError):
    """An option that is unknown, out of range, or contradicts another; the message names the known ones."""


class MissingExtra(NarrowsError, ImportError):
    """Something that needs an optional dependency: `pip install 'narrows[extra]'`."""

    def __init__(self, what: str = "", extra: str = "") -> None:
        super().__init__(what, extra)
        self.extra = extra
        self.hint = f"pip install 'narrows[{extra}]'"
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} needs the extra {self.extra}: {self.hint}"
