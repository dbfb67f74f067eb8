"""Devices: what stand-ins for cupy and torch say is listed with llama.cpp's names; what is absent is refused."""

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from llamabox.kernels import BackendError, device_backend, find_device, open_backend
from llamabox.kernels.devices import devices
from llamabox.kernels.host import cpu_name, memory_bytes

MODULE = "llamabox.kernels.devices"
GIB = 1 << 30


class CUDARuntimeError(RuntimeError):
    """cupy's name for it."""


class StandInDevice:
    """cupy.cuda.Device: the current device of a with block."""

    current = 0

    def __init__(self, i):
        self.i = i

    def __enter__(self):
        StandInDevice.current = self.i

    def __exit__(self, *_):
        StandInDevice.current = 0


def stand_in_cupy(names, is_hip=False):
    def count():
        if not names:
            raise CUDARuntimeError("cudaErrorNoDevice")
        return len(names)

    runtime = SimpleNamespace(
        is_hip=is_hip,
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=count,
        memGetInfo=lambda: ((1 + StandInDevice.current) * GIB, 8 * GIB),
        getDeviceProperties=lambda i: {"name": names[i].encode()},
    )
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=StandInDevice))


def part(names, tells=True):
    """torch.cuda and its like."""

    def info(i):
        if not tells:
            raise RuntimeError("this driver cannot tell")
        return (2 + i) * GIB, 16 * GIB

    return SimpleNamespace(
        is_available=lambda: bool(names),
        device_count=lambda: len(names),
        get_device_name=names.__getitem__,
        get_device_properties=lambda i: SimpleNamespace(total_memory=16 * GIB),
        mem_get_info=info,
    )


def stand_in_torch(hip=None, mps=False, **parts):
    return SimpleNamespace(
        version=SimpleNamespace(hip=hip),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        mps=SimpleNamespace(recommended_max_memory=lambda: 12 * GIB, driver_allocated_memory=lambda: 3 * GIB),
        **{"cuda": part([]), **parts},
    )


@pytest.fixture
def install(monkeypatch):
    """(cupy=..., torch=..., torch_npu=...): these packages are installed, and no others."""

    def set(**packages):
        monkeypatch.setattr(f"{MODULE}._module", packages.get)

    set()
    return set


def listed(backend=None):
    return [(d.name, d.backend, d.address) for d in devices(backend)]


def test_without_gpus_there_is_the_cpu(install):
    (cpu,) = devices()
    assert (cpu.name, cpu.backend, cpu.description) == ("CPU", "cpu", cpu_name())
    assert cpu.memory_total == memory_bytes()[0] and 0 < cpu.memory_free <= cpu.memory_total
    assert devices("numpy")[0].backend == "numpy"
    assert devices("cupy") == [] and devices("torch") == []


def test_cupy_s_gpus(install):
    install(cupy=stand_in_cupy(["Tesla P4", "Tesla T4"]))
    assert listed() == [("CPU", "cpu", "cpu"), ("CUDA0", "cupy", "0"), ("CUDA1", "cupy", "1")]
    second = find_device("cuda1")
    assert (second.description, second.memory_total, second.memory_free) == ("Tesla T4", 8 * GIB, 2 * GIB)
    install(cupy=stand_in_cupy(["gfx906"], is_hip=True))
    assert listed("cupy") == [("ROCm0", "cupy", "0")]


def test_cupy_comes_before_torch_where_both_see_a_gpu(install):
    install(cupy=stand_in_cupy(["A"]), torch=stand_in_torch(cuda=part(["A"]), xpu=part(["Arc"])))
    assert listed() == [("CPU", "cpu", "cpu"), ("CUDA0", "cupy", "0"), ("XPU0", "torch", "xpu:0")]
    assert listed("torch") == [("CPU", "torch", "cpu"), ("CUDA0", "torch", "cuda:0"), ("XPU0", "torch", "xpu:0")]
    assert find_device("CUDA0").backend == "cupy" and find_device("CUDA0", "torch").address == "cuda:0"
    install(cupy=stand_in_cupy([]), torch=stand_in_torch(cuda=part(["A"])))
    assert listed() == [("CPU", "cpu", "cpu"), ("CUDA0", "torch", "cuda:0")]


def test_torch_s_kinds(install):
    install(torch=stand_in_torch(cuda=part(["gfx942"]), hip="6.2"))
    assert listed()[1:] == [("ROCm0", "torch", "cuda:0")]
    install(torch=stand_in_torch(mps=True))
    assert listed()[1:] == [("MPS", "torch", "mps")]
    mps = find_device("MTL0")
    assert (mps.name, mps.memory_total, mps.memory_free) == ("MPS", 12 * GIB, 9 * GIB)
    parts = {"xpu": part(["Arc", "Arc"], tells=False), "npu": part(["910B"]), "musa": part(["S80"])}
    install(torch=stand_in_torch(**parts))
    assert listed()[1:] == [("XPU0", "torch", "xpu:0"), ("XPU1", "torch", "xpu:1")]  # others need their packages
    assert (find_device("sycl1").name, find_device("XPU1").memory_free) == ("XPU1", None)
    assert find_device("XPU1").memory_total == 16 * GIB
    install(torch=stand_in_torch(**parts), torch_npu=object(), torch_musa=object())
    assert listed()[3:] == [("NPU0", "torch", "npu:0"), ("MUSA0", "torch", "musa:0")]
    assert find_device("CANN0").name == "NPU0"


def test_the_first_gpu_is_what_no_name_means(install):
    install(torch=stand_in_torch(cuda=part(["A", "B"])))
    assert find_device(None, "torch").name == "CUDA0" and find_device(None).name == "CUDA0"
    install(torch=stand_in_torch())
    assert find_device(None, "torch").name == "CPU"


def test_an_absent_device_is_refused_with_the_names_of_those_present(install):
    install(torch=stand_in_torch(cuda=part(["A", "B"])))
    with pytest.raises(BackendError, match="^device: found 'CUDA2', expected one that is present: CPU, CUDA0, CUDA1$"):
        find_device("CUDA2")
    with pytest.raises(BackendError, match="^device of backend cpu: found 'CUDA0', expected one that is present: CPU$"):
        open_backend("cpu", device="CUDA0")
    with pytest.raises(BackendError, match="^device of backend cupy: found None, expected .*: there is none$"):
        find_device(None, "cupy")


def test_a_device_opens_its_backend(install):
    assert device_backend("CPU", 1).name == "cpu"
    assert open_backend("numpy", device="cpu").name == "numpy"
    with pytest.raises(BackendError, match="found 'CUDA0'"):
        device_backend("CUDA0")


def test_a_package_that_does_not_load_is_passed_over_with_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "cupy.py").write_text("raise ImportError('libcudart.so.12: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with caplog.at_level(logging.WARNING):
        assert devices("cupy") == []
    assert caplog.messages == ["cupy is installed but does not load: libcudart.so.12: cannot open"]


def test_nothing_is_imported_for_a_cpu():
    program = (
        "import sys; from llamabox.kernels import open_backend, find_device; open_backend('numpy');"
        "find_device('CPU'); open_backend('numpy', device='CPU'); print({'torch', 'cupy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
