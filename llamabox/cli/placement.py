"""-t, -C, -Cr, --cpu-strict, --prio, --poll, their -batch forms, --numa -> kernels.Threads and the process's CPUs."""

import logging
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llamabox.cli.options import OptionError, Options

if TYPE_CHECKING:
    from llamabox.kernels import Threads

log = logging.getLogger(__name__)

NODES = Path("/sys/devices/system/node")
NICE = {-1: 5, 0: None, 1: -5, 2: -10, 3: -20}  # --prio -> the system's number
DESTS = ("threads", "cpu_mask", "cpu_range", "cpu_strict", "prio", "poll")
PLACED = (*DESTS, *(f"{dest}_batch" for dest in DESTS), "numa")


def apply_affinity(options: Options) -> None:
    """Bind the process, and every thread that it starts later, to the CPUs that its options name.

    Errors:  OptionError for a CPU that this process may not use, or a system that cannot bind
    """
    usual, batch = _cpus(options, ""), _cpus(options, "_batch")
    wanted = usual | batch if usual else frozenset()
    if options.numa == "isolate" and len(_nodes()) > 1:
        wanted = frozenset(wanted if wanted else _usable()) & _node_of(_current_cpu())
        if not wanted:
            raise OptionError("--numa isolate: the CPUs that other options name are on other nodes")
    if wanted:
        os.sched_setaffinity(0, wanted)


def thread_settings(options: Options) -> tuple["Threads", "Threads"]:
    """The threads of steps with one row, and with several. Call it after apply_affinity.

    Errors:  OptionError as apply_affinity
    """
    usual, batch = _threads(options, ""), _threads(options, "_batch")
    if usual.places or batch.places:  # a thread that goes from one to the other has to be told either way
        usual, batch = (t if t.places else replace(t, places=(frozenset(_usable()),)) for t in (usual, batch))
    if (usual.nice is None) != (batch.nice is None):
        now = os.getpriority(os.PRIO_PROCESS, 0)
        usual, batch = (t if t.nice is not None else replace(t, nice=now) for t in (usual, batch))
    if options.numa == "numactl":
        log.info("--numa numactl: threads run on the CPUs that this process was started with")
    elif options.numa is not None and len(_nodes()) < 2:
        log.info("--numa %s: this machine has one node, so nothing changes", options.numa)
    return usual, batch


def _threads(options: Options, suffix: str) -> "Threads":
    from llamabox.kernels import Threads

    cpus, wanted = _cpus(options, suffix), _value(options, "threads", suffix)
    count = wanted if wanted > 0 else len(cpus) if cpus else None
    if _value(options, "cpu_strict", suffix):
        places = [frozenset([cpu]) for cpu in sorted(cpus if cpus else _usable())]
    elif options.numa == "distribute" and len(_nodes()) > 1:
        places = [node & cpus if cpus else node for node in _nodes() if not cpus or node & cpus]
    else:
        places = [cpus] if cpus else []
    return Threads(count, tuple(places), _nice(options, suffix), _value(options, "poll", suffix))


def _value(options: Options, dest: str, suffix: str) -> int:
    """An option's value; a -batch option that was not given has that of the one without."""
    value = getattr(options, dest + suffix)
    return getattr(options, dest) if value is None else value


def _cpus(options: Options, suffix: str) -> frozenset[int]:
    """What --cpu-mask and --cpu-range name together, or their -batch forms, which are the former when not given."""
    dests = [f"cpu_mask{suffix}", f"cpu_range{suffix}"]
    given = [dest for dest in dests if options.given(dest)]
    if suffix and not given:
        return _cpus(options, "")
    wanted = frozenset().union(*(getattr(options, dest) for dest in given))
    if not wanted:
        return wanted
    names = " and ".join(options.source(dest) for dest in given)
    if not hasattr(os, "sched_setaffinity"):
        raise OptionError(f"{names}: this system offers no CPU affinity")
    usable = _usable()
    if not wanted <= usable:
        missing = sorted(wanted - usable)
        raise OptionError(f"{names}: found CPU {missing[0]}, expected CPUs among {', '.join(map(str, sorted(usable)))}")
    return wanted


def _usable() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _nice(options: Options, suffix: str) -> int | None:
    """The priority that --prio asks for; None for the process's own, also when the system refuses another."""
    nice = NICE[_value(options, "prio", suffix)]
    if nice is None or _may_have(nice):
        return nice
    name = options.source(f"prio{suffix}" if options.given(f"prio{suffix}") else "prio")
    log.warning(
        "%s: the system refuses a higher priority (it needs CAP_SYS_NICE, or a larger RLIMIT_NICE); "
        "threads keep the one they have",
        name,
    )
    return None


def _may_have(nice: int) -> bool:
    """Whether a thread of this process may have this priority; a thread that ends at once tries it."""
    allowed = []

    def attempt() -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
            allowed.append(True)
        except (OSError, AttributeError):
            pass

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return bool(allowed)


def _nodes() -> list[frozenset[int]]:
    """The CPUs of each NUMA node that this process may use; empty where the system does not say."""
    usable = _usable()
    lists = [path.read_text().strip() for path in sorted(NODES.glob("node[0-9]*/cpulist"))]
    nodes = [frozenset(_cpu_list(text)) & usable for text in lists]
    return [node for node in nodes if node]


def _cpu_list(text: str) -> list[int]:
    """0-3,8 -> [0, 1, 2, 3, 8]"""
    ends = [part.split("-") for part in text.split(",") if part]
    return [cpu for end in ends for cpu in range(int(end[0]), int(end[-1]) + 1)]


def _node_of(cpu: int) -> frozenset[int]:
    return next(node for node in _nodes() if cpu in node)


def _current_cpu() -> int:
    """Where the calling thread runs: field 39 of its stat file."""
    stat = Path("/proc/thread-self/stat").read_text()
    return int(stat.rpartition(")")[2].split()[36])
