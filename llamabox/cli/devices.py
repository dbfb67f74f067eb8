"""`llamabox devices`: the devices that models can run on; and what options say about devices."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llamabox.cli.actions import do_action
from llamabox.cli.offload import MAIN, OF_GPUS, check_fit, gpus
from llamabox.cli.options import ALL_OPTIONS, OptionError, Options, parse_options

if TYPE_CHECKING:
    from llamabox.kernels import Device

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Run `llamabox devices`."""
    table = ALL_OPTIONS.only("action")
    options = parse_options(argv, table=table)
    return do_action(options.action or "list_devices", table, "llamabox devices")


def print_devices() -> None:
    """Print one line a device, as llama.cpp does."""
    from llamabox.kernels.devices import devices

    print("available devices:")
    for device in devices():
        print(f"  {device.name}: {device.description} ({describe(device)})")


def describe(device: "Device") -> str:
    """Cores of a CPU, and memory."""
    from llamabox.kernels.host import usable_cpus

    parts = [f"{len(usable_cpus())} cores"] if device.name == "CPU" else []
    sizes = (device.memory_total, ""), (device.memory_free, " free")
    parts += [f"{size / 2**20:.0f} MiB{word}" for size, word in sizes if size is not None]
    return ", ".join(parts) if parts else "memory unknown"


def check_devices(options: Options) -> None:
    """Refuse a device that is absent and what does not fit those present; warn once about options that need a GPU."""
    from llamabox.kernels.assignment import PlacementError

    for dest in ("device", "device_draft"):
        for name in getattr(options, dest) if options.given(dest) else ():
            if name.lower() not in ("none", "cpu"):
                _check_present(options.source(dest), name)
    try:
        check_fit(options)
    except PlacementError as error:
        raise OptionError(f"{options.source(MAIN[error.field])}: {error.problem}") from None
    unused = [options.source(dest) for dest in OF_GPUS if options.given(dest)]
    if unused and not gpus(options, "device") and not gpus(options, "device_draft"):
        log.warning(
            "no GPU is present: %s without effect", f"{', '.join(unused)} {'is' if len(unused) == 1 else 'are'}"
        )


def _check_present(source: str, name: str) -> None:
    from llamabox.kernels.devices import BackendError, devices, find_device

    try:
        find_device(name)
    except BackendError:
        present = ", ".join(device.name for device in devices())
        raise OptionError(f"{source}: found {name!r}, expected none or a device that is present: {present}") from None
