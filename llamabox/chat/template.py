"""Chat templates: a conversation in, the model's prompt out.

A template is the Jinja program that a model file carries (`tokenizer.chat_template`) or that the user names. It is
compiled once and rendered many times, from any thread, in the sandbox of `llamabox.chat.sandbox`, with the variables
and filters that Hugging Face's `apply_chat_template` gives it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import jinja2

from llamabox.chat.budget import MAX_DEPTH, Budget
from llamabox.chat.errors import TemplateError
from llamabox.chat.sandbox import Clock, RaisedError, SandboxEnvironment, instrument

MAX_SOURCE = 2**18  # characters of a template
MAX_MESSAGE = 1000  # characters of an error message

# What a program can raise by being wrong; whatever comes out of a template is the template's error.
FAULTS = (
    jinja2.TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NameError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


class ChatTemplate:
    """A compiled chat template.

    source            the Jinja text
    bos_token         the text of the vocabulary's tokens, as the template sees it ("" if there is none)
    eos_token
    time_budget_s     processor seconds that one rendering may take
    output_budget     characters of the output, and of any one value inside the template
    memory_budget     bytes of everything that one rendering builds
    Raises TemplateError when the source does not compile.
    """

    def __init__(
        self,
        source: str,
        bos_token: str = "",
        eos_token: str = "",
        *,
        time_budget_s: float = 2.0,
        output_budget: int = 16 * 2**20,
        memory_budget: int = 256 * 2**20,
    ):
        self.source, self.bos_token, self.eos_token = source, bos_token, eos_token
        self._time_budget_s, self._memory_budget, self._output_budget = time_budget_s, memory_budget, output_budget
        if len(source) > MAX_SOURCE:
            raise TemplateError(f"the chat template has {len(source)} characters, the limit is {MAX_SOURCE}")
        self._environment = SandboxEnvironment()
        try:
            self._code = self._environment.compile(instrument(self._environment.parse(source)))
        except FAULTS as error:
            line = getattr(error, "lineno", None) if isinstance(error, jinja2.TemplateSyntaxError) else None
            raise TemplateError(_explain("does not compile", error, line)) from error

    def render(
        self,
        messages: Sequence[dict],
        *,
        tools: Sequence[dict] | None = None,
        add_generation_prompt: bool = True,
        extra: Mapping[str, object] | None = None,
        now: datetime | None = None,
        time_budget_s: float | None = None,
    ) -> str:
        """The prompt of a conversation.

        messages, tools and the values of `extra` (further variables of the template) consist of dicts with text keys,
        lists, texts, numbers, booleans and None, as from JSON; they are not changed. Raises TemplateError, within the
        budgets, for everything that goes wrong, and when the template itself refuses with `raise_exception`.
        `now` is the time for the template's `strftime_now`, the present by default; `time_budget_s` is for this
        rendering alone.
        """
        variables = {
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            "documents": None,
            **(extra or {}),
            "messages": list(messages),
            "tools": None if tools is None else list(tools),
            "add_generation_prompt": add_generation_prompt,
        }
        for name, value in variables.items():
            _check_plain(value, name)
        time_s = self._time_budget_s if time_budget_s is None else time_budget_s
        budget = Budget(time_s, self._memory_budget, self._output_budget)
        budget.use(*variables.values())
        return self._run(variables, budget, datetime.now() if now is None else now)

    def _run(self, variables: dict, budget: Budget, now: datetime) -> str:
        environment = self._environment.overlay()
        environment.budget = budget
        names = environment.make_globals({"strftime_now": Clock(now)})
        template = environment.template_class.from_code(environment, self._code, names)
        pieces, length = [], 0
        try:
            for piece in template.root_render_func(template.new_context(variables)):
                pieces.append(piece)
                length += len(piece)
                budget.room(length)
        except RaisedError as error:
            reason = str(error.message)[:MAX_MESSAGE]
            raise TemplateError(f"the chat template refuses the conversation: {reason}") from error
        except TemplateError:
            raise
        except FAULTS as error:
            raise TemplateError(_explain("fails", error, _line_of(error, template))) from error
        return "".join(pieces)


def _check_plain(value, where: str, depth: int = 0) -> None:
    """Refuse what JSON has no form for: a template sees no other objects."""
    if value is None or type(value) in (str, int, float, bool):
        return
    if depth > MAX_DEPTH:
        raise TemplateError(f"{where.split('[')[0]} is nested deeper than {MAX_DEPTH}")
    if type(value) is dict:
        for key, child in value.items():
            if type(key) is not str:
                raise TemplateError(f"{where}: a key is of type {type(key).__name__}, expected text")
            _check_plain(child, f"{where}.{key[:40]}", depth + 1)
    elif type(value) in (list, tuple):
        for i, child in enumerate(value):
            _check_plain(child, f"{where}[{i}]", depth + 1)
    else:
        raise TemplateError(f"{where} is a {type(value).__name__}, expected a value that JSON can hold")


def _line_of(error: BaseException, template: jinja2.Template) -> int | None:
    """The template's line where an error arose: that of the innermost frame that runs the template's code."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _explain(what: str, error: BaseException, line: int | None) -> str:
    at = "" if line is None else f" at line {line}"
    if isinstance(error, RecursionError):
        detail = "it is nested too deeply"
    elif isinstance(error, jinja2.TemplateError):
        detail = str(error.message)
    else:
        detail = f"{type(error).__name__}: {error}"
    return f"the chat template {what}{at}: {detail[:MAX_MESSAGE]}"
