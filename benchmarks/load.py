"""A load generator in a process of its own: N streams at once from one thread, and what it cost.

    python benchmarks/load.py PORT PATH BODY.json [--streams 32]

sends N requests with the body of BODY.json ("{i}" in its prompt becomes the stream's number) at the same time, reads
all of them to their end, and prints one line of JSON: seconds, bytes, events, processor time of this process.
"""

import argparse
import json
import selectors
import socket
import time
from pathlib import Path


class Stream:
    """One connection: its request is sent, its reply counted."""

    def __init__(self, port: int, path: str, body: str):
        payload = body.encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.request = f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload
        self.events = self.bytes = 0
        self.head = self.tail = b""

    def start(self) -> None:
        self.socket.sendall(self.request)
        self.socket.setblocking(False)

    def read(self) -> bool:
        """False when the reply has ended."""
        data = self.socket.recv(1 << 16)
        self.bytes += len(data)
        if len(self.head) < 12:
            self.head = (self.head + data)[:12]
        self.events += (self.tail + data).count(b"data: ")
        self.tail = data[-5:]
        return len(data) > 0


def run(port: int, path: str, body: str, n_streams: int) -> dict:
    """All streams at once, to their end."""
    streams = [Stream(port, path, body.replace("{i}", str(i))) for i in range(n_streams)]
    selector = selectors.DefaultSelector()
    began, cpu = time.monotonic(), time.process_time()
    for stream in streams:
        stream.start()
        selector.register(stream.socket, selectors.EVENT_READ, stream)
    while selector.get_map():
        for key, _ in selector.select():
            if not key.data.read():
                selector.unregister(key.fileobj)
    seconds = time.monotonic() - began
    statuses = sorted({stream.head[9:12].decode() for stream in streams})
    if statuses != ["200"]:
        raise SystemExit(f"load: found status {statuses}, expected 200 of every stream")
    return {
        "seconds": round(seconds, 3),
        "events": sum(stream.events for stream in streams),
        "bytes": sum(stream.bytes for stream in streams),
        "generator_cpu_s": round(time.process_time() - cpu, 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("body")
    parser.add_argument("--streams", type=int, default=32)
    arguments = parser.parse_args()
    body = Path(arguments.body).read_text()
    print(json.dumps(run(arguments.port, arguments.path, body, arguments.streams)))


if __name__ == "__main__":
    main()
