"""The Jinja environment of chat templates: the settings of Hugging Face, nothing unsafe in reach, all of it budgeted.

Jinja's `ImmutableSandboxedEnvironment` keeps a template away from Python's internals; this one allows only what is
listed here and routes every operation through a `Budget`. Calls, filters, tests and arithmetic have hooks; what Jinja
compiles to plain Python (loops, literals, comparisons, `~`, slices, text) is rewritten in the template's syntax tree
by `instrument`.
"""

import re
from datetime import datetime
from types import BuiltinMethodType, MethodType

from jinja2 import TemplateError as JinjaError
from jinja2 import TemplateSyntaxError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.runtime import BlockReference, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from llamabox.chat.budget import Budget
from llamabox.chat.filters import FILTERS, TESTS
from llamabox.chat.operations import OPERATORS, TEXT_METHODS, BoundFormat, call_text_method

MAX_NODES = 10_000  # of a syntax tree; the largest published templates have about 1,000
MAX_NAMES = 500  # of variables; Jinja's compiler needs time for names times branches
MAX_ARGUMENTS = 1000  # of one call, `f(*values)` included
MAX_TIME_FORMAT = 100  # characters of a strftime format
TIME_WIDTH = re.compile(r"%[-_0^#+]*[1-9]")

ATTRIBUTES = {  # what a template may reach with a dot, besides the keys of a dict and the names in a namespace
    str: frozenset(TEXT_METHODS),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    list: frozenset({"append", "copy", "count", "index", "pop"}),
    tuple: frozenset({"count", "grouper", "index", "list"}),
    LoopContext: frozenset(
        "changed cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0".split()
    ),
    Macro: frozenset({"arguments", "caller", "catch_kwargs", "catch_varargs", "name"}),
    Cycler: frozenset({"current", "next", "reset"}),
    BlockReference: frozenset({"super"}),
}

FINDING_METHODS = ("cycle", "get", "next", "pop")  # their results existed before


# --- the globals ----------------------------------------------------------------------------------


class RaisedError(JinjaError):
    """`raise_exception(message)`: the template refuses the conversation."""


def raise_exception(message):
    raise RaisedError(str(message))


class Clock:
    """`strftime_now(format)`: the time of the rendering.

    A directive may have no width: some C libraries take it as a field's length.
    """

    def __init__(self, now: datetime):
        self._now = now

    def __call__(self, format):
        if len(format) > MAX_TIME_FORMAT or TIME_WIDTH.search(format):
            raise ValueError(
                f"strftime_now takes a plain format of at most {MAX_TIME_FORMAT} characters, not {format[:120]!r}"
            )
        return self._now.strftime(format)


class TemplateNamespace(Namespace):
    """Jinja's namespace, printed without its contents: they may hold one another, in growing copies."""

    def __repr__(self):
        return "<Namespace>"


def make_dict(*args, **kwargs):
    return dict(*args, **kwargs)


GLOBALS = {
    "cycler": Cycler,
    "dict": make_dict,
    "joiner": Joiner,
    "namespace": TemplateNamespace,
    "raise_exception": raise_exception,
    "range": safe_range,
}
_PAIRS = (make_dict, TemplateNamespace)  # callables that read pairs from an iterable
_BODIES = (Macro, LoopContext, BlockReference)  # callables that run a part of the template
_OBJECTS = (BoundFormat, Clock, Joiner, Undefined)  # other callable values


# --- the environment ------------------------------------------------------------------------------


@pass_context
def _finalize(context, value):
    """Each value that is written, the template's own text included, on its way to the output."""
    budget = context.environment.budget
    text = budget.text(value)
    budget.tick()
    budget.charge(len(text) if text is value else 0)
    return text


