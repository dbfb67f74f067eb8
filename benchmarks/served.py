"""llamabox's server or llama-server in a process of its own, and a client that streams from it, for the benchmarks."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

# As after an installation: pip compiles the sources to bytecode, and a later start does not compile them anew.
INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def served(model: str, *flags: str):
    """Start `python -m llamabox serve -m model flags` on a free port; yields a Server when /health says ok."""
    command = [sys.executable, "-m", "llamabox", "serve", "-m", model, "--port", "0", "-lv", "-1", *flags]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=INSTALLED)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://[^:]+:(\d+)", line)
        if not found:
            raise RuntimeError(f"the server did not start: {line!r}")
        server = Server(process, int(found.group(1)), command)
        while server.get("/health")[0] != 200:
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with code {process.returncode}")
            time.sleep(0.02)
        server.ready_s = time.monotonic() - started
        yield server
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def llama_served(folder: str, model: str, port: int, *flags: str):
    """Start folder/llama-server on the port; yields a Server when /health says ok."""
    command = [f"{folder}/llama-server", "-m", model, "--port", str(port), "--no-webui", *flags]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(process, port, command)
    try:
        while not _answers(server):
            if process.poll() is not None:
                raise RuntimeError(f"llama-server ended with code {process.returncode}")
            time.sleep(0.05)
        server.ready_s = time.monotonic() - started
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _answers(server: "Server") -> bool:
    try:
        return server.get("/health")[0] == 200
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One running server."""

    def __init__(self, process, port, command):
        self.process, self.port, self.command, self.ready_s = process, port, command, 0.0

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        reply = connection.getresponse()
        body = json.loads(reply.read())
        connection.close()
        return reply.status, body

    def stream(self, body, path="/completion", hang_up_after=None):
        """(text, arrival of each chunk in seconds, last chunk); hangs up after so many chunks if told to."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        began = time.monotonic()
        payload = json.dumps({**body, "stream": True})
        connection.request("POST", path, payload, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.read().decode()}")
        texts, arrivals, last = [], [], None
        for line in reply if hang_up_after != 0 else ():
            if not line.startswith(b"data: {"):
                continue
            last = json.loads(line[6:])
            texts.append(last["content"])
            arrivals.append(time.monotonic() - began)
            if hang_up_after is not None and len(texts) >= hang_up_after:
                break
        reply.close()
        connection.close()
        return "".join(texts), arrivals, last

    def resident_bytes(self) -> int:
        with open(f"/proc/{self.process.pid}/status") as status:
            kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
        return kib * 1024

    def cpu_seconds(self) -> float:
        """Processor time of the server so far."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
