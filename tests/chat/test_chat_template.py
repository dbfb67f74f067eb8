"""ChatTemplate: what Hugging Face's templates rely on, and the errors."""

import json
from datetime import datetime

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llamabox.chat import ChatTemplate, TemplateError
from llamabox.chat.sandbox import GenerationBlock


def render(source: str, messages=(), **options) -> str:
    return ChatTemplate(source, "<s>", "</s>").render(messages, **options)


FEATURES = [
    ("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools }}", "<s></s>TrueNone"),
    ("  {% if true %}\n x\n  {% endif %}\ny", " x\ny"),  # trim_blocks, lstrip_blocks
    ("a\n", "a"),
    ("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}"
     "{% endfor %}", "023"),
    ("{% generation %}a{{ 1 }}{% endgeneration %}b", "a1b"),
    ("{{ {'b': 'é<', 'a': [1, 2.5, none, true]} | tojson }}", '{"b": "é<", "a": [1, 2.5, null, true]}'),
    ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}", '{"a":2,"b":1}'),
    ("{{ [1, [2]] | tojson(indent=2) }}", "[\n  1,\n  [\n    2\n  ]\n]"),
    ("{{ 'é' | tojson(ensure_ascii=true) }}", '"\\u00e9"'),
    ("{% set ns = namespace(n=1) %}{% for i in range(3) %}{% set ns.n = ns.n * 2 %}{% endfor %}{{ ns.n }}", "8"),
    ("{% macro f(a, b=2) %}{{ a }}{{ b }}{{ kwargs.c }}{% endmacro %}{{ f(1, c=3) }}", "123"),
    ("{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}x{% endcall %}", "<x>"),
    ("{% set x %}a{{ 1 }}{% endset %}{{ x }}{{ x | length }}", "a12"),
    ("{% set x | upper %}a{% endset %}{{ x }}", "A"),
    ("{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB"),
    ("{% for x in [[1, [2, 3]]] recursive %}{{ loop(x) if x is iterable else x }};{% endfor %}", "1;2;3;;;"),
    ("{% for k, v in {'a': 1}.items() %}{{ loop.index }}{{ loop.last }}{{ loop.length }}{{ k }}{{ v }}{% endfor %}",
     "1True1a1"),
    ("{% for x in [1, 2, 3] if x != 2 %}{{ x }}{{ loop.nextitem }}{% else %}none{% endfor %}", "133"),
    ("{% for x in [] %}{% else %}none{% endfor %}", "none"),
    ("{{ '%s-%03d' % ('a', 7) }}{{ '%(x)s' % {'x': 1} }}{{ '%5.1f' | format(2.25) }}", "a-0071  2.2"),
    ("{{ '{}-{a:>3}'.format(1, a=2) }}{{ '{x}'.format_map({'x': 3}) }}", "1-  23"),
    ("{{ ' x '.strip() }}{{ 'a,b'.split(',') }}{{ 'a,b,c'.rsplit(',', 1)[0] }}", "x['a', 'b']a,b"),
    ("{{ ', '.join(['a', 'b']) }}{{ [1, 2] | join('-') }}{{ [{'n': 1}] | map(attribute='n') | join }}", "a, b1-21"),
    ("{{ [3, 1, 2] | sort | list }}{{ [1, 1, 2] | unique | list }}{{ 'abc' | reverse }}", "[1, 2, 3][1, 2]cba"),
    ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "0"),
    ("{{ [1, 2, 3][1:] }}{{ 'abc'[::-1] }}{{ (1, 2) + (3,) }}{{ [0] * 3 }}", "[2, 3]cba(1, 2, 3)[0, 0, 0]"),
    ("{{ 7 // 2 }}{{ 7 % 4 }}{{ 2 ** 10 }}{{ -3 }}{{ 1 / 2 }}{{ 5 - 2 }}", "331024-30.53"),
    ("{{ 1 < 2 < 3 }}{{ 'a' in 'abc' }}{{ 1 not in [2] }}{{ [1] == [1] }}", "TrueTrueTrueTrue"),
    ("{{ 'a' ~ 1 ~ none }}{{ x is defined }}{{ x | default('d') }}{{ none | default('e', true) }}", "a1NoneFalsede"),
    ("{{ 'x' | indent(2, true) }}{{ 'a\nb' | indent }}{{ 'x' | center(3) }}|", "  xa\n    b x |"),
    ("{{ dict(a=1) }}{{ dict([('b', 2)]) }}{{ {'a': {'b': 3}}.a.b }}{{ {'a': 1}.get('x', 4) }}", "{'a': 1}{'b': 2}34"),
    ("{{ '<b>' | safe }}{{ '<b>' | e }}{{ '<' }}", "<b>&lt;b&gt;<"),
    ("{% block a %}x{% endblock %}{{ self.a() }}", "xx"),
    ("{% raw %}{{ x }}{% endraw %}{# comment #}", "{{ x }}"),
    ("{{ messages.items }}{{ {'items': 1}['items'] }}", "1"),
    ("{{ [1, 2] | batch(2) | list }}{{ [1, 2] | slice(2) | list }}", "[[1, 2]][[1], [2]]"),
    ("{{ [1, 2] | sum }}{{ [[1], [2]] | sum(start=[]) }}{{ 2.55 | round(1) }}", "3[1, 2]2.5"),
    ("{{ {'b': 1, 'a': 2} | dictsort }}{{ {'a': 1} | items | list }}", "[('a', 2), ('b', 1)][('a', 1)]"),
    ("{{ [{'k': 1}, {'k': 2}] | groupby('k') | length }}{{ [3, 1] | min }}{{ [3, 1] | max }}", "213"),
    ("{{ 'a b' | title }}{{ 'ab c' | wordcount }}{{ 'abcdefghijkl' | truncate(5, true, '.', 0) }}", "A B2abcd."),
    ("{% set j = joiner(',') %}{{ j() }}1{{ j() }}2{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}", "1,212"),
]  # fmt: skip

