"""How families of models write tool calls and thoughts: one small file each, found from the template's source."""

from llamabox.chat.formats.apriel import Apriel
from llamabox.chat.formats.base import Format
from llamabox.chat.formats.chatglm4 import ChatGlm4
from llamabox.chat.formats.command_r7b import CommandR7B
from llamabox.chat.formats.deepseek import DeepSeekR1, DeepSeekV31
from llamabox.chat.formats.firefunction import Firefunction
from llamabox.chat.formats.functionary import FunctionaryV31, FunctionaryV32
from llamabox.chat.formats.generic import Generic
from llamabox.chat.formats.glm import Glm, Glm47
from llamabox.chat.formats.gpt_oss import GptOss
from llamabox.chat.formats.granite import Granite
from llamabox.chat.formats.hermes import Hermes
from llamabox.chat.formats.kimi import KimiK2
from llamabox.chat.formats.llama3 import Llama3
from llamabox.chat.formats.minimax import MiniMaxM1, MiniMaxM2
from llamabox.chat.formats.mistral import Magistral, MistralNemo, MistralSmall
from llamabox.chat.formats.nemotron import Nemotron
from llamabox.chat.formats.qwen_coder import QwenCoder
from llamabox.chat.formats.seed import Seed

CONTENT_ONLY = Format()
GENERIC = Generic()
FORMATS: tuple[Format, ...] = (  # the first that knows a template takes it
    GptOss(),
    FunctionaryV32(),
    FunctionaryV31(),
    KimiK2(),
    DeepSeekR1(),
    DeepSeekV31(),
    CommandR7B(),
    MistralSmall(),
    Magistral(),
    MistralNemo(),
    MiniMaxM1(),
    Apriel(),
    Nemotron(),
    MiniMaxM2(),
    Seed(),
    Glm47(),
    Glm(),
    ChatGlm4(),
    QwenCoder(),
    Firefunction(),
    Granite(),
    Llama3(),
    Hermes(),
)


def find_format(source: str) -> Format | None:
    """The format of a template, None when it is none of these."""
    return next((format for format in FORMATS if format.knows(source)), None)


__all__ = ["CONTENT_ONLY", "FORMATS", "GENERIC", "Format", "find_format"]
