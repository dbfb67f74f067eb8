"""Conversations with tools: random schemas, questions and arguments, so that the model has to copy, not remember."""

import json
import random

from grammar import expand
from smalltalk import NO_MATH, NO_TIME, NO_WEATHER

SYLLABLES = (
    "ab ad al am an ar as ba bar bel ben ber bo bor bra bri bu cal can car cas cha chi co cor cu da dal dar de del den di do dor dra du dun ed el en er es fa fer fi flo fo fra ga gal gar ge gen gla go gra gre gu ha ham har he hel hi ho hu in ir is ja jo ka kal kan kar ke ken ki ko kra ku la lan lar le len li lin lo lon lu ma mal man mar me mel men mi min mo mon mor mu na nan nar ne ni no nor nu ol on or os pa pal par pe pen per pi po por pra pu qui ra ram ran re ri rin ro ros ru sa sal san sar se sen sha shi si so sta ste stra su ta tal tan tar te ten ter ti to tor tra tri tu ul un ur va val van var ve ven ver vi vo wa wal war we wi wo ya yo za zan ze zo zu"
).split()
ENDINGS = "ton ville burg berg ford ham stad dorf grad abad pur port mouth field bridge sk ia o a i es as on en in um ar or al el is us ki ko ka na ma ra ta sa za hi ji ang eng ing ong ai au ei".split()
FIRST_WORDS = "New San Santa Port Fort Saint El La Los Las North South East West Upper Old Great Lake Mount Rio Sao Kota Ciudad Villa Al Bad Den Nizhny Ulan Hong Tel Cape Grand Little Long".split()
LETTERS = "aaabcddeeeefghiiijkllmmnnnoooopqrrrsssttuuvwxyz"


def place_name(rng):
    """A made-up place: one, two or three words, syllables or letters, rarely in lower case or with accents."""
    words = [_place_word(rng) for _ in range(rng.choices((1, 2, 3), (70, 26, 4))[0])]
    if len(words) > 1 and rng.random() < 0.5:
        words[0] = rng.choice(FIRST_WORDS)
    if len(words) == 3 and rng.random() < 0.7:
        words[1] = rng.choice(("de", "del", "la", "of", "am", "on", "do", "la"))
    name = " ".join(words)
    roll = rng.random()
    if roll < 0.06:
        return name.lower()
    if roll < 0.09:
        return "".join({"a": "á", "o": "ö", "u": "ü", "e": "é", "n": "ñ"}.get(c, c) if rng.random() < 0.4 else c for c in name)
    if roll < 0.12:
        return f"{name}, {_place_word(rng)}"
    return name


def _place_word(rng):
    if rng.random() < 0.3:
        word = "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 9)))
    else:
        word = "".join(rng.choice(SYLLABLES) for _ in range(rng.choices((1, 2, 3), (35, 45, 20))[0]))
        word += rng.choice(ENDINGS) if rng.random() < 0.7 or len(word) < 3 else ""
    return word.capitalize()


def _number(rng):
    if rng.random() < 0.05:
        return f"{rng.randrange(100)}.{rng.randrange(1, 10)}"
    digits = rng.choices((1, 2, 3, 4, 5, 6), (18, 34, 26, 16, 4, 2))[0]
    return str(rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits))


