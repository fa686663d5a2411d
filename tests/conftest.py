"""One thread a process, two hypothesis profiles, and where pictures and data are."""

import os
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before NumPy and torch read them
for name in ("NARROWS_THREADS", "NARROWS_DEVICE", "NARROWS_DEBUG", "NARROWS_HOME", "NO_COLOR"):
    os.environ.pop(name, None)  # a developer's habits are not part of a test

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("ci", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("night", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of CC0 and public-domain pictures that come with the tests."""
    return Path(__file__).parent / "samples"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder that NARROWS_DATA names; the test is skipped where it names none."""
    folder = os.environ.get("NARROWS_DATA")
    if not folder:
        pytest.skip("NARROWS_DATA names no folder of test data")
    return Path(folder)
