"""Hostile templates end in a TemplateError, soon, in little memory, and without harm to other threads."""

import resource
import sys
import threading
import time

import pytest
from hostile_templates import HOSTILE

from llamabox.chat import ChatTemplate, TemplateError

MESSAGES = [{"role": "user", "content": "hello"}]
TIME_S = 0.15  # the budget of one rendering here
COMPILE_S = 2.5  # the largest source allowed needs about one second
MEMORY_BYTES = 400 * 2**20  # above the budget's 256 MiB: one value being built when it runs out


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_template_is_refused(name):
    memory, begin = peak_bytes(), time.thread_time()
    messages = [dict(m) for m in MESSAGES]
    with pytest.raises(TemplateError) as error:
        ChatTemplate(HOSTILE[name], time_budget_s=TIME_S).render(messages)
    assert time.thread_time() - begin < TIME_S + COMPILE_S
    assert peak_bytes() - memory < MEMORY_BYTES
    assert messages == MESSAGES
    assert len(str(error.value)) < 1200


def test_others_render_while_a_hostile_template_runs():
    hostile = ChatTemplate(HOSTILE["nested loops"], time_budget_s=TIME_S)
    honest = ChatTemplate("{% for m in messages %}{{ m.role }}:{{ m.content | upper }}{% endfor %}")
    failures = []

    def attack():
        try:
            hostile.render(MESSAGES)
        except TemplateError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=attack) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert [honest.render(MESSAGES) for _ in range(20)] == ["user:HELLO"] * 20
    for thread in threads:
        thread.join()
    assert len(failures) == 3 and all("processor time" in failure for failure in failures)


def test_one_template_renders_in_many_threads():
    template = ChatTemplate(
        "{% set ns = namespace(n=0) %}"
        "{% for m in messages %}{% set ns.n = ns.n + m.content | int %}{% endfor %}"
        "{{ ns.n }}"
    )
    results = {}

    def render(n):
        results[n] = [template.render([{"role": "user", "content": str(n)}] * 20) for _ in range(20)]

    threads = [threading.Thread(target=render, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [str(20 * n)] * 20 for n in range(8)}


def test_output_budget():
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", output_budget=10_000)
    assert template.render([{"role": "user", "content": "x" * 200}] * 2) == "x" * 800
    with pytest.raises(TemplateError, match="10000 characters"):
        template.render([{"role": "user", "content": "x" * 2000}] * 3)


def test_memory_budget():
    template = ChatTemplate("{{ (messages[0].content ~ 'a') | length }}", memory_budget=100_000)
    assert template.render([{"role": "user", "content": "x" * 1000}]) == "1001"
    with pytest.raises(TemplateError, match="100000 bytes"):
        template.render([{"role": "user", "content": "x" * 100_000}])


def test_a_long_conversation_fits_the_budgets():
    """A megabyte in a thousand messages, with the copying that templates do."""
    source = (
        "{% set ns = namespace(kept=[], text='') %}{% for m in messages %}{% set ns.kept = ns.kept + [m] %}"
        "{% set ns.text = ns.text + m.content.split('</think>')[-1] | trim %}{% endfor %}"
        "{% for m in ns.kept %}{{ m.content | tojson }}{% endfor %}{{ ns.text | length }}"
    )
    messages = [{"role": "user", "content": f"{i} " + "word " * 30} for i in range(1000)]
    assert ChatTemplate(source).render(messages).endswith(str(sum(len(m["content"].strip()) for m in messages)))
