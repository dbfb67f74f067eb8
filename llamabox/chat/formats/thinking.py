"""The thinking part of an answer: finding a template's tags, reading what is between them."""

from collections.abc import Generator
from dataclasses import dataclass

from llamabox.chat.capabilities import PROBE_S
from llamabox.chat.errors import TemplateError
from llamabox.chat.formats.parser import Output
from llamabox.chat.formats.reader import Reader, Reading, Stops
from llamabox.chat.template import ChatTemplate

PAIRS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<|channel>thought", "<channel|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
)
THOUGHT, ANSWER = "thought-needle", "answer-needle"


@dataclass(frozen=True)
class Tags:
    """Texts around thoughts; start and end as the template writes them, with the white space that belongs to them."""

    start: str
    end: str

    @property
    def opening(self) -> str:
        return self.start.strip()

    @property
    def closing(self) -> str:
        return self.end.strip()


def find_tags(template: ChatTemplate) -> Tags | None:
    """The tags that a template knows; None if it knows none."""
    for opening, closing in PAIRS:
        if opening in template.source or closing in template.source:
            return _with_space(template, opening, closing)
    return None


def _with_space(template: ChatTemplate, opening: str, closing: str) -> Tags:
    """The tags with the white space that the template writes between them, thoughts and answer, if it writes these."""
    message = {"role": "assistant", "content": ANSWER, "reasoning_content": THOUGHT, "thinking": THOUGHT}
    try:
        chat = [{"role": "user", "content": "hi"}, message]
        prompt = template.render(chat, add_generation_prompt=False, time_budget_s=PROBE_S)
    except TemplateError:
        return Tags(opening, closing)
    before, thought, rest = prompt.partition(THOUGHT)
    between, answer, _ = rest.partition(ANSWER)
    at = before.rfind(opening)
    if not (thought and answer) or at < 0 or before[at + len(opening) :].strip() or between.strip() != closing:
        return Tags(opening, closing)
    return Tags(before[at:], between)


@dataclass(frozen=True)
class Thinking:
    """How an answer's thinking part is read.

    tags      None: there is none
    opened    what the prompt ends with when it ends inside the part, from the opening tag on
    closed    the prompt has ended it
    separate  from the content; otherwise it stays there, tags and all
    doubled   it stays in the content too
    early     words that end it as well, and are not part of it: a call begins
    loose     all white space after the opening and the closing tag is skipped, not only the template's
    """

    tags: Tags | None = None
    opened: str = ""
    closed: bool = False
    separate: bool = True
    doubled: bool = False
    early: tuple[str, ...] = ()
    loose: bool = False

    def read(self, reader: Reader, out: Output) -> Reading:
        """Reads the thinking part, if the answer begins with one."""
        tags = self.tags
        if tags is None or self.closed:
            return
        if not self.separate:
            out.content(self.opened)
            return
        yield from reader.spaces()
        began = (yield from reader.literal(tags.opening)) is not None
        if not (began or self.opened):
            return
        if self.doubled:
            out.content(self.opened or tags.opening)
        if began:
            yield from self._skip(reader, tags.start)
        ended = yield from self._thoughts(reader, out, tags)
        if ended and self.doubled:
            out.content(tags.closing)
        if ended:
            yield from self._skip(reader, tags.end)

    def _skip(self, reader: Reader, tag: str) -> Reading:
        if self.loose:
            yield from reader.spaces()
        else:
            yield from reader.optional(tag[len(tag.rstrip()) :])

    def _thoughts(self, reader: Reader, out: Output, tags: Tags) -> Generator[None, None, bool]:
        """Reads up to the closing tag; False when something else came. White space alone is no thought."""
        lead: list[str] | None = []

        def emit(text: str) -> None:
            nonlocal lead
            if lead is not None:
                lead.append(text)
                if not text.strip():
                    return
                text, lead = "".join(lead), None
            out.reasoning(text)
            if self.doubled:
                out.content(text)

        stop = yield from reader.until(Stops((tags.closing, *self.early)), emit)
        if stop in self.early:
            reader.unread(stop)
        return stop == tags.closing
