"""A llamabox server in a process of its own, and a client that streams from it, for the benchmarks beside this file."""

import http.client
import json
import re
import subprocess
import sys
import time
from contextlib import contextmanager


@contextmanager
def served(model: str, *flags: str):
    """Start `python -m llamabox serve -m model flags` on a free port; yields a Server when /health says ok."""
    command = [sys.executable, "-m", "llamabox", "serve", "-m", model, "--port", "0", "-lv", "-1", *flags]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
