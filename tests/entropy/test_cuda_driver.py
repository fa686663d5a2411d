"""The device's sources under NVRTC and nvcc, and what is said where something is missing; needs no device."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from narrows.entropy import Tables, cuda_driver
from narrows.errors import MissingExtra

torch = pytest.importorskip("torch", reason="torch is not installed")
cuda = pytest.importorskip("narrows.entropy.cuda")


def nvrtc_missing():
    try:
        cuda_driver._nvrtc()
    except MissingExtra as error:
        return str(error)
    return ""


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100", "compute_90"])
def test_nvrtc_compiles_the_kernels(arch):
    if why := nvrtc_missing():
        pytest.skip(why)
    image = cuda_driver.compile_kernels(arch)
    assert image.startswith(b"\x7fELF" if arch.startswith("sm") else b"//")
    for kernel in cuda_driver.KERNELS:
        assert f"narrows_{kernel}".encode() in image


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100"])
def test_nvcc_compiles_the_kernels_without_spilling(arch, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on the path")
    for name, text in cuda_driver.sources().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [nvcc, "-std=c++20", f"-arch={arch}", "-cubin", "-Xptxas", "-v", f"-I{tmp_path}"]
    done = subprocess.run(
        [*command, tmp_path / "rans.cu", "-o", tmp_path / "rans.cubin"], capture_output=True, text=True
    )
    if "is not defined for option" in done.stderr or "Unsupported gpu architecture" in done.stderr:
        pytest.skip(f"this nvcc does not know {arch}")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    report = done.stdout + done.stderr
    for kernel in ("encode", "decode", "decode_split"):
        about = report[report.index(f"properties for narrows_{kernel}\n") :].splitlines()
        assert "0 bytes spill stores, 0 bytes spill loads" in about[1]
        assert int(re.search(r"Used (\d+) registers", about[2]).group(1)) <= 64


def test_the_sources_are_those_of_this_tree():
    core = Path(__file__).parents[2] / "core"
    if not core.is_dir():
        pytest.skip("not run from the source tree")
    for name, text in cuda_driver.sources().items():
        folder = "cuda" if name.endswith(".cu") else "src"
        assert (core / folder / name).read_text() == text, "install again: the build carries older sources"


def test_a_compiled_cubin_is_kept_and_a_broken_one_made_again(tmp_path, monkeypatch):
    if why := nvrtc_missing():
        pytest.skip(why)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []
    monkeypatch.setattr(
        cuda_driver, "compile_kernels", lambda arch: made.append(arch) or b"cubin of " + arch.encode()
    )
    assert cuda_driver.cached_kernels("sm_90") == cuda_driver.cached_kernels("sm_90") == b"cubin of sm_90"
    assert cuda_driver.cached_kernels("sm_80") == b"cubin of sm_80"
    assert made == ["sm_90", "sm_80"]
    files = list((tmp_path / "narrows").iterdir())
    assert len(files) == 2
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    assert cuda_driver.cached_kernels("sm_90") == b"cubin of sm_90"
    assert made == ["sm_90", "sm_80", "sm_90"]
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cuda_driver.cached_kernels("sm_90") == b"cubin of sm_90"


def test_errors_name_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingExtra, match=r"narrows\[cuda\]"):
        cuda_driver.compile_kernels("sm_90")
    monkeypatch.undo()
    monkeypatch.setattr(cuda_driver, "_modules", lambda: (None, Unfound()))
    with pytest.raises(MissingExtra, match=r"libnvrtc.*narrows\[cuda\]"):
        cuda_driver.compile_kernels("sm_90")


class Unfound:
    """cuda.bindings.nvrtc where its library is not found: pathfinder's error is a RuntimeError."""

    def nvrtcVersion(self):
        raise RuntimeError('Failure finding "libnvrtc.so.13": No such file, and more')


def test_tensors_of_the_processor_are_refused_by_name():
    tables = Tables.from_pmf([[1, 1]], [0])
    s, i = torch.zeros(3, dtype=torch.int16), torch.zeros(3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="not on a CUDA device"):
        cuda.encode(s, i, tables)
    with pytest.raises(ValueError, match="not on a CUDA device"):
        cuda.decode(b"", i, tables)
    if not torch.cuda.is_available():
        assert cuda.unavailable() == "torch sees no CUDA device"


def test_without_torch_the_module_says_so():
    code = "import sys; sys.modules['torch'] = None; import narrows.entropy; import narrows.entropy.cuda"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "narrows.entropy.cuda needs the extra cuda: pip install 'narrows[cuda]'" in done.stderr
