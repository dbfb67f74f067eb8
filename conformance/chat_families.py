"""How families of models write calls, thoughts and content, and the texts that chat_formats.py tries."""

import json
from collections.abc import Callable
from dataclasses import dataclass

CUTS = 11  # places at which the longest text is cut off

Call = tuple[str, dict]


def tool(name: str, required: list[str], **properties) -> dict:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": f"does {name}", "parameters": schema}}


TOOLS = [
    tool("get_weather", ["city"], city={"type": "string"}, days={"type": "integer"}),
    tool(
        "add",
        ["a", "b"],
        a={"type": "number"},
        b={"type": "number"},
        how={"type": "array", "items": {"type": "string"}},
        options={"type": "object", "properties": {"exact": {"type": "boolean"}}},
    ),
    tool("now", []),
    tool("python", ["code"], code={"type": "string"}),
]
OSLO: Call = ("get_weather", {"city": "Oslo"})
SUM: Call = ("add", {"a": 1, "b": -2.5e3, "how": ["x", "y"], "options": {"exact": True}})
ODD: Call = ("get_weather", {"city": 'Zürich "<b>"\n\\ it\'s {☃}', "days": 3})
NOW: Call = ("now", {})
CODE: Call = ("python", {"code": "def f(x):\n    return {'a': x}\n"})
UNKNOWN: Call = ("forget", {"city": "Oslo"})