class GenerationBlock(Extension):
    """`{% generation %}...{% endgeneration %}` marks the assistant's text for training; here it only renders."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)


class SandboxEnvironment(ImmutableSandboxedEnvironment):
    """Set `budget` on an overlay of the environment (`overlay()`), one for each rendering."""

    budget: Budget
    intercepted_binops = frozenset(OPERATORS)

    def __init__(self):
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # nothing is computed while compiling, where no budget is
            finalize=_finalize,
            extensions=[GenerationBlock, "jinja2.ext.loopcontrols"],
        )
        self.filters, self.tests, self.globals = {**FILTERS, **INNER_FILTERS}, dict(TESTS), dict(GLOBALS)

    def is_safe_attribute(self, obj, attr, value):
        if isinstance(obj, Namespace):
            return not attr.startswith("_")
        return any(attr in names for kind, names in ATTRIBUTES.items() if isinstance(obj, kind))

    def getattr(self, obj, attribute):
        self.budget.tick()
        return super().getattr(obj, attribute)

    def getitem(self, obj, argument):
        self.budget.tick()
        return super().getitem(obj, argument)

    def wrap_str_format(self, value):
        if isinstance(value, (BuiltinMethodType, MethodType)) and value.__name__ in ("format", "format_map"):
            if isinstance(value.__self__, str):
                return BoundFormat(self, value.__self__, value.__name__ == "format_map")
        return None

    def call_binop(self, context, operator, left, right):
        self.budget.use(left, right)
        return OPERATORS[operator](self.budget, left, right)

    def call(self, context, obj, /, *args, _loop_vars=None, _block_vars=None, **kwargs):
        budget = self.budget
        if len(args) + len(kwargs) > MAX_ARGUMENTS:
            raise TypeError(f"a call has {len(args) + len(kwargs)} arguments, the limit is {MAX_ARGUMENTS}")
        budget.use(*args, *kwargs.values())
        if isinstance(obj, _BODIES):
            budget.enter()
            try:
                if isinstance(obj, LoopContext):  # loop(children), in a recursive loop
                    args = tuple(map(budget.each, args))
                return budget.made(obj(*args, **kwargs))
            finally:
                budget.leave()
        if isinstance(obj, (BuiltinMethodType, MethodType)):
            return self._call_method(obj, args, kwargs)
        if obj in _PAIRS:
            args = tuple(arg if isinstance(arg, dict) else budget.each(arg) for arg in args)
        elif not (isinstance(obj, _OBJECTS) or any(obj is function for function in GLOBALS.values())):
            raise TypeError(f"{type(obj).__name__!r} object is not callable in a chat template")
        return budget.made(obj(*args, **kwargs))

    def _call_method(self, method, args, kwargs):
        owner = method.__self__
        if not self.is_safe_attribute(owner, method.__name__, method):
            raise SecurityError(f"the method {method.__name__!r} is not allowed in a chat template")
        if isinstance(owner, str):
            return call_text_method(self.budget, method, owner, args, kwargs)
        self.budget.use(owner)
        if isinstance(owner, list) and method.__name__ in ("append", "pop"):
            self.budget.change(owner)
        result = method(*args, **kwargs)
        return result if method.__name__ in FINDING_METHODS else self.budget.made(result)


# --- the rewriting of the syntax tree -------------------------------------------------------------
# The names of these filters hold a space, so a template cannot name them.


@pass_context
def _each(context, values):
    return context.environment.budget.each(values)


@pass_context
def _made(context, value):
    return context.environment.budget.made(value)


@pass_context
def _used(context, value):
    context.environment.budget.use(value)
    return value


@pass_context
def _concatenated(context, values):
    budget = context.environment.budget
    texts = [budget.text(value) for value in values]
    budget.room(sum(map(len, texts)))
    return budget.made("".join(texts))


INNER_FILTERS = {
    "each of": _each,
    "made by": _made,
    "used in": _used,
    "concatenation of": _concatenated,
}


def _through(name: str, node, lineno: int) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=lineno)


class _Instrument(NodeTransformer):
    """Routes the operations that have no hook in Jinja through the filters above."""

    def visit_For(self, node):
        node = self.generic_visit(node)
        node.iter = _through("each of", node.iter, node.lineno)
        return node

    def _made(self, node):
        return _through("made by", self.generic_visit(node), node.lineno)

    visit_List = visit_Dict = _made

    def visit_Tuple(self, node):
        return self._made(node) if node.ctx == "load" else node

    def visit_Getitem(self, node):
        is_slice = isinstance(node.arg, nodes.Slice)
        node = self.generic_visit(node)
        return _through("made by", node, node.lineno) if is_slice else node

    def visit_Concat(self, node):
        node = self.generic_visit(node)
        return _through("concatenation of", nodes.Tuple(node.nodes, "load", lineno=node.lineno), node.lineno)

    def visit_Compare(self, node):
        node = self.generic_visit(node)
        node.expr = _through("used in", node.expr, node.lineno)
        for operand in node.ops:
            if not isinstance(operand.expr, nodes.Const):
                operand.expr = _through("used in", operand.expr, node.lineno)
        return node

    def visit_AssignBlock(self, node):
        node = self.generic_visit(node)
        node.filter = _through("made by", node.filter, node.lineno)
        return node

    def visit_TemplateData(self, node):  # as a constant it goes through `finalize`
        return nodes.Const(node.data, lineno=node.lineno)

    def _refuse(self, node):
        raise TemplateSyntaxError(f"{type(node).__name__} is not supported in a chat template", node.lineno)

    visit_Include = visit_Import = visit_FromImport = visit_Extends = _refuse
    visit_EvalContextModifier = visit_ScopedEvalContextModifier = _refuse


def instrument(tree: nodes.Template) -> nodes.Template:
    """Rewrite a template's syntax tree, in place, so that each of its operations reaches the budget."""
    count = sum(1 for _ in tree.find_all(nodes.Node))
    if count > MAX_NODES:
        raise TemplateSyntaxError(f"the template has {count} syntax nodes, the limit is {MAX_NODES}", 1)
    names = len({node.name for node in tree.find_all(nodes.Name)})
    if names > MAX_NAMES:
        raise TemplateSyntaxError(f"the template has {names} variables, the limit is {MAX_NAMES}", 1)
    return _Instrument().visit(tree)
