"""The thinking part of an answer: finding a template's tags, reading what is between them."""

from collections.abc import Generator
from dataclasses import dataclass
from os.path import commonprefix

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

    tags    None: there is none
    opened  what the prompt ends with when it ends inside the part, from the opening tag on
    closed  the prompt has ended it
    early   words that end it as well, and are not part of it: a call begins
    loose_start, loose_end  all white space after that tag is skipped, not only the template's
    exact   white space at the beginning of an answer belongs to it
    """

    tags: Tags | None = None
    opened: str = ""
    closed: bool = False
    early: tuple[str, ...] = ()
    loose_start: bool = False
    loose_end: bool = False
    exact: bool = False

    def read(self, reader: Reader, out: Output) -> Reading:
        """Reads the thinking part, if the answer begins with one."""
        tags = self.tags
        if tags is None or self.closed:
            return
        if not out.separate:
            out.content(self.opened)
            return
        space = yield from reader.spaces(None)
        began = (yield from reader.literal(tags.opening)) is not None
        if not (began or self.opened):
            if self.exact:
                reader.unread(space)
            return
        if began or self.loose_start:
            space = lead = ""
        else:
            lead = self._lead(tags)
        out.tag(self.opened.removesuffix(lead) or tags.opening)
        if began:
            yield from self._skip(reader, tags.start, self.loose_start)
        if (yield from self._thoughts(reader, out, tags, lead + space)):
            out.tag(tags.closing)
            yield from self._skip(reader, tags.end, self.loose_end)

    def _skip(self, reader: Reader, tag: str, loose: bool) -> Reading:
        if loose:
            yield from reader.spaces(None)
        else:
            yield from reader.optional(tag[len(tag.rstrip()) :])

    def _lead(self, tags: Tags) -> str:
        """White space that the prompt ends with and that is no part of the tag: it counts as the thoughts'."""
        rest = self.opened[len(tags.opening) :]
        own = tags.start[len(tags.start.rstrip()) :]
        return "" if rest.strip() else rest[len(commonprefix([rest, own])) :]

    def _thoughts(self, reader: Reader, out: Output, tags: Tags, space: str) -> Generator[None, None, bool]:
        """Reads up to the closing tag; False when something else came. White space alone is no thought."""
        lead: list[str] | None = [space]

        def emit(text: str) -> None:
            nonlocal lead
            if lead is not None:
                lead.append(text)
                if not text.strip():
                    return
                text, lead = "".join(lead), None
            out.thought(text)

        stop = yield from reader.until(Stops((tags.closing, *self.early)), emit, whole=False)
        if stop is None:
            reader.take_rest()
        elif stop in self.early:
            reader.unread(stop)
        return stop == tags.closing
