"""`llamabox devices`, --list-devices, and -dev, where GPUs are present."""

import pytest

from llamabox.cli.devices import check_devices
from llamabox.cli.main import main
from llamabox.cli.model import load_arguments
from llamabox.cli.options import OptionError, parse_options
from llamabox.kernels import Device, Ops
from llamabox.kernels.placing import place

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
    monkeypatch.setattr("llamabox.kernels.devices._module", lambda name: name)
    monkeypatch.setattr("llamabox.kernels.placing.may_have_gpu", lambda: True)


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


@pytest.mark.parametrize(
    "argv, opened",
    [
        ([], [("cpu", "CPU"), ("cupy", "CUDA0"), ("torch", "MPS")]),
        (["-dev", "none"], [("cpu", None)]),
        (["-dev", "cpu"], [("cpu", None)]),
        (["-dev", "CUDA0"], [("cupy", "CUDA0")]),
        (["-dev", "mtl0"], [("torch", "MPS")]),
        (["-dev", "mtl0,CUDA0", "-sm", "none", "-mg", "1"], [("cupy", "CUDA0")]),
        (["-ngl", "0"], [("cpu", "CPU")]),
        (["--backend", "cpu"], [("cpu", None)]),
        (["--backend", "numpy", "-dev", "none"], [("numpy", None)]),
        (["--backend", "numpy", "-dev", "CUDA0", "-ngl", "2"], [("numpy", "CPU"), ("cupy", "CUDA0")]),
        (["--backend", "torch"], [("torch", "MPS")]),
        (["--backend", "torch", "-dev", "none"], [("torch", "CPU")]),
        (["--backend", "torch", "-ngl", "2"], [("torch", "CPU"), ("torch", "MPS")]),
    ],
    ids=lambda value: " ".join(value) if value and isinstance(value[0], str) else "",
)
def test_devices_choose_backends(monkeypatch, argv, opened):
    calls = []

    def open_backend(name, threads, batch, device):
        calls.append((name, device))
        return Ops()

    monkeypatch.setattr("llamabox.kernels.placing.open_backend", open_backend)
    arguments = load_arguments(parse_options(argv))
    if "placement" in arguments:
        place(arguments["placement"], 3, arguments["backend"])
    assert (calls if "placement" in arguments else [(arguments["backend"], None)]) == opened


def test_a_device_of_another_backend_is_an_error(capsys):
    assert main(["complete", "--backend", "torch", "-dev", "CUDA0", "x"]) == 2
    expected = "error: device of backend torch: found 'CUDA0', expected one that is present: CPU, MPS\n"
    assert capsys.readouterr().err == expected


def test_a_backend_of_gpus_does_not_run_on_the_cpu(monkeypatch, capsys):
    monkeypatch.setattr("llamabox.kernels.backends.find_spec", lambda name: name)
    assert main(["complete", "--backend", "cupy", "-dev", "none", "x"]) == 2
    expected = "error: device of backend cupy: found 'CPU', expected one that is present: CUDA0\n"
    assert capsys.readouterr().err == expected
    monkeypatch.setattr("llamabox.kernels.backends.find_spec", lambda name: None)
    monkeypatch.setattr("llamabox.kernels.devices._cupy_devices", lambda: [])
    assert main(["complete", "--backend", "cupy", "x"]) == 2
    assert capsys.readouterr().err.startswith("error: backend cupy: the package cupy is not installed")


def test_a_package_that_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setattr("llamabox.kernels.backends.find_spec", lambda name: None)
    assert main(["complete", "--backend", "torch", "x"]) == 2
    expected = "error: backend torch: the package torch is not installed, expected it: pip install 'llamabox[torch]'\n"
    assert capsys.readouterr().err == expected


def test_complete_with_torch(capsys):
    """The shipped model's greedy text is that of the reference."""
    texts = []
    for backend in ("numpy", "torch"):
        flags = ["--backend", backend, "-t", "1", "-dev", "none", "--temp", "0", "-n", "24"]
        assert main(["complete", *flags, "Once upon a time"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and len(texts[0]) > 20
