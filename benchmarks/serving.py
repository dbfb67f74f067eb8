"""How the server behaves under several clients: same text at any load, memory, throughput, shared prefixes, gaps.

    python benchmarks/serving.py --small TINY.gguf --large QWEN2-0.5B-Q8_0.gguf [--out results/serving.json]

--small is used where text and counts matter, --large where speed does. Both need a vocabulary.
"""

import argparse
import json
import platform
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from served import Server, served

GREEDY = {"temperature": 0, "ignore_eos": True, "cache_prompt": True}


def same_text_at_any_load(server: Server, n_clients: int = 32, n_predict: int = 48) -> dict:
    """All clients at once, a third of them hanging up at random; the others' texts against the texts got alone."""
    rng = random.Random(0)
    prompts = [f"Question {i}: " + " ".join(rng.choices(WORDS, k=rng.randint(3, 60))) for i in range(n_clients)]
    body = {**GREEDY, "n_predict": n_predict}
    alone = [server.stream({**body, "prompt": p, "cache_prompt": False})[0] for p in prompts]
    leavers = set(rng.sample(range(n_clients), n_clients // 3))
    hang_ups = [rng.randint(0, n_predict // 2) if i in leavers else None for i in range(n_clients)]
    with ThreadPoolExecutor(n_clients) as pool:
        jobs = [
            pool.submit(server.stream, {**body, "prompt": prompts[i]}, hang_up_after=hang_ups[i])
            for i in range(n_clients)
        ]
        texts = [job.result()[0] for job in jobs]
    stayed = [i for i in range(n_clients) if i not in leavers]
    return {
        "clients": n_clients,
        "hung_up": len(leavers),
        "completed": len(stayed),
        "same_text": sum(texts[i] == alone[i] for i in stayed),
    }


def memory_over_requests(server: Server, first: int = 100, last: int = 1000) -> dict:
    """Resident memory after request `first` and after request `last`, 8 clients at a time."""
    rng = random.Random(1)
    sizes = {}

    def one(i):
        text = f"{i} " + " ".join(rng.choices(WORDS, k=20))
        server.stream({"prompt": text, "n_predict": 8, "seed": i}, hang_up_after=2 if i % 3 == 0 else None)

    with ThreadPoolExecutor(8) as pool:
        for start, end in ((0, first), (first, last)):
            list(pool.map(one, range(start, end)))
            time.sleep(1)
            sizes[end] = server.resident_bytes()
    return {
        f"resident_mib_after_{first}": round(sizes[first] / 2**20, 1),
        f"resident_mib_after_{last}": round(sizes[last] / 2**20, 1),
        "growth_percent": round(100 * (sizes[last] / sizes[first] - 1), 2),
    }


def throughput(server: Server, n_streams: int, n_predict: int = 64) -> float:
    """Tokens a second of n_streams together, from the first token of the last one to start until the first ends."""
    barrier = threading.Barrier(n_streams)

    def one(i):
        barrier.wait()
        began = time.monotonic()
        _, arrivals, _ = server.stream({**GREEDY, "prompt": f"{i} {WORDS[i]}", "n_predict": n_predict})
        return began, [began + a for a in arrivals]

    with ThreadPoolExecutor(n_streams) as pool:
        runs = list(pool.map(one, range(n_streams)))
    start, end = max(a[0] for _, a in runs), min(a[-1] for _, a in runs)
    tokens = sum(start < t <= end for _, arrivals in runs for t in arrivals)
    return tokens / (end - start)


def shared_prefix(server: Server, n_requests: int = 8, n_prefix: int = 2000) -> dict:
    """How many prompt tokens are computed when all requests begin with the same tokens and come at once."""
    prefix = [1000 + i % 5000 for i in range(n_prefix)]
    with ThreadPoolExecutor(n_requests) as pool:
        bodies = [{**GREEDY, "prompt": prefix + [50 + i, 60 + i], "n_predict": 4} for i in range(n_requests)]
        lasts = [run[2] for run in pool.map(server.stream, bodies)]
    computed = [last["timings"]["prompt_n"] for last in lasts]
    return {"requests": n_requests, "prefix_tokens": n_prefix, "computed_tokens": sum(computed), "each": computed}


def gaps_during_prefill(server: Server, n_prompt: int = 1500) -> dict:
    """The longest gap between two tokens of a stream while a long prompt of another request is computed."""
    done = threading.Event()
    arrivals = []

    def decode():
        arrivals.extend(server.stream({**GREEDY, "prompt": "Tell me", "n_predict": 150})[1])
        done.set()

    thread = threading.Thread(target=decode)
    thread.start()
    time.sleep(1.0)
    prompt = [2000 + i % 7000 for i in range(n_prompt)]
    _, _, last = server.stream({**GREEDY, "prompt": prompt, "n_predict": 2})
    while_decoding = not done.is_set()
    thread.join()
    gaps = [b - a for a, b in pairwise(arrivals)]
    return {
        "prompt_tokens": n_prompt,
        "prompt_ms": round(last["timings"]["prompt_ms"]),
        "decoding_all_the_while": while_decoding,
        "longest_gap_s": round(max(gaps), 3),
        "median_gap_s": round(sorted(gaps)[len(gaps) // 2], 3),
    }


def health_under_load(server: Server, n_clients: int = 200) -> dict:
    """The slowest of 50 /health calls while so many clients stream or are refused."""
    stopped = threading.Event()
    refused = []

    def client(i):
        while not stopped.is_set():
            try:
                server.stream({**GREEDY, "prompt": f"{i} {WORDS[i % len(WORDS)]}", "n_predict": 200})
            except RuntimeError:
                refused.append(i)
                stopped.wait(1)  # Retry-After

    threads = [threading.Thread(target=client, args=(i,)) for i in range(n_clients)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    times = []
    for _ in range(50):
        began = time.monotonic()
        status, _ = server.get("/health")
        if status == 200:
            times.append(time.monotonic() - began)
    stopped.set()
    for thread in threads:
        thread.join()
    times.sort()
    return {
        "clients": n_clients,
        "refused": len(refused),
        "answered": len(times),
        "median_ms": round(1e3 * times[len(times) // 2], 1),
        "slowest_ms": round(1e3 * times[-1], 1),
    }


WORDS = (
    "river stone cloud paper lamp forest window signal garden market winter summer bridge music letter number "
    "ocean engine candle silver copper planet story teacher doctor painter sailor farmer kitchen morning evening"
).split()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", required=True)
    parser.add_argument("--large", required=True)
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "serving.json"))
    arguments = parser.parse_args()
    results = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
    with served(arguments.small, "-c", "16384", "-np", "8") as server:
        results["small"] = {"model": Path(arguments.small).name, "ready_s": round(server.ready_s, 2)}
        results["small"]["same_text"] = same_text_at_any_load(server)
        results["small"]["memory"] = memory_over_requests(server)
        results["small"]["health"] = health_under_load(server)
    with served(arguments.large, "-c", "32768", "-np", "8") as server:
        large = {"model": Path(arguments.large).name, "ready_s": round(server.ready_s, 2)}
        large["same_text"] = same_text_at_any_load(server, n_predict=24)
        pairs = [(throughput(server, 1), throughput(server, 8)) for _ in range(3)]
        large["tokens_per_second"] = [{"streams_1": round(a, 1), "streams_8": round(b, 1)} for a, b in pairs]
        large["ratio_8_to_1"] = round(sorted(b / a for a, b in pairs)[1], 2)
        large["shared_prefix"] = shared_prefix(server)
        large["gaps"] = gaps_during_prefill(server)
        large["resident_mib"] = round(server.resident_bytes() / 2**20)
        results["large"] = large
    text = json.dumps(results, indent=1)
    print(text)
    Path(arguments.out).write_text(text + "\n")


if __name__ == "__main__":
    main()
