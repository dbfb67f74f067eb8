"""/v1/completions and logprobs of both shapes, through OpenAI's client, on the chat model that ships."""

import openai
import pytest
from tiny_server import tiny_server

PROMPT = "What is the capital of France?"


@pytest.fixture(scope="module")
def sdk():
    with tiny_server() as port:
        yield openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)


def complete(sdk, **fields):
    body = {"model": "x", "prompt": PROMPT, "max_tokens": 8, "temperature": 0, **fields}
    return sdk.completions.create(**body)


def test_legacy_logprobs_belong_to_the_text(sdk):
    choice = complete(sdk, logprobs=3).choices[0]
    told = choice.logprobs
    assert "".join(told.tokens) == choice.text and len(told.tokens) == 8
    assert told.text_offset == [len("".join(told.tokens[:i])) for i in range(8)]
    for token, logprob, top in zip(told.tokens, told.token_logprobs, told.top_logprobs, strict=True):
        assert logprob == max(top.values()) == top[token] <= 0 and len(top) == 3
    assert complete(sdk, logprobs=0).choices[0].logprobs.top_logprobs is None
    assert complete(sdk).choices[0].logprobs is None


def test_a_token_that_is_not_among_the_top_ones_is_told_too(sdk):
    told = complete(sdk, logprobs=1, logit_bias={"300": 100}, max_tokens=1).choices[0].logprobs
    assert len(told.top_logprobs[0]) == 2 and told.tokens[0] in told.top_logprobs[0]
    assert told.token_logprobs[0] < -1, "biases change the choice, not what the model says"


def test_streams_tell_the_same(sdk):
    whole = complete(sdk, logprobs=2, echo=True, stop=["zzz"]).choices[0]
    parts = [chunk.choices[0] for chunk in complete(sdk, logprobs=2, echo=True, stop=["zzz"], stream=True)]
    assert "".join(part.text for part in parts) == whole.text
    for name in ("tokens", "text_offset", "token_logprobs", "top_logprobs"):
        found = [item for part in parts for item in getattr(part.logprobs, name)]
        expected = getattr(whole.logprobs, name)
        if name == "token_logprobs":
            assert found[0] is expected[0] is None and found[1:] == pytest.approx(expected[1:], abs=1e-4)
        elif name == "top_logprobs":
            assert [top and top.keys() for top in found] == [top and top.keys() for top in expected]
        else:
            assert found == expected


def test_tokens_of_a_stop_text_are_not_told(sdk):
    text = complete(sdk).choices[0].text
    for stop in (text[3:6], text[5:7]):
        choice = complete(sdk, logprobs=1, stop=stop).choices[0]
        assert choice.text == text[: text.index(stop)] and choice.finish_reason == "stop"
        told = "".join(choice.logprobs.tokens)
        assert told.startswith(choice.text) and all(o < len(choice.text) for o in choice.logprobs.text_offset)
        streamed = complete(sdk, logprobs=1, stop=stop, stream=True)
        assert [t for c in streamed for t in c.choices[0].logprobs.tokens] == choice.logprobs.tokens


def test_echo_repeats_the_prompt_with_its_logprobs(sdk):
    plain = complete(sdk, echo=True).choices[0].text
    assert plain == PROMPT + complete(sdk).choices[0].text
    scored = complete(sdk, echo=True, logprobs=2, max_tokens=0)
    choice = scored.choices[0]
    assert choice.text == PROMPT and scored.usage.completion_tokens == 0
    told = choice.logprobs
    assert told.token_logprobs[0] is None and told.top_logprobs[0] is None
    assert all(logprob < 0 for logprob in told.token_logprobs[1:]) and len(told.tokens) == scored.usage.prompt_tokens
    for token, offset in zip(told.tokens, told.text_offset, strict=True):
        assert PROMPT[offset:].startswith(token)
    again = complete(sdk, echo=True, logprobs=2, max_tokens=0).choices[0].logprobs.token_logprobs
    assert again[1:] == pytest.approx(told.token_logprobs[1:]), "nothing is left out because it was cached"
    text = complete(sdk, echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in text) == plain


def test_several_prompts_with_several_choices(sdk):
    reply = complete(sdk, prompt=["Hello", PROMPT], n=2, temperature=1.0, seed=3, max_tokens=4)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    alone = [complete(sdk, prompt=p, n=2, temperature=1.0, seed=3, max_tokens=4) for p in ("Hello", PROMPT)]
    assert [c.text for c in reply.choices] == [c.text for part in alone for c in part.choices]
    assert reply.usage.prompt_tokens == sum(part.usage.prompt_tokens for part in alone)
    assert reply.usage.completion_tokens == 16
    ids = complete(sdk, prompt=[[12, 34], [56]], max_tokens=2)
    assert len(ids.choices) == 2 and ids.usage.prompt_tokens == 3


def test_best_of_tells_the_most_probable_ones(sdk):
    fields = {"temperature": 1.5, "seed": 5, "max_tokens": 6, "logit_bias": {}, "logprobs": 0}
    every = complete(sdk, n=5, **fields).choices
    mean = {c.text: sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs) for c in every}
    ranked = sorted(mean, key=mean.get, reverse=True)
    assert len(mean) > 2, "the choices differ"
    best = complete(sdk, n=2, best_of=5, **fields)
    assert [c.text for c in best.choices][0] == ranked[0] and [c.index for c in best.choices] == [0, 1]
    assert best.usage.completion_tokens == 30, "those that are not told count too"
    for bad in ({"best_of": 1, "n": 2}, {"best_of": 2, "stream": True}):
        with pytest.raises(openai.BadRequestError, match="best_of"):
            complete(sdk, **bad)


def test_suffix_needs_tokens_of_the_vocabulary(sdk):
    with pytest.raises(openai.APIStatusError, match="suffix is not supported by this model") as refused:
        complete(sdk, suffix="end")
    assert refused.value.status_code == 501 and refused.value.body["param"] == "suffix"


def test_chat_logprobs(sdk):
    fields = {"model": "x", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 6, "temperature": 0}
    choice = sdk.chat.completions.create(**fields, logprobs=True, top_logprobs=4).choices[0]
    told = choice.logprobs.content
    assert choice.logprobs.refusal is None and "".join(t.token for t in told) == choice.message.content
    assert all(len(t.top_logprobs) == 4 and t.logprob == t.top_logprobs[0].logprob for t in told)
    assert bytes(b for t in told for b in t.bytes).decode() == choice.message.content
    streamed = sdk.chat.completions.create(**fields, logprobs=True, top_logprobs=4, stream=True)
    parts = [t for chunk in streamed if chunk.choices[0].logprobs for t in chunk.choices[0].logprobs.content]
    assert [t.token for t in parts] == [t.token for t in told]
    assert sdk.chat.completions.create(**fields).choices[0].logprobs is None
    only = sdk.chat.completions.create(**fields, logprobs=True).choices[0].logprobs.content
    assert [t.token for t in only] == [t.token for t in told] and only[0].top_logprobs == []
    with pytest.raises(openai.BadRequestError, match="top_logprobs"):
        sdk.chat.completions.create(**fields, top_logprobs=4)
    with pytest.raises(openai.BadRequestError, match="top_logprobs"):
        sdk.chat.completions.create(**fields, logprobs=True, top_logprobs=21)


def test_models_by_openais_client(sdk):
    (model,) = sdk.models.list().data
    assert sdk.models.retrieve(model.id).id == model.id
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("another")
