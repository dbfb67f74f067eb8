"""What one rendering may use: processor time, memory, text length, items and depth.

A chat template is a program from a file that somebody else made, and it runs in a thread of the server, so it must
neither hang nor fill the memory. Every operation of the sandbox goes through one `Budget`, which bounds each single
value (so that no single operation of the interpreter runs long) and the sum of all of them (so that many small ones do
not either):

- `tick` counts work and looks at the clock now and then;
- `room` refuses a text before it is built, `charge` sums the bytes of everything built and never gives back;
- `made` receives every value that the template builds: it charges texts, limits integers, measures containers, and
  makes iterators tick;
- `measure` gives a container's size as if written out, so that `[x, x]` nested forty deep (2^40 values when printed or
  compared) is refused when it is built. A measured size stays true, since values do not change inside the sandbox, but
  for `append` and `pop` on lists of the template's own, after which everything is measured anew.
"""

import sys
import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from itertools import chain

from llamabox.chat.errors import TemplateError

MAX_ITEMS = 2**18  # elements of one container
MAX_DEPTH = 100  # containers, macro calls and lazy filters inside one another
MAX_INT_BITS = 2**14
NODE = 16  # the size of any value besides its characters, in characters
ENTRY_BYTES = 256  # what a container costs besides its slots: the object and its measurement
TICKS_PER_LOOK = 64  # ticks between two looks at the clock
TICK_CHARS = 4096  # characters that one tick's time is enough to scan

_VIEWS = (KeysView, ValuesView, ItemsView)


