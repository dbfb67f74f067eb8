"""The filters and tests that chat templates may use: Jinja's own, each behind the rendering's budget.

Left out of Jinja's set are those that no prompt needs and that are costly to bound: pprint, random, striptags,
urlencode, urlize, wordwrap, xmlattr, filesizeformat. A template that names one does not compile.
"""

import json
from collections.abc import Iterator
from itertools import islice

from jinja2 import pass_context
from jinja2.defaults import DEFAULT_FILTERS, DEFAULT_TESTS
from jinja2.filters import make_attrgetter
from markupsafe import Markup

from llamabox.chat.budget import MAX_ITEMS
from llamabox.chat.errors import TemplateError
from llamabox.chat.operations import LINE_BREAKS, add, check_strip, percent_length

SLOW_TEXT = 2**20  # characters that a filter working piece by piece in Python may read
MAX_INDENT = 64
MAX_PATH = 256  # characters of an attribute's name, "a.b,c"
MAX_DIGITS = 400  # of `round`: more decimals, or tens, than any float has


def _first_argument(function, context) -> tuple:
    """What Jinja passes to `function` before the value: the environment, the context, its evaluation part, or none."""
    pass_arg = getattr(function, "jinja_pass_arg", None)
    if pass_arg is None:
        return ()
    return ({"environment": context.environment, "context": context, "eval_context": context.eval_ctx}[pass_arg.name],)


def _guarded(name: str, check=None, gather=False, keeps=False):
    """Jinja's filter of that name behind the budget.

    check(budget, value, *args, **kwargs) refuses a call beforehand; `gather` hands over iterables as lists, read tick
    by tick; `keeps` marks filters whose result existed before, so that it is not charged again.
    """

    function = DEFAULT_FILTERS[name]

    @pass_context
    def wrapper(context, value, *args, **kwargs):
        budget = context.environment.budget
        budget.use(value, *args, *kwargs.values())
        if check is not None:
            check(budget, value, *args, **kwargs)
        if gather and not isinstance(value, (str, list, tuple, dict)):
            value = budget.made(list(budget.each(value)))
        result = function(*_first_argument(function, context), value, *args, **kwargs)
        if isinstance(result, Iterator):
            return budget.lazy(result, value)
        return result if keeps else budget.made(result)

    return wrapper


# --- checks ---------------------------------------------------------------------------------------


def _short(budget, value, *args, **kwargs):
    if isinstance(value, str) and len(value) > SLOW_TEXT:
        raise TemplateError(
            f"the chat template applies a slow filter to {len(value)} characters, the limit is {SLOW_TEXT}"
        )


def _check_path(attribute):
    if isinstance(attribute, str) and len(attribute) > MAX_PATH:
        raise TemplateError(f"the chat template names an attribute in {len(attribute)} characters, not {MAX_PATH}")


def _check_paths(budget, value, *args, **kwargs):
    for argument in (*args, *kwargs.values()):
        _check_path(argument)


def _check_first_path(budget, value, attribute="", *args, **kwargs):
    _check_path(attribute)


def _check_named_path(budget, value, *args, attribute="", **kwargs):
    _check_path(attribute)


def _check_center(budget, value, width=80):
    budget.room(max(len(budget.text(value)), width))


def _check_indent(budget, value, width=4, first=False, blank=False):
    step = len(width) if isinstance(width, str) else width
    lines = 1 + sum(map(value.count, LINE_BREAKS))
    budget.room_for_items(lines)
    budget.room(len(value) + lines * step)


def _check_replace(budget, value, old, new, count=None):
    text, old, new = budget.text(value), budget.text(old), budget.text(new)
    times = text.count(old) if count is None else min(count, text.count(old))
    budget.room(len(text) + times * len(new))


def _check_round(budget, value, precision=0, method="common"):
    if abs(precision) > MAX_DIGITS:
        raise TemplateError(f"the chat template rounds to {precision} digits, the limit is {MAX_DIGITS}")


def _check_batch(budget, value, linecount, fill_with=None):
    if isinstance(linecount, int) and linecount > MAX_ITEMS:
        raise TemplateError(f"the chat template makes batches of {linecount} items, the limit is {MAX_ITEMS}")


def _check_format(budget, value, *args, **kwargs):
    budget.room(percent_length(budget, budget.text(value), kwargs or args))


# --- filters written here -------------------------------------------------------------------------


