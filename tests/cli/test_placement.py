"""Flags about threads -> kernels.Threads, and what they do to a process: CPUs, priorities, numbers of threads."""

import json
import os
import subprocess
import sys

import pytest

from llamabox.cli import placement
from llamabox.cli.options import OptionError, parse_options
from llamabox.cli.placement import apply_affinity, thread_settings
from llamabox.kernels import Threads


def options(*argv, **env):
    return parse_options(argv, env)


@pytest.fixture
def four(monkeypatch):
    """A machine with CPUs 0-3 on one node -> the sets of CPUs that the process was bound to."""
    bound = []
    monkeypatch.setattr(placement.os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(placement.os, "sched_setaffinity", lambda pid, cpus: bound.append(set(cpus)))
    monkeypatch.setattr(placement, "_may_have", lambda nice: True)
    return bound


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    """Two nodes: CPUs 0, 2 and 1, 3; the process runs on CPU 3."""
    for i, cpus in enumerate(("0,2", "1,3-3")):
        (tmp_path / f"node{i}").mkdir()
        (tmp_path / f"node{i}" / "cpulist").write_text(f"{cpus}\n")
    monkeypatch.setattr(placement, "NODES", tmp_path)
    monkeypatch.setattr(placement, "_current_cpu", lambda: 3)


def settings(*argv):
    return thread_settings(options(*argv))


def sets(*cpus):
    return tuple(frozenset(c) for c in cpus)


def test_affinity_binds_to_the_mask_and_the_range_together(four):
    apply_affinity(options())
    apply_affinity(options("-C", "1", "-Cr", "2-3"))
    apply_affinity(options("-Cr", "1-1"))
    apply_affinity(options("-Cb", "1"))
    apply_affinity(options("-C", "1", "-Crb", "2-3"))
    assert four == [{0, 2, 3}, {1}, {0, 2, 3}]
    for words in (["-C", "0x11"], ["-Crb", "3-4"]):
        with pytest.raises(OptionError, match=f"^{words[0]}: found CPU 4, expected CPUs among 0, 1, 2, 3$"):
            apply_affinity(options(*words))


def test_affinity_that_the_system_lacks_is_an_error(monkeypatch):
    monkeypatch.delattr(placement.os, "sched_setaffinity")
    with pytest.raises(OptionError, match="^-Cr: this system offers no CPU affinity$"):
        apply_affinity(options("-Cr", "0-1"))


def test_batches_have_what_generation_has_unless_they_are_given_their_own(four):
    assert settings("-t", "3") == (Threads(3), Threads(3))
    assert settings("-t", "3", "-tb", "9") == (Threads(3), Threads(9))
    assert settings("-tb", "1") == (Threads(), Threads(1))
    assert settings("--poll", "0") == (Threads(poll=0), Threads(poll=0))
    assert settings("--poll", "0", "--poll-batch", "100") == (Threads(poll=0), Threads(poll=100))
    assert settings("--prio", "2") == (Threads(nice=-10), Threads(nice=-10))
    now = os.getpriority(os.PRIO_PROCESS, 0)
    assert settings("--prio-batch", "-1") == (Threads(nice=now), Threads(nice=5))
    assert [settings("--prio", str(n))[0].nice for n in (-1, 0, 1, 2, 3)] == [5, None, -5, -10, -20]


def test_a_mask_is_for_all_threads_together_and_strict_gives_each_a_cpu(four):
    one = Threads(2, sets({1, 2}))
    assert settings("-Cr", "1-2") == (one, one)
    assert settings("-t", "5", "-Cr", "1-2")[0] == Threads(5, sets({1, 2}))
    assert settings("-Cr", "1-2", "--cpu-strict", "1")[0] == Threads(2, sets({1}, {2}))
    assert settings("--cpu-strict", "1")[0] == Threads(None, sets({0}, {1}, {2}, {3}))
    assert settings("-Crb", "1-2") == (Threads(None, sets({0, 1, 2, 3})), one)
    own = settings("-C", "1", "-Cb", "6", "--cpu-strict-batch", "1")
    assert own == (Threads(1, sets({0})), Threads(2, sets({1}, {2})))


def test_numa(four, nodes, caplog):
    assert settings("--numa", "distribute")[0] == Threads(None, sets({0, 2}, {1, 3}))
    assert settings("--numa", "distribute", "-C", "3")[0] == Threads(2, sets({0}, {1}))
    assert settings("--numa", "distribute", "-C", "5")[0] == Threads(2, sets({0, 2}))
    apply_affinity(options("--numa", "isolate"))
    apply_affinity(options("--numa", "isolate", "-C", "6"))
    apply_affinity(options("--numa", "distribute"))
    assert four == [{1, 3}, {1}]
    with pytest.raises(OptionError, match="on other nodes"):
        apply_affinity(options("--numa", "isolate", "-C", "5"))
    caplog.set_level("INFO")
    assert settings("--numa", "numactl")[0] == Threads()
    assert caplog.messages == ["--numa numactl: threads run on the CPUs that this process was started with"]


@pytest.mark.parametrize("kind", ["distribute", "isolate"])
def test_a_machine_with_one_node_is_told_so(four, tmp_path, monkeypatch, caplog, kind):
    monkeypatch.setattr(placement, "NODES", tmp_path)
    caplog.set_level("INFO")
    apply_affinity(options("--numa", kind))
    assert settings("--numa", kind)[0] == Threads() and four == []
    assert caplog.messages == [f"--numa {kind}: this machine has one node, so nothing changes"]


def test_a_priority_that_the_system_refuses_is_a_warning(monkeypatch, caplog):
    def refuse(which, who, nice):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(placement.os, "setpriority", refuse)
    assert settings("--prio", "3") == (Threads(), Threads())
    assert caplog.messages[0].startswith("--prio: the system refuses a higher priority (it needs CAP_SYS_NICE")


LOOK = """
import json, os, sys, threading
from llamabox.cli.options import parse_options
from llamabox.cli.placement import apply_affinity
from llamabox.cli.model import load_from_options
import threadpoolctl
options = parse_options(sys.argv[1:])
apply_affinity(options)
model = load_from_options(options)
seen = {}
for name, ids in (("one", [1]), ("many", [1, 2, 3])):
    model.logits(ids)
    threads = [t for t in threading.enumerate() if t.name.startswith("llamabox-kernels")]
    seen[name] = {
        "cpus": sorted(os.sched_getaffinity(0)),
        "nice": os.getpriority(os.PRIO_PROCESS, threading.get_native_id()),
        "active": model.model.ops._runner._active.kind.number if hasattr(model.model.ops, "_runner") else None,
        "helpers": [[sorted(os.sched_getaffinity(t.native_id)), os.getpriority(os.PRIO_PROCESS, t.native_id)]
                    for t in threads],
        "blas": [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"],
    }
print(json.dumps(seen))
"""


def look(*argv):
    """What a process with these flags does: while it computes one row, and then several."""
    done = subprocess.run([sys.executable, "-c", LOOK, *argv], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
needs_two = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")


def test_threads_are_as_many_as_asked_for_also_above_the_cores_and_batches_have_their_own():
    seen = look("-t", "1", "-tb", str(len(CPUS) + 3))
    assert (seen["one"]["active"], len(seen["one"]["helpers"])) == (1, 0)
    assert (seen["many"]["active"], len(seen["many"]["helpers"])) == (len(CPUS) + 3, len(CPUS) + 2)
    assert set(seen["one"]["blas"]) == {1} and set(seen["many"]["blas"]) == {len(CPUS) + 3}


def test_the_numpy_backend_bounds_blas():
    seen = look("-t", "1", "-tb", "2", "--backend", "numpy")
    assert set(seen["one"]["blas"]) == {1} and set(seen["many"]["blas"]) == {2}


@needs_two
def test_each_thread_is_where_cpu_strict_says():
    first, second = CPUS[:2]
    seen = look("-t", "2", "-Cr", f"{first}-{second}", "--cpu-strict", "1")
    assert seen["one"]["cpus"] == [first] and [cpus for cpus, _ in seen["one"]["helpers"]] == [[second]]


@needs_two
def test_batches_run_on_their_own_cpus():
    first, second = CPUS[:2]
    seen = look("-Cr", f"{first}-{first}", "-Crb", f"{second}-{second}", "-tb", "2")
    assert seen["one"]["cpus"] == [first] and seen["one"]["helpers"] == []
    assert seen["many"]["cpus"] == [second] and [cpus for cpus, _ in seen["many"]["helpers"]] == [[second]]


def test_a_priority_is_that_of_every_thread_that_computes():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    attempt = "import os; os.setpriority(os.PRIO_PROCESS, 0, 5)"  # refused where the tests run with a lower one
    refused = subprocess.run([sys.executable, "-c", attempt], stderr=subprocess.DEVNULL).returncode != 0
    expected = before if refused else 5
    seen = look("-t", "2", "--prio", "-1")
    assert (seen["one"]["nice"], [nice for _, nice in seen["one"]["helpers"]]) == (expected, [expected])
    assert look("-t", "2")["one"]["nice"] == before
