"""The C++ tests built for 64-bit Arm, run under emulation: NEON kernels give the portable kernels' bytes."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_core_passes_its_tests_on_arm():
    for tool in ("aarch64-linux-gnu-g++", "qemu-aarch64", "cmake", "ctest", "ninja"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    build = ROOT / "build" / "aarch64"
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cmake/aarch64.cmake"
    for command in (
        ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", toolchain],
        ["cmake", "--build", build, "-j", "2"],
        ["ctest", "--test-dir", build, "--output-on-failure", "--no-tests=error"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
