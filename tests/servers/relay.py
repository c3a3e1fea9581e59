"""A relay before a server: it tells which requests came, and may let each take longer, as a network would.

It passes bytes on as they are, so signatures hold. Of each request it sees where it begins: clients send its first line
at the beginning of what they send at once.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import unquote, urlparse

REQUEST = re.compile(rb"([A-Z]+) ([^ ?]+)\S* HTTP/1\.1\r\n")


@dataclass
class Relay:
    """What came: how often each method and path, and how many requests were on their way at once."""

    url: str
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    at_once: int = 0

    def of(self, ending: str, *methods: str) -> Counter[str]:
        """How often paths with that ending were asked for so."""
        return Counter(path for method, path in self.seen.elements() if path.endswith(ending) and method in methods)


@contextmanager
def relay(endpoint: str, seconds: float = 0) -> Iterator[Relay]:
    """A relay to the endpoint, with which each request takes so much longer."""
    upstream, lock, waiting = urlparse(endpoint), threading.Lock(), list[None]()

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((upstream.hostname, upstream.port)) as server, suppress(OSError):
                threading.Thread(target=self.answer, args=(server,), daemon=True).start()
                while content := self.request.recv(1 << 16):
                    if begun := REQUEST.match(content):
                        self.look_at(begun[1].decode(), unquote(begun[2].decode()))
                    server.sendall(content)

        def answer(self, server: socket.socket) -> None:
            with suppress(OSError):
                while content := server.recv(1 << 16):
                    self.request.sendall(content)
                self.request.shutdown(socket.SHUT_RDWR)

        def look_at(self, method: str, path: str) -> None:
            with lock:
                told.seen[method, path] += 1
                waiting.append(None)
                told.at_once = max(told.at_once, len(waiting))
            time.sleep(seconds)
            with lock:
                waiting.pop()

    class Server(ThreadingTCPServer):
        daemon_threads, request_queue_size = True, 128

    with Server(("127.0.0.1", 0), Connection) as listening:
        told = Relay(f"http://127.0.0.1:{listening.server_address[1]}")
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield told
        finally:
            listening.shutdown()
