"""-dev, -ngl, -sm, -ts, -mg, -nkvo, -ot, -cmoe and the like -> kernels.Placement: which layers go to which GPUs."""

from dataclasses import replace
from typing import TYPE_CHECKING

from llamabox.cli.options import Options

if TYPE_CHECKING:
    from llamabox.kernels import Device, Placement

# Fields of Placement -> options
MAIN = {
    "devices": "device",
    "gpu_layers": "gpu_layers",
    "main_gpu": "main_gpu",
    "split_mode": "split_mode",
    "tensor_split": "tensor_split",
    "kv_offload": "kv_offload",
    "overrides": "override_tensor",
}
DRAFT = {"devices": "device_draft", "gpu_layers": "gpu_layers_draft"}
TO_HOST = ("cpu_moe", "n_cpu_moe", "n_cpu_ffn")
FITTING = ("fit", "fit_target")
OF_GPUS = (*[dest for field, dest in MAIN.items() if field != "devices"], *TO_HOST, "gpu_layers_draft", *FITTING)


def placement(options: Options) -> "Placement | None":
    """Where the model's layers go; None: there is no GPU to use, or --backend asks for the CPU and nothing for a GPU.

    Without -ngl as many layers go to the GPUs that are present as find room, or all with -fit off.
    """
    asked = any(options.given(dest) for dest in (*MAIN.values(), *TO_HOST))
    return _wanted(options, asked, MAIN)


def draft_placement(options: Options) -> "Placement | None":
    """The same of the draft model: how GPUs share it is the model's, unless -devd names GPUs of its own."""
    made = _wanted(options, any(options.given(dest) for dest in DRAFT.values()), DRAFT)
    if made is None or options.given(DRAFT["devices"]):
        return made
    shared = ("split_mode", "tensor_split", "main_gpu", "kv_offload")
    return replace(made, **{field: value for field, value in _fields(options, MAIN).items() if field in shared})


def gpus(options: Options, dest: str) -> "list[Device]":
    """The GPUs that an option names, or all that are present where it was not given. Errors: BackendError"""
    from llamabox.kernels.placing import wanted_devices

    return wanted_devices(getattr(options, dest) if options.given(dest) else None, options.backend)


def check_fit(options: Options) -> None:
    """PlacementError for options that do not fit the GPUs they are for."""
    from llamabox.kernels.assignment import Placement, check_placement

    check_placement(Placement(**_fields(options, MAIN)), gpus(options, MAIN["devices"]))


def _wanted(options: Options, asked: bool, dests: dict[str, str]) -> "Placement | None":
    from llamabox.kernels.assignment import Placement

    of_cpu, switched_off = options.backend in ("cpu", "numpy"), options.given("backend") and not asked
    if of_cpu and (switched_off or not gpus(options, dests["devices"])):
        return None
    return Placement(**_fields(options, dests))


def _fields(options: Options, dests: dict[str, str]) -> dict:
    given = {field: getattr(options, dest) for field, dest in dests.items() if options.given(dest)}
    if options.given("fit") and not options.fit:
        given.setdefault("gpu_layers", -1)
    if options.given("fit_target"):
        given["margins"] = tuple(size << 20 for size in options.fit_target)
    if options.given("ctx_size") and options.ctx_size > 0:
        given["n_ctx"] = options.ctx_size
    if dests is MAIN:
        given["overrides"] = (*[pair for pairs in given.get("overrides", ()) for pair in pairs], *_to_host(options))
    return given


def _to_host(options: Options) -> tuple[tuple[str, str], ...]:
    """--cpu-moe, --n-cpu-moe and --n-cpu-ffn as overrides."""
    from llamabox.kernels.assignment import DENSE, EXPERTS, cpu_layers

    overrides = cpu_layers(EXPERTS) if options.cpu_moe else ()
    overrides += cpu_layers(EXPERTS, options.n_cpu_moe) if options.given("n_cpu_moe") else ()
    return overrides + (cpu_layers(DENSE, options.n_cpu_ffn) if options.given("n_cpu_ffn") else ())
