"""Constrained requests through the engine: what comes out is a sentence, and nothing else is disturbed."""

import re

import pytest
from engine_fakes import END, FakeModel, FakeTokenizer

from llamabox.engine import (
    Engine,
    EngineOptions,
    FinishEvent,
    GenerationRequest,
    Grammar,
    RequestError,
    SamplingParams,
    ThinkingBudget,
    Trigger,
)

GREEDY = SamplingParams(temperature=0)


def run(grammar=None, sampling=GREEDY, engine=None, prompt=(5, 6, 7), **options):
    """(text, tokens, last event) of one request."""
    engine = engine or Engine(FakeModel(), FakeTokenizer(), EngineOptions(n_ctx=512))
    generation = engine.submit(GenerationRequest(prompt, sampling, grammar=grammar, **{"n_predict": 60, **options}))
    text, tokens = "", []
    while not isinstance(event := generation.next_event(0), FinishEvent):
        if event is None:
            engine.step()
        else:
            text, tokens = text + event.text, tokens + list(event.tokens)
    return text, tokens, event


def gbnf(source, *patterns):
    return Grammar("gbnf", source, tuple(Trigger(p) for p in patterns))


@pytest.mark.parametrize("sampling", [GREEDY, SamplingParams(seed=1), SamplingParams(seed=2, mirostat=2),
                                      SamplingParams(seed=3, top_k=0, min_p=0, repeat_penalty=1.2)])  # fmt: skip
def test_the_answer_is_a_sentence_and_ends_where_nothing_can_follow(sampling):
    text, tokens, last = run(gbnf('root ::= ("ab" | "cd"){3} [xyz]'), sampling)
    assert re.fullmatch("(ab|cd){3}[xyz]", text) and last.reason == "eos"
    assert len(tokens) == 7 and END not in tokens


def test_the_end_token_is_allowed_exactly_where_the_grammar_may_end():
    favoured = SamplingParams(temperature=0, logit_bias=((END, 1000.0),))
    assert run(gbnf('root ::= "abc" "d"*'), favoured)[0] == "abc"
    assert run(gbnf('root ::= "abc" "d"*'), favoured)[2].n_predicted == 4


def test_ignore_eos_goes_on_until_the_grammar_is_over():
    favoured = SamplingParams(temperature=0, logit_bias=((END, 1000.0),))
    text, _, last = run(gbnf('root ::= "abc" "d"{0,3}'), favoured, ignore_eos=True)
    assert text == "abcddd" and last.reason == "eos"


def test_a_grammar_of_the_empty_text_ends_at_once():
    text, tokens, last = run(gbnf("root ::= "))
    assert (text, tokens, last.reason) == ("", [], "eos")


def test_n_predict_and_stop_texts_count_as_ever():
    assert run(gbnf('root ::= "a"{9}'), n_predict=4)[2].reason == "limit"
    text, _, last = run(gbnf('root ::= "abcdef"'), stop=("cd",))
    assert (text, last.reason, last.stopping_word) == ("ab", "word", "cd")


def test_all_that_the_grammar_allows_is_banned():
    banned = SamplingParams(temperature=0, logit_bias=tuple((id, float("-inf")) for id in range(300) if id % 26 == 0))
    engine = Engine(FakeModel(), FakeTokenizer(), EngineOptions(n_ctx=512))
    with pytest.raises(RuntimeError, match="excludes all"):
        run(gbnf('root ::= "a"'), banned, engine)
    assert run(gbnf('root ::= "b"'), GREEDY, engine)[0] == "b"  # others go on


def test_a_lazy_grammar_begins_with_the_match_of_its_trigger():
    free, _, _ = run()
    assert not re.search("q", free[:5])
    word = free[8:10]
    text, _, last = run(gbnf(f'root ::= "{word}" [x]{{5}}', re.escape(word)))
    at = free.index(word)
    assert text == free[: at + 2] + "xxxxx" and last.reason == "eos"


def test_a_trigger_whose_text_cannot_begin_a_sentence_changes_nothing():
    free, _, _ = run()
    assert run(gbnf('root ::= "0"', re.escape(free[3:5])))[0] == free


@pytest.mark.parametrize(
    ("grammar", "field", "what"),
    [
        (gbnf("root ::= nothing"), "grammar", "nothing"),
        (Grammar("lark", "start: ("), "grammar", "cannot be compiled"),
        (Grammar("json_schema", "[]"), "json_schema", "expected a JSON schema"),
        (Grammar("json_schema", '{"type": "x"}'), "json_schema", "'x'"),
        (gbnf('root ::= "a"', "("), "grammar", "regular expression"),
    ],
)
def test_a_grammar_that_cannot_be_built_is_refused(grammar, field, what):
    engine = Engine(FakeModel(), FakeTokenizer(), EngineOptions(n_ctx=512))
    with pytest.raises(RequestError, match=what) as error:
        engine.submit(GenerationRequest((1,), grammar=grammar))
    assert error.value.param == field


def test_a_model_without_a_vocabulary_refuses_grammars():
    engine = Engine(FakeModel(), None, EngineOptions(n_ctx=512))
    with pytest.raises(RequestError, match="vocabulary"):
        engine.submit(GenerationRequest((1,), grammar=gbnf('root ::= "a"')))


def test_constrained_and_free_requests_run_side_by_side():
    free, _, _ = run()
    engine = Engine(FakeModel(), FakeTokenizer(), EngineOptions(n_ctx=2048, n_parallel=4))
    grammar = gbnf('root ::= ("ab" | "cd"){20}')
    wanted, _, _ = run(grammar)
    jobs = [
        engine.submit(GenerationRequest((5, 6, 7), GREEDY, n_predict=60, grammar=g))
        for g in (grammar, None, grammar, None)
    ]
    while engine.step():
        pass
    texts = ["".join(e.text for e in job if not isinstance(e, FinishEvent)) for job in jobs]
    assert texts == [wanted, free, wanted, free]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_thinking_part_ends_after_its_budget(n):
    free, _, _ = run()
    budget = ThinkingBudget("<", "zzz", n, open=True, message="stop")
    text, _, _ = run(reasoning_budget=budget)
    assert text[: n + 7] == free[:n] + "stopzzz" and len(text) == 60


def test_a_thinking_part_that_ends_by_itself_is_left_alone():
    free, _, _ = run()
    end = free[6:8]
    n = free.index(end) + 2
    assert run(reasoning_budget=ThinkingBudget("<", end, n, open=True))[0] == free


def test_a_thinking_part_that_the_answer_opens_is_counted():
    free, _, _ = run()
    start = free[4:6]
    at = free.index(start) + 2
    text, _, _ = run(reasoning_budget=ThinkingBudget(start, "qqq", 3, open=False))
    assert text[: at + 6] == free[: at + 3] + "qqq"


def test_triggers_do_not_count_inside_a_thinking_part():
    free, _, _ = run()
    inside = free[1:3]
    grammar = gbnf(f'root ::= "{inside}" [x]{{3}}', re.escape(inside))
    assert run(grammar, n_predict=8)[0].startswith(free[: free.index(inside)] + inside + "xxx")
    text, _, _ = run(grammar, n_predict=8, reasoning_budget=ThinkingBudget("<", "qq", 50, open=True))
    assert text == free[:8]


def test_the_end_of_a_thinking_part_may_be_a_trigger():
    grammar = gbnf('root ::= "qq" [x]{3}', "qq")
    text, _, last = run(grammar, reasoning_budget=ThinkingBudget("<", "qq", 2, open=True))
    assert text[2:] == "qqxxx" and last.reason == "eos"
