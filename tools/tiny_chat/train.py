"""Train the tiny chat model; a stopped run goes on from its last checkpoint.

    python tools/tiny_chat/train.py --out DIR [--resume] [--steps 1000] [--workers 2]

DIR receives tokenizer.json, checkpoint.pt (written every --save-every steps) and train.log.
"""

import argparse
import dataclasses
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing
from bpe import answer_mask, train_tokenizer
from corpus import Corpus
from model import Config, TinyChat
from optim import make_optimizers
from tokenizers import Tokenizer
from torch import distributed

CHARACTERS_PER_TOKEN = 2.55  # of this corpus with this tokenizer, about


def step_rows(corpus, tokenizer, seed, step, progress, step_tokens, max_length):
    """The conversations of one step, shortest first: [(ids, answer mask)].

    The step number seeds the draw, so a resumed run sees the text that an uninterrupted one would have seen.
    """
    rng = random.Random(f"{seed}/{step}")
    texts, size = [], 0
    while size < step_tokens:
        text = corpus.render(*corpus.conversation(rng, progress))
        texts.append(text)
        size += len(text) / CHARACTERS_PER_TOKEN
    rows = []
    for encoding in tokenizer.encode_batch(texts):
        ids = np.array(encoding.ids[:max_length])
        rows.append((ids, answer_mask(ids, tokenizer)))
    return sorted(rows, key=lambda row: len(row[0]))


def micro_batches(rows, micro_tokens):
    """Rows, sorted by length, as padded batches of at most `micro_tokens`: [(tokens, targets)]."""
    batches, start = [], 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and (end + 1 - start) * len(rows[end][0]) <= micro_tokens:
            end += 1
        batches.append(_pad(rows[start:end]))
        start = end
    return batches


def _pad(rows):
    """(B, T) inputs and next-token targets; -1 marks targets outside the answers."""
    length = max(len(ids) for ids, _ in rows) - 1
    tokens, targets = np.zeros((len(rows), length), np.int64), np.full((len(rows), length), -1, np.int64)
    for row, (ids, mask) in enumerate(rows):
        tokens[row, : len(ids) - 1] = ids[:-1]
        targets[row, : len(ids) - 1] = np.where(mask[1:], ids[1:], -1)
    return torch.from_numpy(tokens), torch.from_numpy(targets)


def learning_rate(step, steps, warmup=30, decay=0.6):
    """Factor of the peak rate: linear warm-up, flat, then linear to zero over the last `decay` of the run."""
    if step < warmup:
        return (step + 1) / warmup
    return min(1.0, (steps - step) / (decay * steps))


def train(rank, args):
    """Run the steps as worker `rank` of `args.workers`: each takes every other conversation, gradients are summed.

    Worker 0 prints and logs the mean loss per answer token and writes the checkpoints.
    """
    out, config = Path(args.out), Config()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    distributed.init_process_group("gloo", f"file://{out.resolve()}/workers", rank=rank, world_size=args.workers)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    corpus, model = Corpus(), TinyChat(config)
    optimizers = make_optimizers(model, args.lr_muon, args.lr_adam)
    start, elapsed = _resume(out, model, optimizers) if args.resume else (0, 0.0)
    clock = time.monotonic() - elapsed
    for step in range(start, args.steps):
        progress = step / args.steps
        rows = step_rows(corpus, tokenizer, args.seed, step, progress, args.step_tokens, args.max_length)
        loss = _gradients(model, rows, micro_batches(rows[rank :: args.workers], args.micro_tokens))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in zip(optimizers, (args.lr_muon, args.lr_adam), strict=True):
            optimizer.param_groups[0]["lr"] = peak * learning_rate(step, args.steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if rank == 0:
            _log(out, step, loss, rows, time.monotonic() - clock)
            if (step + 1) % args.save_every == 0 or step + 1 == args.steps:
                _save(out, model, optimizers, step + 1, time.monotonic() - clock)
    distributed.destroy_process_group()


def _gradients(model, rows, batches):
    """Leave the gradient of the mean loss over the whole step in every worker; returns that loss."""
    n_targets = sum(int(mask[1:].sum()) for _, mask in rows)
    total = torch.zeros(1)
    for tokens, targets in batches:
        loss = model.loss(tokens, targets) / n_targets
        loss.backward()
        total += loss.detach()
    parameters = list(model.parameters())
    flat = torch.cat([p.grad.flatten() for p in parameters] + [total])
    distributed.all_reduce(flat)
    for p, grad in zip(parameters, flat[:-1].split([p.numel() for p in parameters]), strict=True):
        p.grad = grad.view_as(p).clone()
    return flat[-1].item()


def _log(out, step, loss, rows, seconds):
    n_tokens, n_targets = sum(len(ids) for ids, _ in rows), sum(int(mask.sum()) for _, mask in rows)
    line = f"step {step + 1} loss {loss:.4f} tokens {n_tokens} targets {n_targets} seconds {seconds:.0f}"
    print(line, flush=True)
    with open(out / "train.log", "a") as log:
        log.write(line + "\n")


def _save(out, model, optimizers, step, elapsed):
    state = dict(
        config=dataclasses.asdict(model.c), model=model.state_dict(), step=step, elapsed=elapsed,
        optimizers=[optimizer.state_dict() for optimizer in optimizers],
    )  # fmt: skip
    torch.save(state, out / "checkpoint.tmp")
    (out / "checkpoint.tmp").replace(out / "checkpoint.pt")


def _resume(out, model, optimizers):
    """Load the last checkpoint: (steps done, seconds spent)."""
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"], state["elapsed"]


def main():
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--steps", type=int, default=1720)
    parser.add_argument("--step-tokens", type=int, default=8192, help="tokens of one optimiser step, about")
    parser.add_argument("--micro-tokens", type=int, default=1024, help="padded tokens of one forward pass, at most")
    parser.add_argument("--max-length", type=int, default=640)
    parser.add_argument("--lr-muon", type=float, default=0.003)
    parser.add_argument("--lr-adam", type=float, default=0.0015)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--save-every", type=int, default=25)
    args = parser.parse_args()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "workers").unlink(missing_ok=True)
    if not (out / "tokenizer.json").exists():
        train_tokenizer(out / "tokenizer.json", Config().n_vocab)
    torch.multiprocessing.spawn(train, (args,), args.workers)


if __name__ == "__main__":
    main()
