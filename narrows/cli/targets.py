"""Which file an input becomes, and what must not be written to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from narrows.errors import OptionError

SUFFIX = ".nrws"
# Extensions that are replaced when a picture or sound is restored as .png or .wav; others are kept.
_PICTURES = (
    "apng avif bmp gif heic heif ico j2k jp2 jpe jpeg jpg jxl pbm pgm png pnm ppm qoi tga tif tiff webp"
)
_SOUNDS = "aac aif aiff flac m4a mp3 ogg opus wav"
_MEDIA_SUFFIXES = frozenset("." + extension for extension in f"{_PICTURES} {_SOUNDS}".split())


class Targets:
    """Output names for the inputs of one command: one `-o`, a folder, or beside each input."""

    def __init__(self, inputs: list[str], output: str | None, output_dir: str | None, force: bool) -> None:
        if output is not None and output_dir is not None:
            raise OptionError("-o and --output-dir say two things: give one")
        if output is not None and len(inputs) > 1:
            error = OptionError(f"-o names one output, but there are {len(inputs)} inputs")
            error.hint = "--output-dir DIR takes them all"
            raise error
        if output_dir is not None and not os.path.isdir(output_dir):
            error = OptionError(f"--output-dir {output_dir} is not a folder")
            error.hint = "mkdir makes one"
            raise error
        self._output = output
        self._output_dir = output_dir
        self._force = force
        self._given: set[Path] = set()

    def to_stdout(self, source: str) -> bool:
        """Tell whether the output of `source` goes to stdout; refuse a terminal unless `-o -` was given.

        Call it before any work is done.
        """
        if self._output == "-":
            return True
        if self._output is not None or source != "-":
            return False
        if self._output_dir is not None:
            raise OptionError("stdin has no name to use in a folder: -o FILE gives one")
        if sys.stdout.isatty():
            error = OptionError("stdout is a terminal, and the output is binary")
            error.hint = "-o FILE, or -o - to send it there nevertheless"
            raise error
        return True

    def path(self, source: str, name: str) -> Path:
        """Return the path for `source`, whose output would be called `name`, having refused a clash."""
        if os.path.isdir(source):
            raise IsADirectoryError(21, "Is a directory", source)
        if self._output is not None:
            path = Path(self._output)
        elif self._output_dir is not None:
            path = Path(self._output_dir) / name
        else:
            path = Path(source).with_name(name)
        if source != "-" and path.exists() and os.path.samefile(source, path):
            raise OptionError("input and output are the same file")
        place = path.resolve()
        if place in self._given:
            raise OptionError(f"another input has already become {path}")
        if path.is_file() and not self._force:
            raise FileExistsError(17, "File exists", os.fspath(path))
        self._given.add(place)
        return path

    @staticmethod
    def size(place: object) -> int:
        """Return the size of an output; 0 for what is no regular file."""
        return os.path.getsize(place) if isinstance(place, Path) and place.is_file() else 0


def encoded_name(source: str) -> str:
    """Return the name of the stream made of `source`: `photo.jpg.nrws`."""
    return Path(source).name + SUFFIX


def decoded_name(source: str, plain_extension: str) -> str:
    """Return the name of what `source` is restored to: the old name, or that with the plain extension.

    >>> from narrows.cli.targets import decoded_name
    >>> decoded_name("in/photo.jpg.nrws", ".png"), decoded_name("notes.txt.nrws", "")
    ('photo.png', 'notes.txt')
    """
    path = Path(source)
    if path.suffix != SUFFIX or path.stem == "":
        error = OptionError(f"the name does not end in {SUFFIX}, so it does not tell the output's")
        error.hint = "-o NAME does"
        raise error
    name = path.stem
    if plain_extension and Path(name).suffix.lower() in _MEDIA_SUFFIXES:
        name = Path(name).stem
    return name + plain_extension
