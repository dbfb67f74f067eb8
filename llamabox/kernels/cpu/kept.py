"""What is kept by keys that name objects by their ids: it must go with the first of these, for ids come again."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from weakref import ReferenceType, ref


def forget(kept: OrderedDict, key: tuple) -> Callable[[ReferenceType], None]:
    """The callback for weak references to what a key names."""
    return partial(_forget, ref(kept), key)  # weakly: a backend goes at once, and its threads, not by way of a cycle


def _forget(kept: ReferenceType, key: tuple, _: ReferenceType) -> None:
    held = kept()
    if held is not None:
        held.pop(key, None)  # no lock, for objects go anywhere, also in the middle of what holds one