WORD_OPERATORS = {"+": "plus|plus|added to", "-": "minus|minus|less", "*": "times|times|multiplied by", "/": "divided by|divided by|over"}
VERB_OPERATORS = {  # imperative forms: which operand comes first
    "+": "(add|sum) <A> and <B>|add <A> to <B>|(add|sum up) <A> and <B>|the sum of <A> and <B>",
    "-": "the difference (of|between) <A> and <B>|take <B> (from|away from) <A>|subtract <B> from <A>",
    "*": "multiply <A> (by|and|with) <B>|the product of <A> and <B>",
    "/": "divide <A> by <B>|the quotient of <A> and <B>",
}
ASK_MATH = (
    "what is <E>|what's <E>|how much is <E>|(calculate|compute|evaluate|solve|work out) <E>|(please|) (calculate|compute|work out) <E> (for me|)|(can|could) you (calculate|compute|work out|tell me) <E>|what does <E> (give|make|equal)"
    "|tell me (the result of|what is|) <E>|<E>|<E> (equals|is what|=)|I need (the result of|to know) <E>|what do (I|you|we) get (for|from|with) <E>|the result of <E> (please|)|(do you know|give me) <E>|use the (calculator|tool) for <E>|how (many|much) (is|are|makes) <E>|find <E>|what would <E> be"
)
ASK_VERB = "<V>|(please|can you|could you|I want you to) <V>|what (is|do you get if you|do I get when I|do we get if we|happens if I) <V>|<V> (for me|please)|how much is it if I <V>|I need to <V>"
ASK_WEATHER = (
    "(what is|what's|how is|how's|tell me|check|look up|give me|get|find out|show me) the (weather|forecast|temperature|weather report|current weather|weather forecast) (in|for|at|around) <P> (today|now|right now|this morning|tonight|tomorrow|please|outside|)|what is the weather like in <P> (today|now|right now|at the moment|)"
    "|(what will|how will) the weather be (like|) in <P> (today|tomorrow|)|(is it|will it be|is it going to be) (raining|sunny|cold|warm|hot|windy|cloudy|snowing|dry|foggy|nice|wet|freezing|stormy|humid|mild) in <P> (today|now|right now|tomorrow|at the moment|)|(does|will) it (rain|snow|freeze|storm) in <P> (today|tomorrow|now|tonight|)"
    "|how (warm|cold|hot|windy|wet|chilly) is it in <P> (now|today|right now|)|weather (in|for|at|of|) <P> (today|please|now|)|<P> weather (today|please|now|)|do I need (an umbrella|a coat|a jacket|sunglasses|a hat|gloves) (in|for) <P> (today|tomorrow|)|(I'm|I am|we are) (in|going to|travelling to|flying to|driving to|visiting) <P> (today|tomorrow|), (what|how) is the weather (there|like|like there)"
    "|(can|could|would) you (please|) (check|tell me|look up|get|find|give me) the (weather|forecast|temperature) (in|for|at) <P>|(please|) (check|look up|get|tell me) the (weather|forecast) (in|for) <P>|I (want|need) (to know|) the (weather|forecast) (in|for) <P>|what (kind of weather|temperature|weather) (is it|do they have|does it have|is there) in <P>|should I (take|bring|wear) (an umbrella|a coat|a jacket|a scarf) in <P>"
    "|(what about|and in|and) the weather in <P>|(any|) (rain|snow|sun|sunshine|storm) in <P> (today|)|(how many|what) degrees (is it|are there) in <P>|is the (weather|sky) (nice|good|bad|clear|grey) in <P>"
)
ASK_TIME = (
    "what time is it (now|right now|currently|at the moment|) in <P> (now|right now|please|at the moment|)|(what is|what's) the (time|current time|local time|exact time) (in|at) <P> (now|right now|please|)|(tell|give|show) me the (time|current time|local time) (in|for|at) <P> (now|please|)"
    "|(can|could|would) you (please|) (tell me|check|look up|find out|say) (what time it is|the time|the current time|the local time) in <P>|(current|local|the) time (in|at|for) <P> (please|now|)|time (in|at) <P> (please|now|)|<P> time (please|now|)|how late is it in <P> (now|right now|)|do you know (the time|what time it is) in <P> (now|right now|)"
    "|(I need|I want|I would like) (to know|) the (time|current time|local time) in <P>|what (hour|time of day) is it in <P>|(is it|are they) (late|early|morning|night|noon|evening|already night|asleep|awake) (now|already|) in <P>, what time is it (there|)|(what does|what do) the (clock|clocks) (say|show) in <P>|(please|) (check|look up|get|find) the (time|current time|local time) (in|for) <P>"
    "|(I'm|I am) (calling|meeting|phoning|writing) (someone|a friend|a customer) in <P>, what time is it there|(what about|and) the time in <P>|is it (late|early|morning|night|day) in <P>|when it is noon here, what time is it in <P>|what is the clock in <P>"
)

