"""The device's sources under NVRTC and nvcc, and what is said where something is missing; needs no device."""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "arch", ["sm_90", pytest.param("sm_80", marks=SLOW), pytest.param("sm_100", marks=SLOW)]
)
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


class Compiler:
    """Stands for cuda.bindings.nvrtc: writes what it says into the memory it is given, as that does."""

    def __init__(self, said, result=0):
        self.said, self.result, self.alive = said, result, 0

    def nvrtcVersion(self):
        return 0, 13, 0

    def nvrtcCreateProgram(self, *arguments):
        self.alive += 1
        return 0, "program"

    def nvrtcCompileProgram(self, program, count, options):
        return (self.result,)

    def size(self, program):
        return 0, len(self.said)

    def get(self, program, memory):
        memoryview(memory)[:] = self.said
        return (0,)

    nvrtcGetProgramLogSize = nvrtcGetCUBINSize = nvrtcGetPTXSize = size
    nvrtcGetProgramLog = nvrtcGetCUBIN = nvrtcGetPTX = get

    def nvrtcDestroyProgram(self, program):
        self.alive -= 1
        return (0,)


@pytest.mark.parametrize("said", [b"", b"!", b"broken\n\0"])
def test_the_compiler_writes_into_memory_of_its_own(said, monkeypatch):
    """A constant such as b" " must not become what a log of one byte says."""
    compiler = Compiler(said)
    monkeypatch.setattr(cuda_driver, "_modules", lambda: (None, compiler))
    assert cuda_driver.compile_kernels("sm_90") == said
    assert cuda_driver.compile_kernels("compute_90") == said
    compiler.result = 6
    text = said.decode().strip("\n\0")
    with pytest.raises(RuntimeError, match=f"does not compile for sm_90: {text}$"):
        cuda_driver.compile_kernels("sm_90")
    assert compiler.alive == 0


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cuda_driver, "_modules", lambda: (None, Compiler(b"cubin")))
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, lambda *arguments: full(arguments))
            assert cuda_driver.cached_kernels("sm_90") == b"cubin"
        assert list((tmp_path / "narrows").iterdir()) == []
    assert cuda_driver.cached_kernels("sm_90") == b"cubin"
    assert len(list((tmp_path / "narrows").iterdir())) == 1


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


class Driver:
    """Stands for cuda.bindings.driver: every call succeeds, launches are noted with what they point to."""

    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT="sms",
        CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN="shared",
    )
    CUfunction_attribute = SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="dynamic")

    def __init__(self):
        self.launches = []
        self.allowed = {}

    def CUstream(self, handle):
        return ("stream", handle)

    def cuModuleLoadData(self, image):
        return 0, image

    def cuModuleGetFunction(self, module, name):
        return 0, name

    def cuDeviceGet(self, index):
        return 0, index

    def cuDeviceGetAttribute(self, attribute, device):
        return 0, {"sms": 10, "shared": 227 << 10}[attribute]

    def cuFuncSetAttribute(self, function, attribute, value):
        self.allowed[function] = value
        return (0,)

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared_bytes, stream, parameters, extra):
        structure = ctypes.cast(parameters, ctypes.POINTER(ctypes.c_void_p))[0]
        fields = list(ctypes.cast(structure, ctypes.POINTER(ctypes.c_uint64))[:3])
        self.launches.append((function, (gx, gy, gz), (bx, by, bz), shared_bytes, stream, fields, extra))
        return (0,) if function != b"narrows_plan" else (719,)


def test_launches_go_to_the_driver_as_one_structure_on_the_current_stream(monkeypatch):
    driver = Driver()
    nvrtc = SimpleNamespace(nvrtcVersion=lambda: (0, 13, 0), nvrtcGetSupportedArchs=lambda: (0, [80, 90]))
    monkeypatch.setattr(cuda_driver, "_modules", lambda: (driver, nvrtc))
    compiled = []
    monkeypatch.setattr(cuda_driver, "cached_kernels", lambda arch: compiled.append(arch) or b"image")
    stream = SimpleNamespace(cuda_stream=1234, synchronize=lambda: None)
    device = SimpleNamespace(index=0)
    fake = SimpleNamespace(
        cuda=SimpleNamespace(
            get_device_properties=lambda device: SimpleNamespace(major=9, minor=0),
            device=lambda device: contextlib.nullcontext(),
            current_stream=lambda device=None: stream,
        )
    )
    launcher = cuda_driver.Launcher(fake, device)
    assert compiled == ["sm_90"]
    assert driver.allowed == dict.fromkeys((b"narrows_decode", b"narrows_decode_split"), 227 << 10)
    assert launcher.bucket_bytes == 1 << 17
    launcher.launch("decode", [2**64 - 1, 7, 9], 5, 1 << 17)
    launcher.launch("decode", [1, 2, 3], 4000, 1 << 17)
    launcher.launch("encode", [1, 2, 3], 0)
    at = ("stream", 1234)
    assert driver.launches == [
        (b"narrows_decode", (5, 1, 1), (32, 1, 1), 0, at, [2**64 - 1, 7, 9], 0),
        (b"narrows_decode", (10, 1, 1), (512, 1, 1), 1 << 17, at, [1, 2, 3], 0),
    ]
    with pytest.raises(RuntimeError, match="719"):
        launcher.launch("plan", [1, 2, 3], 1)
