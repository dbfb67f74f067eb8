import json

import pytest

from llamabox.chat.formats.json_text import MAX_DEPTH, JsonCopy, read_text, to_json
from llamabox.chat.formats.reader import MismatchError, Reader, TextEndError


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, -2.5e3, true, false, null, "\\u00e9\\n\\"", {}], "b": {"c": []}}',
        '{ "a" :\t"x" ,"b":[ ] }',
        '"☃ \\ud83d\\ude00"',
        "12",
    ],
)
def test_json_is_copied_as_it_is(text):
    assert to_json(text) == text


@pytest.mark.parametrize(
    ("python", "value"),
    [
        ("{'a': 'it\\'s \"so\"', 'b': (1)}", None),
        ("{'a': 'it\\'s \"so\"', 'b': True, 'c': [None, False,],}", {"a": 'it\'s "so"', "b": True, "c": [None, False]}),
        ('{"a": "line\nbreak\ttab"}', {"a": "line\nbreak\ttab"}),
        ('"\\d+ \\x"', "\\d+ \\x"),
        ("01", None),
        ("nan", None),
        ("{'a' 1}", None),
        ("[1 2]", None),
        ("{1: 2}", None),
        ("[,]", None),
        ('{"a": 1} x', None),
        ("", None),
    ],
)
def test_python_becomes_json(python, value):
    text = to_json(python)
    assert (None if text is None else json.loads(text)) == value


def broken(text: str) -> str:
    parts: list[str] = []
    copy, reader = JsonCopy(parts.append), Reader()
    reader.feed(text)
    with pytest.raises(MismatchError):
        list(copy.copy(reader))
    return "".join(parts) + copy.completion()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, ?', {"a": 1}),
        ('{"a" ?', {"a": None}),
        ('{"a": ?', {"a": None}),
        ('{"a": [1, {"b": ?', {"a": [1, {"b": None}]}),
        ('[[1], "x" ?', [[1], "x"]),
        ('["\\uzzzz', [""]),
        ('{"k\\uzzzz', {"k": None}),
    ],
)
def test_a_copy_that_breaks_off_can_be_completed(text, value):
    assert json.loads(broken(text)) == value


@pytest.mark.parametrize("text", ['{"a": "b', '{"a": 1, ', "[tru", '"\\', '"\\u00', "["])
def test_the_end_of_the_text_is_told_from_a_mistake(text):
    reader = Reader()
    reader.feed(text)
    reader.end()
    with pytest.raises(TextEndError):
        list(JsonCopy(lambda piece: None).copy(reader))


def test_depth_is_bounded():
    assert to_json("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    assert to_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [('"a\\n\\u00e9\\ud83d\\ude00"', "a\né😀"), ('"\\ud83d x"', "\ufffd x"), ('"\\ud83d"', "\ufffd"), ('""', "")],
)
def test_a_string_is_read_as_what_it_stands_for(text, value):
    parts: list[str] = []
    reader = Reader()
    reader.feed(text)
    list(read_text(reader, parts.append))
    assert "".join(parts) == value
