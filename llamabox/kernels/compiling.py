"""Who is told that a kernel is being compiled, which takes a while on the first start.

A backend compiles within `telling(name)`; a program that shows progress sets `listener` to a function that is called
with the kernel's name before it is compiled, and with None after.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

listener: Callable[[str | None], None] | None = None


@contextmanager
def telling(name: str) -> Iterator[None]:
    """Tell the listener, if any, of a kernel while it is compiled."""
    told = listener
    if told is not None:
        told(name)
    try:
        yield
    finally:
        if told is not None:
            told(None)
