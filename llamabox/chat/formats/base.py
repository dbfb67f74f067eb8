"""What a format is: how one family of models writes thoughts, content and tool calls."""

from collections.abc import Callable, Sequence

from llamabox.chat.formats.lark import Lark, sequence, text
from llamabox.chat.formats.parser import Output, made_id
from llamabox.chat.formats.reader import Reader, Reading, Stops
from llamabox.chat.formats.thinking import Tags, Thinking
from llamabox.chat.formats.tools import Tools

NOTHING = Stops(())


class Format:
    """Content only, which is what a format is without tools; every other one extends this.

    name             shown in logs and in /props
    preserved        texts of control tokens that mark calls
    stops            texts that end an answer
    early            words that end the thinking part although it was not closed
    loose_start, loose_end   white space after the opening, the closing thinking tag does not count
    exact            white space at the beginning of an answer belongs to it
    describes_tools  to the model by itself, in `adjust`; otherwise the template has to do it
    tags             around thoughts; None: as the template's source tells
    lazy             a model that may call is free until it begins a call; otherwise it has `reply` besides
    new_id           makes the id of a call that has none
    """

    name = "content-only"
    preserved: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    early: tuple[str, ...] = ()
    loose_start = loose_end = False
    exact = False
    describes_tools = False
    tags: Tags | None = None
    lazy = True
    new_id: Callable[[], str] = staticmethod(made_id)

    def knows(self, source: str) -> bool:
        """Whether a template's source is of this format."""
        return True

    def adjust(self, messages: list[dict], tools: list[dict] | None) -> list[dict]:
        """The messages as the template needs them, beyond what it tells by itself; nothing is changed in place.

        tools   those that the template does not describe
        """
        return messages

    def variables(self, tools: list[dict] | None) -> dict[str, object]:
        """Variables that only this family's templates read."""
        return {}

    def beginning(self, prompt: str, tags: Tags | None, content: str | None, thoughts: str) -> str:
        """What an answer begins with that is to be continued.

        prompt    what the template ends a prompt with
        content   the answer's content so far, None while it is still thinking
        thoughts  the thinking part so far
        """
        if tags is None:
            return prompt + (content or "")
        opened = prompt.partition(tags.start)[0] + tags.start + thoughts
        return opened if content is None else opened + tags.end + content

    def read(self, reader: Reader, out: Output, tools: Tools) -> Reading:
        """Reads what follows the thinking part, up to the end of the text; tools may be none."""
        yield from reader.until(NOTHING, out.content)

    def thoughts(self, lark: Lark, thinking: Thinking) -> str:
        """The grammar's expression for the thinking part of an answer, "" when there is none."""
        tags = thinking.tags
        if tags is None or thinking.closed:
            return ""
        part = sequence(lark.until(tags.closing), "( /[ \\n]{1,4}/ )?")
        return part if thinking.opened else f"( {text(tags.opening)} {part} )?"

    def calls(self, lark: Lark, tools: Tools, parallel: bool) -> str:
        """The grammar's expression for one call or, if parallel, several."""
        raise NotImplementedError

    def answer(self, lark: Lark, expression: str) -> str:
        """The grammar's expression for an answer whose content is of this form."""
        return expression

    def triggers(self, tools: Tools) -> Sequence[str]:
        """Regular expressions whose match is the beginning of `calls`."""
        raise NotImplementedError

    def reply(self, lark: Lark) -> str:
        """The grammar's expression for an answer without a call, of formats that are not lazy."""
        raise NotImplementedError
