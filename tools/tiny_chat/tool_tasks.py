"""Conversations with tools: random schemas, questions and arguments, so that the model has to copy, not remember."""

import json

from grammar import all_words, either, expand, read_phrases, read_words, spliced
from smalltalk import NO_MATH, NO_TIME, NO_WEATHER

_TOOLS = read_phrases("tools.txt")
_WORDS = all_words()
SYLLABLES, ENDINGS, FIRST_WORDS = (read_words(_TOOLS[name]) for name in ("syllables", "endings", "first words"))
ACCENTS = str.maketrans("aouen", "áöüéñ")
LETTERS = "aaabcddeeeefghiiijkllmmnnnoooopqrrrsssttuuvwxyz"


def place_name(rng):
    """A made-up place: one, two or three words, syllables or letters, rarely in lower case or with accents."""
    words = [_place_word(rng) for _ in range(rng.choices((1, 2, 3), (70, 26, 4))[0])]
    if len(words) > 1 and rng.random() < 0.5:
        words[0] = rng.choice(FIRST_WORDS)
    if len(words) == 3 and rng.random() < 0.7:
        words[1] = rng.choice(("de", "del", "la", "of", "am", "on", "do", "la"))
    if len(words) > 1 and rng.random() < 0.2:  # both words begin alike, as in Walla Walla
        words[-1] = words[0][: rng.randint(1, 3)] + words[-1][rng.randint(1, 3) :].lower()
    name = " ".join(words)
    roll = rng.random()
    if roll < 0.06:
        return name.lower()
    if roll < 0.09:
        return "".join(c.translate(ACCENTS) if rng.random() < 0.4 else c for c in name)
    if roll < 0.12:
        return f"{name}, {_place_word(rng)}"
    return name


def _place_word(rng):
    roll = rng.random()
    if roll < 0.3:
        word = spliced(rng, _WORDS)
    elif roll < 0.5:
        word = "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 9)))
    else:
        word = "".join(rng.choice(SYLLABLES) for _ in range(rng.choices((1, 2, 3), (35, 45, 20))[0]))
        word += rng.choice(ENDINGS) if rng.random() < 0.7 or len(word) < 3 else ""
    return word.capitalize()


def _number(rng):
    if rng.random() < 0.05:
        return f"{rng.randrange(100)}.{rng.randrange(1, 10)}"
    if rng.random() < 0.06:
        return f"{rng.randint(1, 999)}{'0' * rng.randint(1, 4)}"
    digits = rng.choices((1, 2, 3, 4, 5, 6), (18, 34, 26, 16, 4, 2))[0]
    return str(rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits))


WORD_OPERATORS = {
    "+": "plus|plus|added to",
    "-": "minus|minus|less",
    "*": "times|times|multiplied by",
    "/": "divided by|divided by|over",
}
VERB_OPERATORS = {  # imperative forms: which operand comes first
    "+": "(add|sum) <A> and <B>|add <A> to <B>|(add|sum up) <A> and <B>|the sum of <A> and <B>",
    "-": "the difference (of|between) <A> and <B>|take <B> (from|away from) <A>|subtract <B> from <A>",
    "*": "multiply <A> (by|and|with) <B>|the product of <A> and <B>",
    "/": "divide <A> by <B>|the quotient of <A> and <B>",
}
KINDS = ("weather", "time", "math")
MISSING = {"weather": NO_WEATHER, "time": NO_TIME, "math": NO_MATH}
DISTRACTORS = (
    ("search_web", "Search the web", "query"),
    ("send_email", "Send an email", "text"),
    ("play_music", "Play a song", "title"),
    ("get_news", "Get the news", "topic"),
    ("translate", "Translate a text", "text"),
    ("read_file", "Read a file", "path"),
)


