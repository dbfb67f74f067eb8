"""Where the time of a decode step goes: kernels, and the Python around them, of the model and of the engine.

    python benchmarks/overhead.py FILE [--sequences 1,8,32] [--tokens 48] [--threads 2] [--out FILE]

The engine decodes sequences together, greedily, on the calling thread; each layer of calls is timed from outside and
the medians over steps are printed, in milliseconds a step:

    kernels   compiled code: the programs of the step, from call to return
    plan      the compiled step around them: slots filled, rope angles, embedding rows, how attention is cut
    forward   what else LoadedModel.forward does
    sampling  Sampler.sample of every sequence
    engine    the rest of the step: scheduling, make_step, stop conditions, events
    share     of all but the kernels in the step
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llamabox
from llamabox.engine import Engine, EngineOptions, GenerationRequest, SamplingParams
from llamabox.engine.sampling import Sampler
from llamabox.kernels.cpu.features import FEATURES
from llamabox.kernels.cpu.plan import Plans
from llamabox.kernels.host import cpu_name
from llamabox.models.loading import LoadedModel

LAYERS = ("kernels", "plan", "forward", "sampling")


class Clock:
    """Seconds spent in functions since the last `take`."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(LAYERS, 0.0)

    def watch(self, owner: Any, name: str, layer: str) -> None:
        """Time every call of an attribute of an object or a class."""
        function: Callable = getattr(owner, name)

        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args)
            finally:
                self._spent[layer] += time.perf_counter() - start

        setattr(owner, name, timed)

    def take(self, step_s: float) -> dict[str, float]:
        """Milliseconds of each layer without those inside it, of a step that took so long."""
        s = self._spent
        own = {
            "step": step_s,
            "kernels": s["kernels"],
            "plan": s["plan"] - s["kernels"],
            "forward": s["forward"] - s["plan"],
            "sampling": s["sampling"],
            "engine": step_s - s["forward"] - s["sampling"],
        }
        self._spent = dict.fromkeys(LAYERS, 0.0)
        return {name: 1e3 * seconds for name, seconds in own.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--sequences", default="1,8,32")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    model = llamabox.load(arguments.file, threads=arguments.threads)
    clock = Clock()
    for name in ("_run_short", "_run_long"):
        clock.watch(model.model.ops._runner, name, "kernels")
    clock.watch(Plans, "run", "plan")
    clock.watch(LoadedModel, "forward", "forward")
    clock.watch(Sampler, "sample", "sampling")
    rows = []
    for count in map(int, arguments.sequences.split(",")):
        rows.append({"sequences": count, **measure(model, clock, count, arguments.tokens)})
        print("  ".join(f"{name} {value:g}" for name, value in rows[-1].items()), flush=True)
    if arguments.out is not None:
        about = {"file": Path(arguments.file).name, "threads": arguments.threads, "cpu": cpu_name()}
        found = {**about, "instructions": FEATURES.name, "tokens": arguments.tokens, "milliseconds_a_step": rows}
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def measure(model: Any, clock: Clock, count: int, tokens: int) -> dict[str, float]:
    """Medians over the steps in which all sequences decode, the first four left out."""
    engine = Engine(model.model, model.tokenizer, EngineOptions(n_ctx=256 * count, n_parallel=count))
    greedy = SamplingParams(temperature=0)
    for i in range(count):
        prompt = tuple(range(100 + i, 116 + i))
        engine.submit(GenerationRequest(prompt, greedy, n_predict=tokens, ignore_eos=True, cache_prompt=False))
    steps, left = [], True
    while left:
        start = time.perf_counter()
        left = engine.step()
        steps.append(clock.take(time.perf_counter() - start))
    engine.close()
    steps = steps[5:tokens]  # after the prompts, before the last sequence ends
    found = {name: statistics.median(step[name] for step in steps) for name in steps[0]}
    share = statistics.median(1 - step["kernels"] / step["step"] for step in steps)
    return {**{name: round(ms, 3) for name, ms in found.items()}, "share": round(share, 4)}


if __name__ == "__main__":
    main()