KINDS = {
    "weather": dict(
        names="get_weather|get_weather|get_weather|get_current_weather|get_current_weather|weather|fetch_weather|weather_lookup|getWeather|current_weather|check_weather|get_forecast|weather_report",
        params="city|city|location|location|location|place|city_name|town|q",
        about="Get the (current|) weather (in|for|of) a (city|location|given location|place|given city).|(Returns|Look up|Fetch|Find) the (weather|current weather|forecast|weather report) (of|for|in) a (city|place|location)|Get (the|current) weather|Weather (information|report|data) for a (city|place)|Gets the weather",
        asks=ASK_WEATHER, missing=NO_WEATHER,
    ),
    "time": dict(
        names="get_time|get_time|get_time|get_current_time|get_current_time|time|current_time|clock|getTime|time_lookup|get_local_time|world_clock",
        params="city|city|location|location|place|timezone|city_name|zone",
        about="Get the (current|local|) time (in|for|of) a (city|location|given location|place|time zone|given city).|(Returns|Look up|Tell) the (time|current time|local time) (of|for|in) a (city|place|location)|Get (the|current) time|(World clock|Local time) for a (city|place)|Gets the time",
        asks=ASK_TIME, missing=NO_TIME,
    ),
    "math": dict(
        names="calculate|calculate|calculate|calculator|calculator|evaluate|compute|math|arithmetic|calc|do_math|evaluate_expression",
        params="expression|expression|expression|expression|expr|formula|input|query",
        about="(Evaluate|Calculate|Compute) (an|a) (arithmetic|math|mathematical|simple) expression.|(Evaluate|Calculate) a (math|) expression|Do (arithmetic|maths|calculations|math)|(A|Simple) calculator|Calculate|Returns the result of a (calculation|formula)|Compute a result",
        asks=None, missing=NO_MATH,
    ),
}  # fmt: skip
ABOUT_PARAM = {
    "weather": "The (city|place|location)|(City|Place) name|Name of the (city|place|town)|The (city|town) (name|), (e.g. Springfield|for example Springfield)|The city name|Where|The location to look up|The name of the city",
    "math": "The expression|(A|The) (math|arithmetic) expression|Expression to evaluate|The expression to (evaluate|compute)|for example 1 + 1|The formula",
}
ABOUT_PARAM["time"] = ABOUT_PARAM["weather"]
DISTRACTORS = ("search_web|Search the web|query", "send_email|Send an email|text", "play_music|Play a song|title", "get_news|Get the news|topic", "translate|Translate a text|text", "read_file|Read a file|path")


def _schema(rng, kind):
    """One random tool of `kind` in the OpenAI form; returns (tool, name, parameter, takes a unit)."""
    if kind == "other":
        name, about, param = rng.choice(DISTRACTORS).split("|")
        spec, unit = {"type": "string"}, False
    else:
        row = KINDS[kind]
        name, about, param = (expand(rng, f"({row[key]})") for key in ("names", "about", "params"))
        spec = {"type": "string"}
        if rng.random() < 0.5:
            spec["description"] = expand(rng, f"({ABOUT_PARAM[kind]})")
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
    a, b = _number(rng), _number(rng)
    if rng.random() < 0.25:
        verb = expand(rng, f"({VERB_OPERATORS[operator]})").replace("<A>", a).replace("<B>", b)
        if verb.startswith("the "):
            text = expand(rng, f"({ASK_MATH})").replace("<E>", verb)
        else:
            text = expand(rng, f"({ASK_VERB})").replace("<V>", verb)
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
    return expand(rng, f"({ASK_MATH})").replace("<E>", spoken), expression


