"""The endpoint of sessions: TLS, a token that must be valid, and Spark Connect behind it.

Belongs here: passing every gRPC call on to an engine, as AWS's proxy does, or refusing it. Does not belong here: which
tokens are valid (`emr_serverless.py`). A real server on a real port, in a thread of the tests' process.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import trustme
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from grpc_status.rpc_status import to_status

from tests.servers import free_port

HEADER = "x-aws-proxy-auth"
# Apache Spark's words for it, by which pyspark knows that a query never arrived; the embedded engine has others.
NOT_FOUND = Status(code=code_pb2.INTERNAL, message="[INVALID_HANDLE.OPERATION_NOT_FOUND] Operation not found")
WHOLE_MESSAGES = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Refusal(Exception):
    """The call gets this answer."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code, self.details = code, details


@cache
def certificate() -> grpc.ServerCredentials:
    """The servers' certificate. gRPC reads whom it trusts once, before its first connection with TLS."""
    authority = trustme.CA()
    file = Path(tempfile.mkdtemp(prefix="stedi-tls-")) / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = str(file)
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    return grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])


class SparkEndpoint(grpc.GenericRpcHandler):
    """Passes calls on to the engine at `upstream`, if `admit` (called with the token) does not raise Refusal.

    `admit` gives a function that says, while the call lasts, whether the session is still there: it raises Refusal.
    """

    def __init__(self, upstream: str, admit: Callable[[str | None], Callable[[], None]]) -> None:
        self._engine = grpc.insecure_channel(upstream, options=WHOLE_MESSAGES)
        self._admit = admit
        self._server: Any = None
        self.port = free_port()
        self.calls: list[tuple[str, str | None]] = []  # method and token of every call, refused ones too
        self.open = threading.Event()  # queries wait at the door while it is closed
        self.open.set()
        self.waiting = threading.Event()  # one waits
        self.listen()

    def listen(self) -> None:
        """Answer on the port."""
        self._server = grpc.server(ThreadPoolExecutor(32), handlers=[self], options=WHOLE_MESSAGES)
        assert self._server.add_secure_port(f"127.0.0.1:{self.port}", certificate()) == self.port
        self._server.start()

    def hang_up(self) -> None:
        """End every connection; nobody answers any more."""
        self._server.stop(grace=0).wait()

    def close(self) -> None:
        """End the server."""
        self.open.set()
        self.hang_up()
        self._engine.close()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Any method of any service: what is in the messages is the engine's business."""
        method = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(lambda requests, context: self._pass(method, requests, context))

    def _pass(self, method: str, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        metadata = dict(context.invocation_metadata())
        token = metadata.pop(HEADER, None)
        self.calls.append((method.rpartition("/")[2], token))
        try:
            still_there = self._admit(token)
            if method.endswith("/ExecutePlan"):
                self._wait_at_the_door(still_there, context)
            yield from self._engine.stream_stream(method)(iter(list(requests)))
            still_there()
        except Refusal as refusal:
            context.abort(refusal.code, refusal.details)
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call):
                return  # the client has gone in the middle of its request
            if "operation not found" in error.details():
                context.abort_with_status(to_status(NOT_FOUND))
            context.set_trailing_metadata(error.trailing_metadata() or ())  # which error it is, in Spark's own terms
            context.abort(error.code(), error.details())

    def _wait_at_the_door(self, still_there: Callable[[], None], context: grpc.ServicerContext) -> None:
        while not self.open.is_set() and context.is_active():
            still_there()
            self.waiting.set()
            time.sleep(0.01)