@pass_context
def _string(context, value):
    return value if isinstance(value, Markup) else context.environment.budget.text(value)


@pass_context
def _join(context, value, d="", attribute=None):
    budget = context.environment.budget
    separator = budget.text(d)
    if attribute is not None:
        _check_path(attribute)
        value = map(make_attrgetter(context.environment, attribute), value)
    parts, length = [], 0
    for item in budget.each(value):
        parts.append(budget.text(item))
        length += len(separator) + len(parts[-1])
        budget.room(length)
    return budget.made(str(separator).join(parts))


@pass_context
def _list(context, value):
    budget = context.environment.budget
    if isinstance(value, str):
        budget.room_for_items(len(value))
        budget.charge(64 * len(value))
    return budget.made(list(budget.each(value)))


@pass_context
def _sum(context, iterable, attribute=None, start=0):
    budget = context.environment.budget
    if isinstance(start, str):
        raise TypeError("sum() can't sum strings [use ''.join(seq) instead]")
    if attribute is not None:
        _check_path(attribute)
        iterable = map(make_attrgetter(context.environment, attribute), iterable)
    total = start
    for item in budget.each(iterable):
        total = add(budget, total, item)
    return total


@pass_context
def _tojson(context, x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    """As chat templates expect it: plain JSON, with no HTML escapes (Hugging Face's form of the filter)."""
    budget = context.environment.budget
    if isinstance(x, Iterator):  # of map, select and the like: a list in llama.cpp
        x = budget.made(list(islice(budget.each(x), MAX_ITEMS + 1)))
    budget.use(x)
    step = len(indent) if isinstance(indent, str) else int(indent) if indent is not None else 0
    if step > MAX_INDENT or any(len(s) > MAX_INDENT for s in separators or ()):
        raise TemplateError(f"the chat template's tojson indents or separates by more than {MAX_INDENT} characters")
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    chunks, length = [], 0
    for chunk in budget.each(encoder.iterencode(x)):
        chunks.append(chunk)
        length += len(chunk)
        budget.room(length)
    return budget.made("".join(chunks))


FILTERS = {
    "abs": _guarded("abs"),
    "attr": _guarded("attr", keeps=True),
    "batch": _guarded("batch", _check_batch),
    "capitalize": _guarded("capitalize"),
    "center": _guarded("center", _check_center),
    "count": _guarded("count"),
    "default": _guarded("default", keeps=True),
    "dictsort": _guarded("dictsort"),
    "escape": _guarded("escape", _short),
    "first": _guarded("first", keeps=True),
    "float": _guarded("float"),
    "forceescape": _guarded("forceescape", _short),
    "format": _guarded("format", _check_format),
    "groupby": _guarded("groupby", _check_paths, gather=True),
    "indent": _guarded("indent", _check_indent),
    "int": _guarded("int"),
    "items": _guarded("items"),
    "join": _join,
    "last": _guarded("last", keeps=True),
    "length": _guarded("length"),
    "list": _list,
    "lower": _guarded("lower"),
    "map": _guarded("map", _check_named_path),
    "max": _guarded("max", _check_paths, gather=True, keeps=True),
    "min": _guarded("min", _check_paths, gather=True, keeps=True),
    "reject": _guarded("reject"),
    "rejectattr": _guarded("rejectattr", _check_first_path),
    "replace": _guarded("replace", _check_replace),
    "reverse": _guarded("reverse"),
    "round": _guarded("round", _check_round),
    "safe": _guarded("safe"),
    "select": _guarded("select"),
    "selectattr": _guarded("selectattr", _check_first_path),
    "slice": _guarded("slice", gather=True),
    "sort": _guarded("sort", _check_paths, gather=True),
    "string": _string,
    "sum": _sum,
    "title": _guarded("title", _short),
    "tojson": _tojson,
    "trim": _guarded("trim", check_strip),
    "truncate": _guarded("truncate"),
    "unique": _guarded("unique", _check_paths),
    "upper": _guarded("upper"),
    "wordcount": _guarded("wordcount", _short),
}
FILTERS.update(d=FILTERS["default"], e=FILTERS["escape"])


def _test(function):
    @pass_context
    def wrapper(context, value, *args):
        context.environment.budget.use(value, *args)
        return function(*_first_argument(function, context), value, *args)

    return wrapper


TESTS = {name: _test(function) for name, function in DEFAULT_TESTS.items()}
