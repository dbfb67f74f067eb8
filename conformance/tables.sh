#!/usr/bin/env bash
# Every table of docs/conformance.md, made anew.
#
#   LLAMA_CPP_LIB_PATH=<folder of libllama.so> conformance/tables.sh
#
# Needs the conformance extra. Logits are compared with stored values of llama.cpp, tokenizers with llama.cpp itself.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
"$python" conformance/logits.py
"$python" conformance/tokenization.py
"$python" conformance/adapters.py --table
"$python" conformance/rope.py --table
"$python" conformance/chat_formats.py --docs-only
