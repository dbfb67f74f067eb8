"""Which endpoints are open besides those that always are."""

from dataclasses import dataclass

from llamabox.server.errors import NotSupported


@dataclass(frozen=True)
class Endpoints:
    """The switches of the command line.

    spm_infill  /infill puts the suffix before the prefix
    props       POST /props is allowed
    slot_save_path  folder of saved slots; None: POST /slots is off
    """

    metrics: bool = False
    infill: bool = False
    spm_infill: bool = False
    props: bool = False
    slots: bool = False
    slot_save_path: str | None = None


def require(is_open: bool, path: str, flag: str) -> None:
    """NotSupported for an endpoint that is off."""
    if not is_open:
        raise NotSupported(f"{path} is off: start the server with {flag}")
