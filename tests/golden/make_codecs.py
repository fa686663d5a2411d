"""Writes the golden files of codecs: `python tests/golden/make_codecs.py [NAME...]`.

For each codec and case a stream, and beside it what it decodes to: a reader of any later version must agree.
A test never writes one; a diff here is a change of the format and is reviewed as one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from conformance.cases import signals_for  # noqa: E402

import narrows  # noqa: E402
from narrows import registry  # noqa: E402
from narrows.contracts import dims_of  # noqa: E402
from narrows.signals import Audio, Blob, Image  # noqa: E402
from narrows.stream import check_digest  # noqa: E402

CASES = {
    Image: ["1x1", "odd", "grey", "hidden-color", "chart", "picture", "16-bit", "10-bit"],
    Audio: ["empty", "one-sample", "silence", "chirp", "stereo-noise", "int16"],
    Blob: ["empty", "one-byte", "random", "text"],
}
OPTIONS = {"": {}, "lossless": {"lossless": True}, "q20": {"quality": 20.0}, "blocks": {"block_bytes": 1024}}


def main(names: list[str]) -> None:
    folder = HERE / "v1" / "codecs"
    folder.mkdir(exist_ok=True)
    for name in names or sorted(registry.CODECS):
        codec = registry.codec(name)
        known = set(codec.options.__dataclass_fields__)
        plain = name.replace("/", "-")
        for old in folder.glob(f"{plain}-{codec.version}-*"):
            old.unlink()
        for case in CASES[codec.signal]:
            for label, options in OPTIONS.items():
                if set(options) <= known:
                    stream = narrows.encode(signals_for(codec.signal)[case], name, **options)
                    decoded = narrows.decode(stream)
                    path = folder / "-".join([plain, str(codec.version), case, *([label] if label else [])])
                    path.with_suffix(".nrws").write_bytes(stream)
                    expected = {"dims": dims_of(decoded), "crc32c": check_digest(decoded).hex()}
                    path.with_suffix(".json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