MUTATION = "{% set l = [] %}{% set _ = l.append(1) %}{% set _ = l.append(2) %}{{ l.pop(0) }}{{ l }}"


@pytest.mark.parametrize("source, expected", FEATURES)
def test_features(source, expected):
    """As written here, and as plain Jinja renders it with Hugging Face's settings."""
    assert render(source) == expected
    plain = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, "jinja2.ext.loopcontrols"]
    )
    plain.filters["tojson"] = lambda x, ensure_ascii=False, **options: json.dumps(
        x, ensure_ascii=ensure_ascii, **options
    )
    variables = {"bos_token": "<s>", "eos_token": "</s>", "messages": [], "tools": None, "add_generation_prompt": True}
    assert plain.from_string(source).render(variables) == expected


def test_a_template_may_change_lists_of_its_own():
    """As llama.cpp's engine lets it; Hugging Face's does not."""
    assert render(MUTATION) == "1[2]"
    assert render("{% set l = 'a,b'.split(',') + ['c'] %}{{ l.pop() }}{{ l.pop() }}{{ l }}") == "cb['a']"
    with pytest.raises(TemplateError, match="changes a list that it did not make"):
        render("{{ messages[0].calls.append(1) }}", [{"calls": []}])


def test_strftime_now():
    assert render("{{ strftime_now('%d %b %Y') }}", now=datetime(2025, 2, 3)) == "03 Feb 2025"
    assert render("{{ strftime_now('%-d %B') }}", now=datetime(2025, 2, 3)) == "3 February"
    assert render("{{ strftime_now('%Y') }}") == str(datetime.now().year)


def test_variables():
    messages = [{"role": "user", "content": "hi"}]
    source = "{{ messages[0].content }}{{ tools[0].name }}{{ add_generation_prompt }}{{ thinking }}{{ documents }}"
    got = render(source, messages, tools=[{"name": "t"}], add_generation_prompt=False, extra={"thinking": "x"})
    assert got == "hitFalsexNone"


def test_extra_does_not_replace_the_conversation():
    assert render("{{ messages | length }}", extra={"messages": [1, 2]}) == "0"


@pytest.mark.parametrize(
    "source, message",
    [
        ("{{ raise_exception('roles must alternate') }}", "refuses the conversation: roles must alternate"),
        ("a\nb\n{{ x.y }}", "fails at line 3: 'x' is undefined"),
        ("a\n{% for %}", "does not compile at line 2"),
        ("{{ 1 + '1' }}", "TypeError"),
        ("{% macro f() %}\n{{ 1 / 0 }}{% endmacro %}\n{{ f() }}", "at line 2: ZeroDivisionError"),
        ("{{ ''.__class__.x }}", "unsafe"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
    ],
)
def test_errors(source, message):
    with pytest.raises(TemplateError) as error:
        render(source)
    assert message in str(error.value) and isinstance(error.value, ValueError)


def deep(n):
    value = "x"
    for _ in range(n):
        value = [value]
    return value


@pytest.mark.parametrize(
    "content, message",
    [
        (b"x", r"messages\[0\].content is a bytes"),
        ({1: 2}, r"messages\[0\].content: a key is of type int"),
        (object(), r"messages\[0\].content is a object"),
        (deep(200), "messages is nested deeper than 100"),
    ],
)
def test_only_json_values_reach_a_template(content, message):
    with pytest.raises(TemplateError, match=message):
        render("{{ messages }}", [{"role": "user", "content": content}])


def test_a_template_is_compiled_once_and_keeps_no_state():
    template = ChatTemplate("{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{{ messages | length }}")
    assert [template.render([{"role": "user"}] * n) for n in (1, 2, 3)] == ["11", "12", "13"]