def _ask(rng, kind):
    """A question of `kind` and the argument that it names."""
    if kind == "math":
        return _ask_math(rng)
    place = place_name(rng)
    if kind == "time" and rng.random() < 0.08:
        place = f"{_place_word(rng)}/{_place_word(rng)}"
    return expand(rng, f"({KINDS[kind]['asks']})").replace("<P>", place), place


def _finish(rng, text):
    """First letter and final mark of a question; the argument inside stays as it is."""
    if rng.random() < 0.75:
        text = text[:1].upper() + text[1:]
    if rng.random() < 0.8 and text[-1].isalnum():
        text += rng.choice("??.")
    return text


SKY = "sunny|cloudy|rainy|windy|foggy|snowy|clear|stormy|overcast|dry|light rain|partly cloudy|heavy snow"


def _result(rng, kind, argument):
    """What a tool might answer, and the sentence that reports it."""
    if rng.random() < 0.12:
        fact = " ".join(_place_word(rng).lower() for _ in range(rng.randint(1, 3)))
        return fact, f"The tool says: {fact}."
    if kind == "weather":
        degrees, sky = str(rng.randint(-25, 45)), expand(rng, f"({SKY})")
        if rng.random() < 0.3:
            text = rng.choice((f"{degrees} degrees, {sky}", f"{sky}, {degrees} degrees", f"{degrees} C and {sky}"))
        else:
            pairs = [(rng.choice(("temperature", "temp", "temperature_c", "degrees")), rng.choice((int(degrees), degrees))), (rng.choice(("condition", "conditions", "sky", "description", "weather")), sky)]
            rng.shuffle(pairs)
            text = json.dumps(dict(([("city", argument)] if rng.random() < 0.2 else []) + pairs))
        return text, f"In {argument} it is {degrees} degrees and {sky}."
    if kind == "time":
        clock = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}"
        return (clock if rng.random() < 0.4 else json.dumps({rng.choice(("time", "local_time", "current_time", "now")): clock})), f"It is {clock} in {argument}."
    value = _number(rng)
    if rng.random() < 0.15:
        value = "-" + value
    text = value if rng.random() < 0.5 else '{"' + rng.choice(("result", "value", "answer")) + '": ' + value + "}"
    return text, f"{argument} = {value}."


def tool_conversation(rng, chat, refuse, easy=False):
    """One conversation with tools: (messages, tools). `chat(rng)` gives a (question, answer) that needs no tool.

    `refuse(argument)` tells whether an argument belongs to the held-out cases. `easy`: one tool, one or two turns.
    """
    kinds = rng.sample(("weather", "time", "math"), 1 if easy else rng.choices((1, 2, 3), (20, 20, 60))[0])
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
        kind = rng.choice(("weather", "time", "math") if roll < 0.2 else known)
        question, argument = _ask(rng, kind)
        while refuse(argument):
            question, argument = _ask(rng, kind)
        messages.append({"role": "user", "content": _finish(rng, question)})
        if kind not in schemas:
            messages.append({"role": "assistant", "content": KINDS[kind]["missing"]})
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


def without_tools(rng):
    """A question that would need a tool when there is none: (question, answer)."""
    kind = rng.choice(tuple(KINDS))
    return _finish(rng, _ask(rng, kind)[0]), KINDS[kind]["missing"]


def repeat(rng):
    """"Repeat: words": the shortest lesson in copying."""
    words = []
    for _ in range(rng.randint(1, 6)):
        words.append(rng.choice((place_name, _number, _place_word))(rng))
    text = " ".join(words)
    return rng.choice(("Repeat: ", "Repeat after me: ", "repeat ", "Say: ", "Echo: ", "Copy this: ")) + text, text


if __name__ == "__main__":
    rng = random.Random(0)
    for _ in range(3):
        print(json.dumps(tool_conversation(rng, repeat, lambda argument: False), indent=1, ensure_ascii=False))