class Budget:
    """The limits of one rendering. Not shared between threads: each rendering makes its own.

    time_s        processor seconds of the rendering thread (a busy machine does not fail an honest template, and a
                  template has no way to sleep)
    memory_bytes  bytes of all texts and containers that the template builds, together
    text_limit    characters of any one text, and so of the output
    """

    def __init__(self, time_s: float, memory_bytes: int, text_limit: int):
        self.text_limit = text_limit
        self._time_s = time_s
        self._deadline = time.thread_time() + time_s
        self._memory_bytes = memory_bytes
        self._bytes_left = memory_bytes
        self._ticks_left = TICKS_PER_LOOK
        self._calls = 0
        self._measured: dict[int, tuple[object, int, int]] = {}  # id -> (the value, kept alive; its size; its depth)
        self._own: dict[int, list] = {}  # the lists that the template made, which it may change

    def tick(self, ticks: int = 1) -> None:
        """Count work; one tick stands for roughly a microsecond."""
        self._ticks_left -= ticks
        if self._ticks_left <= 0:
            self._ticks_left = TICKS_PER_LOOK
            if time.thread_time() > self._deadline:
                raise TemplateError(f"the chat template ran longer than its {self._time_s:g} s of processor time")

    def charge(self, n_bytes: int) -> None:
        """Count bytes that were built or are about to be."""
        self._bytes_left -= n_bytes
        if self._bytes_left < 0:
            raise TemplateError(f"the chat template built more than its {self._memory_bytes} bytes of text and lists")

    def room(self, length: int) -> None:
        """Refuse a text of `length` characters that is too long, before it exists."""
        if length > self.text_limit:
            raise TemplateError(
                f"a value in the chat template has more than {self.text_limit} characters, the limit of one value"
            )

    def room_for_items(self, count: int) -> None:
        """Refuse a container of `count` elements that is too large, before it exists, and charge it."""
        if count > MAX_ITEMS:
            raise TemplateError(f"the chat template builds a list of {count} items, the limit is {MAX_ITEMS}")
        self.charge(8 * count + ENTRY_BYTES)

    def made(self, value):
        """Account for a value that the template just built; iterators come back wrapped so that each step ticks."""
        if isinstance(value, str):
            self.room(len(value))
            self.charge(sys.getsizeof(value))
        elif isinstance(value, int):
            if value.bit_length() > MAX_INT_BITS:
                raise TemplateError(f"the chat template computes an integer of more than {MAX_INT_BITS} bits")
        elif isinstance(value, (list, tuple, dict)):
            self.measure(value)
            if isinstance(value, list):
                self._own[id(value)] = value
        elif isinstance(value, Iterator):
            return self.lazy(value, value)
        return value

    def joined(self, left: list | tuple, right: list | tuple) -> list | tuple:
        """left + right; its measure follows from theirs, without visiting the elements."""
        self.room_for_items(len(left) + len(right))
        (left_size, left_depth), (right_size, right_depth) = self.measure(left), self.measure(right)
        value = left + right  # type: ignore[operator]
        self._remember(value, left_size + right_size, max(left_depth, right_depth))
        return self.made(value)

    def use(self, *values) -> None:
        """Count the time that reading the values (comparing, searching, printing) takes."""
        for value in values:
            if isinstance(value, str):
                self.tick(1 + len(value) // TICK_CHARS)
            elif isinstance(value, (list, tuple, dict, *_VIEWS)):
                self.tick(1 + self.measure(value)[0] // TICK_CHARS)

    def text(self, value) -> str:
        """str(value), accounted for."""
        if type(value) is str:
            return value
        self.use(value)
        return self.made(str(value))

    def each(self, values: Iterable) -> Iterator:
        """The values, one tick each."""
        for value in values:
            self.tick()
            yield value

    def lazy(self, values: Iterable, source) -> Iterator:
        """`each`, for an iterator that reads from `source` and that a template can keep.

        A chain of such iterators may not grow longer than MAX_DEPTH: the interpreter frees it recursively, on the
        thread's C stack.
        """
        iterator = self.each(values)
        self.charge(ENTRY_BYTES)
        self._remember(iterator, NODE, self.measure(source)[1] + 1)
        return iterator

    def measure(self, value, level: int = 0) -> tuple[int, int]:
        """(size in characters, depth) of a value written out in full; refuses what is too large or too deep."""
        if isinstance(value, str):
            return NODE + len(value), 0
        known = self._measured.get(id(value))
        if known is not None:
            if known[1] < 0:
                raise TemplateError("a list in the chat template contains itself")
            return known[1:]
        if isinstance(value, dict):
            children: Iterable = chain(value.keys(), value.values())
        elif isinstance(value, (list, tuple)):
            children = value
        elif isinstance(value, _VIEWS):
            return self.measure(tuple(value), level)
        else:
            return NODE, 0
        if level > MAX_DEPTH:
            raise TemplateError(f"a value in the chat template is nested deeper than {MAX_DEPTH}")
        self.room_for_items(len(value))
        self.tick(1 + len(value) // 4)
        self._measured[id(value)] = value, -1, 0  # being measured
        size, depth = NODE, 0
        for child in children:
            child_size, child_depth = self.measure(child, level + 1)
            size += child_size
            depth = max(depth, child_depth)
        self._remember(value, size, depth + 1)
        return size, depth + 1

    def _remember(self, value, size: int, depth: int) -> None:
        self.room(size)
        if depth > MAX_DEPTH:
            raise TemplateError(f"a value in the chat template is nested deeper than {MAX_DEPTH}")
        self._measured[id(value)] = value, size, depth

    def change(self, values: list) -> None:
        """The template is about to change a list; refuses those of the conversation."""
        if id(values) not in self._own:
            raise TemplateError("the chat template changes a list that it did not make itself")
        self.room_for_items(len(values) + 1)
        self._measured = {key: entry for key, entry in self._measured.items() if isinstance(entry[0], Iterator)}

    def enter(self) -> None:
        """A macro, block or recursive loop begins."""
        self._calls += 1
        if self._calls > MAX_DEPTH:
            raise TemplateError(f"the chat template's macros call one another deeper than {MAX_DEPTH}")

    def leave(self) -> None:
        self._calls -= 1