def _schema(rng, kind):
    """One random tool of `kind` in the OpenAI form; returns (tool, name, parameter, takes a unit)."""
    if kind == "other":
        name, about, param = rng.choice(DISTRACTORS)
        spec, unit = {"type": "string"}, False
    else:
        name = expand(rng, either(read_words(_TOOLS[f"{kind} names"])))
        about = expand(rng, either(_TOOLS[f"{kind} about"]))
        param = expand(rng, either(read_words(_TOOLS[f"{kind} params"])))
        spec = {"type": "string"}
        if rng.random() < 0.5:
            section = "math param about" if kind == "math" else "place param about"
            spec["description"] = expand(rng, either(_TOOLS[section]))
        unit = kind == "weather" and rng.random() < 0.15
    properties = {param: spec}
    if unit:
        properties["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    parameters = {"type": "object", "properties": properties, "required": [param]}
    if rng.random() < 0.1:
        del parameters["required"]
    if rng.random() < 0.08:
        parameters["additionalProperties"] = False
    function = {"name": name, "description": about, "parameters": parameters}
    if rng.random() < 0.08:
        del function["description"]
    if rng.random() < 0.1:
        function = dict(sorted(function.items()))
    tool = {"type": "function", "function": function}
    return (tool if rng.random() < 0.95 else dict(reversed(tool.items()))), name, param, unit


def _ask_math(rng):
    operator = rng.choice("+-*/")
    a = _number(rng)
    b = a if rng.random() < 0.06 else _number(rng)
    if rng.random() < 0.25:
        verb = expand(rng, f"({VERB_OPERATORS[operator]})").replace("<A>", a).replace("<B>", b)
        if verb.startswith("the "):
            text = expand(rng, either(_TOOLS["ask math"])).replace("<E>", verb)
        else:
            text = expand(rng, either(_TOOLS["ask math verb"])).replace("<V>", verb)
        if "add" in verb and " to " in verb:
            a, b = b, a
        return text, f"{a} {operator} {b}"
    expression = f"{a} {operator} {b}"
    if rng.random() < 0.5:
        spoken = f"{a} {expand(rng, '(' + WORD_OPERATORS[operator] + ')')} {b}"
    else:
        if rng.random() < 0.12:
            expression += f" {rng.choice('+-*/')} {_number(rng)}"
        elif rng.random() < 0.08:
            expression = f"({expression}) {rng.choice('+-*/')} {_number(rng)}"
        spoken = expression.replace(" ", "") if rng.random() < 0.12 else expression
    return expand(rng, either(_TOOLS["ask math"])).replace("<E>", spoken), expression


def _ask(rng, kind):
    """A question of `kind` and the argument that it names."""
    if kind == "math":
        return _ask_math(rng)
    place = place_name(rng)
    if kind == "time" and rng.random() < 0.08:
        place = f"{_place_word(rng)}/{_place_word(rng)}"
    return expand(rng, either(_TOOLS[f"ask {kind}"])).replace("<P>", place), place


def _ask_allowed(rng, kind, refuse):
    question, argument = _ask(rng, kind)
    while refuse(argument):
        question, argument = _ask(rng, kind)
    return question, argument


def _finish(rng, text):
    """First letter and final mark of a question; the argument inside stays as it is."""
    if rng.random() < 0.75:
        text = text[:1].upper() + text[1:]
    if rng.random() < 0.8 and text[-1].isalnum():
        text += rng.choice("??.")
    return text


def _result(rng, kind, argument):
    """What a tool might answer, and the sentence that reports it."""
    if rng.random() < 0.12:
        fact = " ".join(_place_word(rng).lower() for _ in range(rng.randint(1, 3)))
        return fact, f"The tool says: {fact}."
    return {"weather": _weather_result, "time": _time_result, "math": _math_result}[kind](rng, argument)


def _weather_result(rng, place):
    degrees, sky = str(rng.randint(-25, 45)), expand(rng, either(_TOOLS["sky"]))
    if rng.random() < 0.3:
        text = rng.choice((f"{degrees} degrees, {sky}", f"{sky}, {degrees} degrees", f"{degrees} C and {sky}"))
    else:
        key = rng.choice(("temperature", "temp", "temperature_c", "degrees"))
        pairs = [(key, rng.choice((int(degrees), degrees)))]
        pairs.append((rng.choice(("condition", "conditions", "sky", "description", "weather")), sky))
        rng.shuffle(pairs)
        text = json.dumps(dict(([("city", place)] if rng.random() < 0.2 else []) + pairs))
    return text, f"In {place} it is {degrees} degrees and {sky}."


def _time_result(rng, place):
    clock = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}"
    plain = rng.random() < 0.4
    text = clock if plain else json.dumps({rng.choice(("time", "local_time", "current_time", "now")): clock})
    return text, f"It is {clock} in {place}."


def _math_result(rng, expression):
    value = _number(rng)
    if rng.random() < 0.15:
        value = "-" + value
    text = value if rng.random() < 0.5 else '{"' + rng.choice(("result", "value", "answer")) + '": ' + value + "}"
    return text, f"{expression} = {value}."


def tool_conversation(rng, chat, refuse, easy=False):
    """One conversation with tools: (messages, tools). `chat(rng)` gives a (question, answer) that needs no tool.

    `refuse(argument)` tells whether an argument belongs to the held-out cases. `easy`: one tool only.
    """
    kinds = rng.sample(KINDS, 1 if easy else rng.choices((1, 2, 3), (20, 20, 60))[0])
    if not easy and rng.random() < 0.08:
        kinds.insert(rng.randrange(len(kinds) + 1), "other")
    schemas = {kind: _schema(rng, kind) for kind in kinds}
    known = [kind for kind in kinds if kind != "other"]
    messages = []
    for _ in range(rng.choices((1, 2, 3, 4, 5), (15, 20, 25, 20, 20))[0]):
        roll = rng.random()
        if roll < 0.13:
            question, answer = chat(rng)
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            continue
        kind = rng.choice(KINDS if roll < 0.2 else known)
        question, argument = _ask_allowed(rng, kind, refuse)
        messages.append({"role": "user", "content": _finish(rng, question)})
        if kind not in schemas:
            messages.append({"role": "assistant", "content": MISSING[kind]})
            continue
        messages += _call(rng, messages[-1], kind, argument, schemas[kind])
    return messages, [schemas[kind][0] for kind in kinds]


def _call(rng, user, kind, argument, schema):
    """The assistant's call for the question in `user` and, mostly, the tool's result and its report."""
    _, name, param, unit = schema
    arguments = {param: argument}
    if unit and rng.random() < 0.5:
        arguments["unit"] = rng.choice(("celsius", "fahrenheit"))
        user["content"] = user["content"].rstrip("?.") + f" in {arguments['unit'].capitalize()}?"
    messages = [{"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}]
    if rng.random() < 0.35:
        text, report = _result(rng, kind, argument)
        messages += [{"role": "tool", "content": text}, {"role": "assistant", "content": report}]
    return messages


def without_tools(rng, refuse):
    """A question that would need a tool when there is none: (question, answer)."""
    kind = rng.choice(KINDS)
    return _finish(rng, _ask_allowed(rng, kind, refuse)[0]), MISSING[kind]


def repeat(rng):
    """ "Repeat: words": the shortest lesson in copying."""
    words = []
    for _ in range(rng.randint(1, 6)):
        words.append(rng.choice((place_name, _number, _place_word))(rng))
    text = " ".join(words)
    return rng.choice(("Repeat: ", "Repeat after me: ", "repeat ", "Say: ", "Echo: ", "Copy this: ")) + text, text
