"""Writes every golden file: what `make golden` runs. Review the diff: it is a change of the format."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from golden import make_codecs, make_container, make_entropy, make_models

make_container.main()
make_codecs.main([])
make_entropy.main()
make_models.main()
