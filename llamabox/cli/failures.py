"""What a user can get wrong ends in one line on standard error and exit code 2; a bug ends in its traceback."""

import logging
import os
import sys
from collections.abc import Callable

log = logging.getLogger(__name__)

USER_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


def run(command: Callable[[list[str]], int], argv: list[str]) -> int:
    """Call a command and turn the failures that are not bugs into one line and an exit code."""
    try:
        code = command(argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit finds no closed pipe
        return BROKEN_PIPE
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        message = explain(error)
        if message is None:
            raise
        log.debug("where it failed", exc_info=error)
        print(f"error: {message}", file=sys.stderr)
        return USER_ERROR


def explain(error: Exception) -> str | None:
    """One line for a failure that a user can cause; None for a bug.

    Errors that llamabox defines name the thing, the value found and the value expected. A ValueError or RuntimeError
    that it does not define is a bug.
    """
    if isinstance(error, OSError):
        text = _explain_os_error(error)
    elif isinstance(error, ImportError) and error.name and not error.name.startswith("llamabox"):
        text = (
            f"the Python package {error.name!r} is not installed: pip install 'llamabox[convert]' has all optional ones"
        )
    elif type(error).__module__.split(".")[0] == "llamabox":
        text = str(error)
    else:
        return None
    return " ".join(text.split())


def _explain_os_error(error: OSError) -> str:
    what = error.strerror if error.strerror is not None else str(error)
    return f"{error.filename}: {what}" if error.filename is not None else what
