"""`llamabox devices`: the devices that models can run on; and what options say about devices."""

import logging
from collections.abc import Sequence

from llamabox.cli.actions import do_action
from llamabox.cli.options import ALL_OPTIONS, OptionError, Options, parse_options
from llamabox.cli.system import cpu_name, memory_bytes, usable_cpus

log = logging.getLogger(__name__)

GPU_ONLY = (
    "gpu_layers main_gpu split_mode tensor_split kv_offload gpu_layers_draft override_tensor cpu_moe n_cpu_moe "
    "n_cpu_ffn op_offload no_host"
).split()
PRESENT = ("CPU",)


def main(argv: Sequence[str]) -> int:
    """Run `llamabox devices`."""
    table = ALL_OPTIONS.only("action")
    options = parse_options(argv, table=table)
    return do_action(options.action or "list_devices", table, "llamabox devices")


def print_devices() -> None:
    """Print one line a device."""
    print("available devices:")
    print(f"  CPU: {cpu_name()} ({describe_cpu()})")


def describe_cpu() -> str:
    """Cores and memory of the CPU device."""
    cores = f"{len(usable_cpus())} cores"
    memory = memory_bytes()
    if memory is None:
        return cores
    total, free = (size / 2**20 for size in memory)
    return f"{cores}, {total:.0f} MiB, {free:.0f} MiB free"


def check_devices(options: Options) -> None:
    """Refuse a device that is absent; warn once about options that only a GPU would use."""
    for dest in ("device", "device_draft"):
        for name in getattr(options, dest) if options.given(dest) else ():
            if name.lower() not in ("none", "cpu"):
                raise OptionError(
                    f"{options.source(dest)}: found {name!r}, expected none or a device that is present: "
                    f"{', '.join(PRESENT)}"
                )
    unused = [options.source(dest) for dest in GPU_ONLY if options.given(dest)]
    if unused:
        log.warning(
            "no GPU is present: %s without effect", f"{', '.join(unused)} {'is' if len(unused) == 1 else 'are'}"
        )
