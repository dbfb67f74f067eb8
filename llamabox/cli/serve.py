"""`llamabox serve`, and `llama-box`: options -> a running server."""

import os
from collections.abc import Sequence

from llamabox.cli.actions import do_action
from llamabox.cli.affinity import apply_affinity
from llamabox.cli.devices import check_devices
from llamabox.cli.logs import set_up_logging
from llamabox.cli.model import model_path
from llamabox.cli.options import ALL_OPTIONS, Options, parse_options


def main(argv: Sequence[str], program: str = "llamabox serve") -> int:
    """Parse the options and serve until a signal ends it; returns the exit code."""
    options = parse_options(argv, os.environ)
    if options.action:
        return do_action(options.action, ALL_OPTIONS, f"{program} [options]")
    return run_serve(options)


def run_serve(options: Options) -> int:
    """Check what can be checked before a model is loaded, then serve."""
    set_up_logging(options.verbosity, options.log_colors)
    check_devices(options)
    apply_affinity(options)
    options = options.replace(model=str(model_path(options)))

    from llamabox.server import serve

    return serve(options)