# --- how families write ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """call(name, arguments, number) is one call, `begin` + calls joined by `between` + `end` all of them.

    think     around thoughts
    reply     around content
    single    only one call in an answer
    """

    call: Callable[[str, dict, int], str]
    begin: str = ""
    between: str = ""
    end: str = ""
    think: tuple[str, str] | None = None
    reply: tuple[str, str] = ("", "")
    single: bool = False

    def calls(self, *calls: Call) -> str:
        return self.begin + self.between.join(self.call(n, a, i) for i, (n, a) in enumerate(calls)) + self.end

    def content(self, text: str) -> str:
        return text.join(self.reply)


def plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def json_call(form: str) -> Callable[[str, dict, int], str]:
    """NAME, ARGUMENTS and NUMBER stand in the form."""

    def call(name: str, arguments: dict, number: int) -> str:
        written = form.replace("NAME", name).replace("NUMBER", str(number))
        return written.replace("ARGUMENTS", plain(arguments))

    return call


def tagged_call(form: str, argument: str) -> Callable[[str, dict, int], str]:
    """NAME and ARGUMENTS stand in the form, KEY and VALUE in that of an argument."""

    def call(name: str, arguments: dict, number: int) -> str:
        texts = {key: value if isinstance(value, str) else plain(value) for key, value in arguments.items()}
        parts = [argument.replace("KEY", key).replace("VALUE", value) for key, value in texts.items()]
        return form.replace("NAME", name).replace("ARGUMENTS", "".join(parts))

    return call


HERMES = Family(
    json_call('<tool_call>\n{"name": "NAME", "arguments": ARGUMENTS}\n</tool_call>'),
    between="\n",
    think=("<think>\n", "\n</think>\n\n"),
)
QWEN_CODER = Family(
    tagged_call(
        "<tool_call>\n<function=NAME>\nARGUMENTS</function>\n</tool_call>", "<parameter=KEY>\nVALUE\n</parameter>\n"
    ),
    between="\n",
    think=("<think>\n", "\n</think>\n\n"),
)
GLM46 = Family(
    tagged_call("<tool_call>NAME\nARGUMENTS</tool_call>", "<arg_key>KEY</arg_key>\n<arg_value>VALUE</arg_value>\n"),
    between="\n",
    think=("<think>", "</think>\n"),
)
GLM47 = Family(
    tagged_call("<tool_call>NAMEARGUMENTS</tool_call>", "<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>"),
    think=("<think>", "</think>"),
)
R1_CALL = json_call("<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nARGUMENTS\n```<｜tool▁call▁end｜>")
DEEPSEEK_R1 = Family(
    R1_CALL, "<｜tool▁calls▁begin｜>", "\n", "<｜tool▁calls▁end｜>", think=("<think>\n", "\n</think>\n\n")
)
DEEPSEEK_V31 = Family(
    json_call("<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>ARGUMENTS<｜tool▁call▁end｜>"),
    "<｜tool▁calls▁begin｜>",
    "",
    "<｜tool▁calls▁end｜>",
    think=("<think>", "</think>"),
)
KIMI = Family(
    json_call(
        "<|tool_call_begin|>functions.NAME:NUMBER<|tool_call_argument_begin|>ARGUMENTS<|tool_call_end|>",
    ),
    "<|tool_calls_section_begin|>",
    "",
    "<|tool_calls_section_end|>",
    think=("<think>", "</think>"),
)
MISTRAL = Family(
    json_call('{"name": "NAME", "arguments": ARGUMENTS, "id": "abcdef12NUMBER"}'), "[TOOL_CALLS][", ", ", "]"
)
LLAMA3 = Family(json_call('{"name": "NAME", "parameters": ARGUMENTS}'), between="; ", single=True)
FAMILIES: dict[str, Family] = {
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": HERMES,
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": HERMES,
    "Qwen-Qwen2.5-7B-Instruct": HERMES,
    "Qwen-Qwen3-0.6B": HERMES,
    "Qwen-QwQ-32B": HERMES,
    "ibm-granite-granite-4.0": HERMES,
    "Qwen3-Coder": QWEN_CODER,
    "Qwen3.5-4B": QWEN_CODER,
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": QWEN_CODER,
    "GLM-4.6": GLM46,
    "GLM-4.7-Flash": GLM47,
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": DEEPSEEK_R1,
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": DEEPSEEK_R1,
    "llama-cpp-deepseek-r1": DEEPSEEK_R1,
    "deepseek-ai-DeepSeek-V3.1": DEEPSEEK_V31,
    "Kimi-K2-Instruct": KIMI,
    "Kimi-K2-Thinking": KIMI,
    "mistralai-Mistral-Nemo-Instruct-2407": MISTRAL,
    "Mistral-Small-3.2-24B-Instruct-2506": Family(json_call("[TOOL_CALLS]NAME[CALL_ID]abcdef12NUMBER[ARGS]ARGUMENTS")),
    "mistralai-Ministral-3-14B-Reasoning-2512": Family(
        json_call("[TOOL_CALLS]NAME[ARGS]ARGUMENTS"), think=("[THINK]", "[/THINK]")
    ),
    "unsloth-mistral-Devstral-Small-2507": Family(json_call("[TOOL_CALLS]NAME[ARGS]ARGUMENTS")),
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": Family(
        json_call('{"tool_call_id": "NUMBER", "tool_name": "NAME", "parameters": ARGUMENTS}'),
        "<|START_ACTION|>[\n    ",
        ",\n    ",
        "\n]<|END_ACTION|>",
        think=("<|START_THINKING|>", "<|END_THINKING|>"),
        reply=("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ),
    "meetkai-functionary-medium-v3.1": Family(json_call("<function=NAME>ARGUMENTS</function>")),
    "meetkai-functionary-medium-v3.2": Family(json_call("NAME\nARGUMENTS"), between=">>>", reply=("all\n", "")),
    "fireworks-ai-llama-3-firefunction-v2": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'), " functools[", ", ", "]"
    ),
    "meta-llama-Llama-3.1-8B-Instruct": LLAMA3,
    "meta-llama-Llama-3.2-3B-Instruct": LLAMA3,
    "meta-llama-Llama-3.3-70B-Instruct": LLAMA3,
    "ibm-granite-granite-3.3-2B-Instruct": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'),
        "<|tool_call|>[",
        ", ",
        "]",
        think=("<think>", "</think>"),
        reply=("<response>", "</response>"),
    ),
    "openai-gpt-oss-120b": Family(
        json_call("<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>ARGUMENTS"),
        think=("<|channel|>analysis<|message|>", "<|end|><|start|>assistant"),
        reply=("<|channel|>final<|message|>", ""),
        single=True,
    ),
    "MiniMax-M1": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'), "<tool_calls>\n", "\n", "\n</tool_calls>"
    ),
    "MiniMax-M2": Family(
        tagged_call('<invoke name="NAME">\nARGUMENTS</invoke>', '<parameter name="KEY">VALUE</parameter>\n'),
        "<minimax:tool_call>\n",
        "\n",
        "\n</minimax:tool_call>",
        think=("<think>\n", "\n</think>\n\n"),
    ),
    "ByteDance-Seed-OSS": Family(
        tagged_call(
            "<seed:tool_call>\n<function=NAME>\nARGUMENTS</function>\n</seed:tool_call>",
            "<parameter=KEY>VALUE</parameter>\n",
        ),
        between="\n",
        think=("<seed:think>", "</seed:think>\n"),
    ),
    "NVIDIA-Nemotron-Nano-v2": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'),
        "<TOOLCALL>[",
        ", ",
        "]</TOOLCALL>",
        think=("<think>\n", "</think>"),
    ),
    "unsloth-Apriel-1.5": Family(
        json_call('{"name": "NAME", "arguments": ARGUMENTS}'), "<tool_calls>[", ", ", "]</tool_calls>"
    ),
    "HuggingFaceTB-SmolLM3-3B": Family(json_call("NAME ARGUMENTS"), think=("<think>\n", "\n</think>\n")),
    "google-gemma-2-2b-it": Family(json_call("NAME ARGUMENTS")),
}


def texts_of(family: Family, opened: bool) -> dict[str, str]:
    """What a model of the family may write; opened: the prompt has begun its thoughts."""

    def think(thoughts: str) -> str:
        if family.think is None:
            return ""
        start, end = family.think
        return ("" if opened else start) + thoughts + end

    calls, reply = family.calls, family.content
    several = (OSLO,) if family.single else (OSLO, SUM)
    first = "" if not opened else think("hm")
    said = first + (reply("I look.\n") if family.reply[1] == "" else "")
    longest = think("hm, let me see") + calls(*several)
    texts = {
        "content": first + reply("Hello"),
        "space": first + reply("  Hello\n\n"),
        "thoughts and content": think("hm") + reply("Hello"),
        "thoughts with marks": think("<b> if x < 3:\n\n  [y]") + reply("# Hello <3 {"),
        "only thoughts": think("hm"),
        "a call": first + calls(OSLO),
        "all types": first + calls(SUM),
        "odd text": first + calls(ODD),
        "no arguments": first + calls(NOW),
        "code": first + calls(CODE),
        "several calls": first + calls(*several),
        "content and a call": said + calls(OSLO),
        "thoughts and a call": think("hm") + calls(OSLO),
        "an unknown tool": first + calls(UNKNOWN),
        "words after a call": first + calls(OSLO) + "\nbye",
        "a broken call": first + calls(OSLO).replace("Oslo", "Os", 1).replace('"}', "}", 1),
        "a mark alone": first + (calls(OSLO).partition("get_weather")[0] or "{") + "?",
    }
    for i in range(1, CUTS):
        texts[f"cut off {i}"] = longest[: len(longest) * i // CUTS]
    return {name: text for name, text in texts.items() if text}


FEW = ("content", "thoughts and content", "a call", "thoughts and a call")
REQUESTS: dict[str, tuple[dict, tuple[str, ...] | None]] = {  # options and, if not all, the names of the texts
    "tools": ({}, None),
    "one call": ({"parallel_tool_calls": False}, ("a call", "thoughts and a call")),
    "required": ({"tool_choice": "required"}, ("a call", "several calls", "thoughts and a call")),
    "choice none": ({"tool_choice": "none"}, FEW),
    "no tools": ({"tools": []}, FEW),
    "reasoning none": ({"reasoning_format": "none"}, FEW),
    "thinking off": ({"enable_thinking": False}, FEW),
}
