"""-C and -Cr: the CPUs that this process may run on."""

import os

from llamabox.cli.options import OptionError, Options


def apply_affinity(options: Options) -> None:
    """Bind the process, and every thread that it starts later, to the CPUs of --cpu-mask and --cpu-range together.

    Errors:  OptionError for a CPU that this process may not use, or a system that cannot bind
    """
    wanted = options.cpu_mask | options.cpu_range
    if not wanted:
        return
    names = " and ".join(options.source(dest) for dest in ("cpu_mask", "cpu_range") if options.given(dest))
    if not hasattr(os, "sched_setaffinity"):
        raise OptionError(f"{names}: this system offers no CPU affinity")
    usable = os.sched_getaffinity(0)
    if not wanted <= usable:
        missing = sorted(wanted - usable)
        raise OptionError(f"{names}: found CPU {missing[0]}, expected CPUs among {', '.join(map(str, sorted(usable)))}")
    os.sched_setaffinity(0, wanted)
