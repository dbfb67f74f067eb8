"""`llamabox devices`, --list-devices, and -dev, where GPUs are present."""

import pytest

from llamabox.cli.devices import check_devices
from llamabox.cli.main import main
from llamabox.cli.options import OptionError, parse_options
from llamabox.kernels import Device

MIB = 1 << 20


@pytest.fixture(autouse=True)
def present(monkeypatch):
    """Two GPUs."""
    gpus = [
        Device("CUDA0", "cupy", "NVIDIA A", 8192 * MIB, 8000 * MIB, "0"),
        Device("MPS", "torch", "Apple GPU", None, None, "mps", ("MTL0",)),
    ]
    monkeypatch.setattr("llamabox.kernels.devices._cupy_devices", lambda: gpus[:1])
    monkeypatch.setattr("llamabox.kernels.devices._torch_devices", lambda: gpus[1:])


def test_devices_are_listed_as_llama_cpp_lists_them(capsys):
    assert main(["--list-devices"]) == 0
    head, cpu, *gpus = capsys.readouterr().out.splitlines()
    assert head == "available devices:" and cpu.startswith("  CPU: ") and cpu.endswith("MiB free)")
    assert gpus == ["  CUDA0: NVIDIA A (8192 MiB, 8000 MiB free)", "  MPS: Apple GPU (memory unknown)"]


def test_a_device_that_is_present_may_be_named():
    check_devices(parse_options(["-dev", "CUDA0,mtl0", "-devd", "cpu"]))
    with pytest.raises(OptionError) as error:
        check_devices(parse_options(["-dev", "CUDA0,CUDA1"]))
    assert str(error.value) == "-dev: found 'CUDA1', expected none or a device that is present: CPU, CUDA0, MPS"
