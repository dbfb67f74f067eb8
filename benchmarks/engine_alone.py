"""The engine without HTTP: N chats submitted at once, and how fast all of them are answered.

python benchmarks/engine_alone.py FILE --prompt TEXT --streams 32 --tokens 64 --threads 2
"""

import argparse
import json
import time

import llamabox
from llamabox.chat import build_prompt, resolve_template
from llamabox.engine import Engine, EngineOptions, GenerationRequest, SamplingParams


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    model = llamabox.load(arguments.file, threads=arguments.threads)
    template = resolve_template(None, model.model.file.metadata, model.tokenizer)
    options = EngineOptions(n_ctx=256 * arguments.streams, n_parallel=arguments.streams)
    engine = Engine(model.model, model.tokenizer, options)
    engine.warm_up()
    engine.start()
    requests = [request(template, model.tokenizer, arguments, i) for i in range(arguments.streams)]
    began, cpu = time.monotonic(), time.process_time()
    generations = [engine.submit(r) for r in requests]
    n_tokens = sum(list(g)[-1].n_predicted for g in generations)
    seconds = time.monotonic() - began
    result = {"seconds": round(seconds, 3), "tokens_per_second": round(n_tokens / seconds, 1)}
    print(json.dumps({**result, "cpu_s": round(time.process_time() - cpu, 2)}))
    engine.close()


def request(template, tokenizer, arguments, i: int) -> GenerationRequest:
    messages = [{"role": "user", "content": arguments.prompt.replace("{i}", str(i))}]
    prompt = tuple(tokenizer.encode(build_prompt(template, messages), add_special=True, parse_special=True))
    greedy = SamplingParams(temperature=0)
    return GenerationRequest(prompt, greedy, n_predict=arguments.tokens, ignore_eos=True, cache_prompt=False)


if __name__ == "__main__":
    main()
