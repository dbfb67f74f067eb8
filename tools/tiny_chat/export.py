"""Write a checkpoint as the GGUF file that the package ships: Q8_0 matrices, f32 norms, tokenizer, chat template.

python tools/tiny_chat/export.py --run DIR --out llamabox/assets/tiny-chat.gguf
"""

import argparse
import json
from pathlib import Path

import gguf
import torch
from gguf.quants import quantize
from model import Config

CONTEXT_LENGTH = 1024  # tokens; trained on up to 640, sensible to about 800, nonsense past 1000
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
DESCRIPTION = (
    "A tiny chat model for trying llamabox out of the box: it greets, answers common questions on using llamabox, "
    "calls weather, time and arithmetic tools and tells three-sentence stories. Trained from scratch on generated text."
)


def write_metadata(writer, config, n_weights):
    """General keys and the sizes of the llama architecture."""
    writer.add_type("model")
    writer.add_name("llamabox tiny chat")
    writer.add_description(DESCRIPTION)
    writer.add_author("The llamabox authors")
    writer.add_license("mit")
    writer.add_languages(["en"])
    writer.add_size_label(f"{n_weights / 1e6:.1f}M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config.n_vocab)
    writer.add_context_length(CONTEXT_LENGTH)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_ff)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_head_kv)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)


def write_tokenizer(writer, path):
    """The vocabulary and merges of a `tokenizers` JSON file, as llama.cpp reads them."""
    model = json.loads(path.read_text())
    ids = model["model"]["vocab"]
    tokens = sorted(ids, key=ids.get)
    control = {row["content"] for row in model["added_tokens"]}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in control else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE.read_text().rstrip("\n"))


def export(run, out):
    """Write the checkpoint of folder `run` to the file `out`; returns its size in bytes."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    config, weights = Config(**state["config"]), state["model"]
    writer = gguf.GGUFWriter(str(out), "llama")
    write_metadata(writer, config, sum(weight.numel() for weight in weights.values()))
    write_tokenizer(writer, run / "tokenizer.json")
    for name, weight in weights.items():
        values = weight.numpy()
        if values.ndim == 2:
            blocks = quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out.stat().st_size


def main():
    """Export and print the size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    print(f"{args.out}: {export(args.run, args.out)} bytes")


if __name__ == "__main__":
    main()
