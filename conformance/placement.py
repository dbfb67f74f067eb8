"""Ask llama.cpp which device gets which layer, for many -ngl, -ts, -sm, -mg and -nkvo.

    python conformance/placement.py FOLDER OF LLAMA.CPP'S PROGRAMS AND LIBRARIES

Three ggml RPC servers on this machine stand for GPUs (RPC0, RPC1, RPC2). llama-bench loads a model on them and with -v
says "layer 3 assigned to device RPC0". The models are the tiny chat model with 5 layers, and with these layers 7 times
over. Writes conformance/results/placement.json, which tests/kernels/test_assignment.py reads.
"""

import ctypes
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llamabox.assets import tiny_chat_path
from llamabox.gguf import GGUFWriter, open_gguf

RESULTS = Path(__file__).resolve().parent / "results" / "placement.json"
REFERENCE = "llama.cpp 0c1e57098 (llama-cpp-python 0.3.36), GGML_RPC, llama-bench -v"
PORTS = (50071, 50072, 50073)
SPLITS = ("", "1", "3,1", "1,3", "1,1,1", "0,1", "0.2,0.5,0.3", "5,0,5", "1,0,0", "0,0,2", "7,2,1")
LAYERS = ("0", "1", "2", "4", "5", "6", "9", "17", "34", "35", "36", "99")
MODES = (
    ["-sm", "none", "-mg", "0"],
    ["-sm", "none", "-mg", "2"],
    ["-sm", "none", "-mg", "1", "-ngl", "3"],
    ["-nkvo", "1"],
)


def serve(folder: Path, endpoint: str) -> None:
    """Be one RPC server on the CPU, until killed."""
    for name in ("base", "cpu"):
        ctypes.CDLL(str(folder / f"libggml-{name}.so"), mode=ctypes.RTLD_GLOBAL)
    ggml, rpc = ctypes.CDLL(str(folder / "libggml.so")), ctypes.CDLL(str(folder / "libggml-rpc.so"))
    ggml.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    devices = (ctypes.c_void_p * 1)(ggml.ggml_backend_dev_by_type(0))
    rpc.ggml_backend_rpc_start_server(endpoint.encode(), None, ctypes.c_size_t(1), ctypes.c_size_t(1), devices)


def deepen(path: Path, times: int) -> int:
    """Write the tiny chat model with its layers so many times over -> layers."""
    file = open_gguf(tiny_chat_path())
    n_layer = file.metadata["llama.block_count"]
    writer = GGUFWriter(path, "llama")
    for key, value in file.metadata.items():
        if key != "general.architecture":
            deeper = n_layer * times if key == "llama.block_count" else value
            writer.add(key, deeper)
    for tensor in file.tensors.values():
        copies = times if tensor.name.startswith("blk.") else 1
        for i in range(copies):
            name = re.sub(r"^blk\.(\d+)", lambda found, i=i: f"blk.{int(found[1]) + i * n_layer}", tensor.name)
            writer.add_tensor(name, tensor.data, tensor.type, tensor.shape)
    writer.write()
    return n_layer * times


def ask(folder: Path, model: Path, arguments: list[str]) -> dict[str, list[str]]:
    """The devices of layers, the output last, and of the layers' keys and values."""
    servers = ",".join(f"127.0.0.1:{port}" for port in PORTS)
    words = [
        str(folder / "llama-bench"),
        "-m",
        str(model),
        "--rpc",
        servers,
        *arguments,
        *"-p 1 -n 0 -r 1 -t 1 -v".split(),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    layers = re.findall(r"layer +\d+ assigned to device (\w+)", done.stderr)
    kv = re.findall(r"llama_kv_cache: layer +\d+: dev = (\w+)", done.stderr)
    return {"layers": layers, "kv": kv}


def main(folder: Path) -> None:
    servers = [
        subprocess.Popen([sys.executable, __file__, str(folder), f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL)
        for port in PORTS
    ]
    try:
        time.sleep(3)
        with tempfile.TemporaryDirectory() as temporary:
            deep = Path(temporary) / "deep.gguf"
            models = {5: tiny_chat_path(), deepen(deep, 7): deep}
            cases = []
            for n_layer, model in models.items():
                counts = [n for n in LAYERS if int(n) <= n_layer + 1 or n == "99"]
                wanted = [["-ngl", n, *(["-ts", s.replace(",", "/")] if s else [])] for n in counts for s in SPLITS]
                for arguments in [*wanted[:: 1 if n_layer == 5 else 2], *MODES]:
                    found = ask(folder, model, arguments)
                    print(n_layer, " ".join(arguments), " ".join(found["layers"]))
                    cases.append({"n_layer": n_layer, "arguments": arguments, **found})
    finally:
        for server in servers:
            server.terminate()
    RESULTS.write_text(json.dumps({"reference": REFERENCE, "cases": cases}).replace('{"n_layer', '\n{"n_layer') + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(Path(sys.argv[1]), sys.argv[2])
    else:
        main(Path(sys.argv[1]))
