"""EMR Serverless, as far as Spark Connect sessions go: no emulator has them.

Belongs here: AWS's HTTP API with its states, tokens that expire and idempotent client tokens, and failures on demand.
Its shapes are those that botocore's own model of the API describes. The sessions' endpoint is `spark_endpoint.py`.
A real server on a real port, in a thread of the tests' process, so that a test can look at it and change it.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

from tests.servers import REGION
from tests.servers.spark_endpoint import Refusal, SparkEndpoint

ACCOUNT = "123456789012"
APPLICATION = "00fkht2eodujab09"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/stedi-execution"
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/orchestrator/someone@example.com"
OVER = ("TERMINATED", "FAILED")
TOKEN_SECONDS = 3600.0
BILLED = {"vCPUHour": 0.5, "memoryGBHour": 2.0, "storageGBHour": 0.25}
OPERATIONS = {
    ("GET", r"/applications/(\w+)"): "GetApplication",
    ("POST", r"/applications/(\w+)/sessions"): "StartSession",
    ("GET", r"/applications/(\w+)/sessions/(\w+)"): "GetSession",
    ("DELETE", r"/applications/(\w+)/sessions/(\w+)"): "TerminateSession",
    ("GET", r"/applications/(\w+)/sessions/(\w+)/endpoint"): "GetSessionEndpoint",
}


class ApiError(Exception):
    """What AWS answers in place of a result."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


THROTTLED = ApiError(429, "ThrottlingException", "Rate exceeded")
BROKEN = ApiError(500, "InternalServerException", "Internal server error")


def denied(action: str) -> ApiError:
    """What AWS answers to who may not do this."""
    on = f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/{APPLICATION}"
    message = f"User: {CALLER} is not authorized to perform: emr-serverless:{action} on resource: {on}"
    return ApiError(403, "AccessDeniedException", message)


@dataclass
class Fault:
    """What happens to a call: an error, before the operation or after it, or an answer that never comes."""

    error: ApiError | None = None
    after: bool = False
    silent: bool = False


@dataclass
class Session:
    """A session as the service knows it. It enters the next of its `states` each time somebody looks."""

    id: str
    request: dict[str, Any]
    states: list[str]
    details: str = "Waiting for capacity"
    created: float = field(default_factory=time.time)
    ended: float | None = None

    @property
    def state(self) -> str:
        return self.states[0]

    @property
    def alive(self) -> bool:
        return self.state not in ("TERMINATING", *OVER)

    def end(self, state: str, details: str) -> None:
        """From outside: by an administrator, for idleness, or because its driver died."""
        self.states, self.details, self.ended = [state], details, time.time()


class EmrServerless:
    """The service: one application with sessions, whose endpoint passes calls on to the engine at `upstream`."""

    def __init__(self, upstream: str) -> None:
        self.application: dict[str, Any] = {
            "applicationId": APPLICATION,
            "arn": f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/{APPLICATION}",
            "name": "stedi",
            "releaseLabel": "emr-spark-8.2.0",
            "type": "Spark",
            "state": "STARTED",
            "createdAt": time.time(),
            "updatedAt": time.time(),
            "interactiveConfiguration": {"sessionEnabled": True},
        }
        self.sessions: dict[str, Session] = {}
        self.calls: list[str] = []
        self.faults: dict[str, list[Fault]] = {}
        self.start_states = ["SUBMITTED", "STARTING", "STARTED", "IDLE"]
        self.failure = ""
        self.after_the_end = grpc.StatusCode.UNAVAILABLE  # what the endpoint answers once the session has ended
        self._tokens: dict[str, tuple[Session, float]] = {}
        self._lock = threading.RLock()
        self.stopping = threading.Event()
        self.endpoint = SparkEndpoint(upstream, self._admit)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def fail(self, operation: str, *faults: Fault | ApiError) -> None:
        """The next calls of this operation fail, each in this way."""
        self.faults[operation] = [fault if isinstance(fault, Fault) else Fault(fault) for fault in faults]

    def expire(self) -> None:
        """No token that was given out until now is valid any more."""
        self._tokens = {token: (session, 0.0) for token, (session, _) in self._tokens.items()}

    @property
    def tokens(self) -> list[str]:
        """Every token that was ever given out."""
        return list(self._tokens)

    @property
    def alive(self) -> list[Session]:
        """The sessions that somebody pays for."""
        return [session for session in self.sessions.values() if session.alive]

    def close(self) -> None:
        """End the servers."""
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self.endpoint.close()

    def call(self, operation: str, names: list[str], body: dict[str, Any]) -> dict[str, Any] | None:
        """One call of the API; None for an answer that never comes."""
        with self._lock:
            self.calls.append(operation)
            queue = self.faults.get(operation, [])
            fault = queue.pop(0) if queue else Fault()
            if fault.error and not fault.after:
                raise fault.error
            if names[0] != APPLICATION:
                raise ApiError(404, "ResourceNotFoundException", f"Application {names[0]} does not exist")
            answer = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())(*names[1:], body)
        if fault.silent:
            self.stopping.wait(60)
            return None
        if fault.error:
            raise fault.error
        result: dict[str, Any] = answer
        return result

    def _get_application(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"application": self.application}

    def _start_session(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self.application["interactiveConfiguration"]["sessionEnabled"]:
            raise ApiError(400, "ValidationException", "Interactive sessions are not enabled")
        token = body["clientToken"]
        session = next((one for one in self.sessions.values() if one.request["clientToken"] == token), None)
        if session is None:
            session = Session(f"00g{secrets.token_hex(6)}", body, list(self.start_states))
            self.sessions[session.id] = session
        elif session.request != body:
            raise ApiError(409, "ConflictException", "The client token was used with other parameters")
        return {"applicationId": APPLICATION, "sessionId": session.id, "arn": self._arn(session)}

    def _get_session(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        session = self._find(name)
        told = {
            "applicationId": APPLICATION,
            "sessionId": session.id,
            "arn": self._arn(session),
            "state": session.state,
            "stateDetails": self.failure if session.state == "FAILED" and self.failure else session.details,
            "releaseLabel": self.application["releaseLabel"],
            "executionRoleArn": session.request["executionRoleArn"],
            "createdBy": CALLER,
            "createdAt": session.created,
            "updatedAt": time.time(),
            "tags": session.request.get("tags", {}),
        }
        if session.state in OVER:
            told |= {"billedResourceUtilization": BILLED, "endedAt": session.ended}
        session.states = session.states[1:] or session.states
        return {"session": told}

    def _terminate_session(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        session = self._find(name)
        if not session.alive:
            raise ApiError(400, "ValidationException", f"Session {name} is in a terminal state")
        session.end("TERMINATING", "Session terminated by user request")
        session.states.append("TERMINATED")
        return {"applicationId": APPLICATION, "sessionId": session.id}

    def _get_session_endpoint(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        session = self._find(name)
        if not session.alive:
            raise ApiError(404, "ResourceNotFoundException", f"Session {name} has no endpoint")
        token, expires = f"token-{secrets.token_hex(1300)}", time.time() + TOKEN_SECONDS
        self._tokens[token] = (session, expires)
        return {
            "applicationId": APPLICATION,
            "sessionId": session.id,
            "endpoint": f"https://127.0.0.1:{self.endpoint.port}",
            "authToken": token,
            "authTokenExpiresAt": expires,
        }

    def _find(self, name: str) -> Session:
        if name not in self.sessions:
            raise ApiError(404, "ResourceNotFoundException", f"Session {name} does not exist")
        return self.sessions[name]

    def _arn(self, session: Session) -> str:
        return f"{self.application['arn']}/sessions/{session.id}"

    def _admit(self, token: str | None) -> Callable[[], None]:
        session, expires = self._tokens.get(token or "", (None, 0.0))
        if session is None or time.time() > expires:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "The token is missing, unknown or expired")

        def still_there() -> None:
            if not session.alive:
                raise Refusal(self.after_the_end, "upstream connect error")

        still_there()
        return still_there


def _handler(service: EmrServerless) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            try:
                if "/emr-serverless/aws4_request" not in self.headers.get("Authorization", ""):
                    raise ApiError(403, "MissingAuthenticationTokenException", "The request is not signed")
                for (verb, pattern), operation in OPERATIONS.items():
                    if self.command == verb and (path := re.fullmatch(pattern, self.path)):
                        answer = service.call(operation, list(path.groups()), body)
                        return self.close() if answer is None else self.write(200, answer)
                raise ApiError(404, "UnknownOperationException", f"{self.command} {self.path}")
            except ApiError as error:
                self.write(error.status, {"message": error.message}, error.code)

        do_GET = do_POST = do_DELETE = answer

        def close(self) -> None:
            self.close_connection = True

        def write(self, status: int, answer: dict[str, Any], error: str = "") -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if error:
                self.send_header("x-amzn-errortype", error)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def emr_serverless(upstream: str) -> Iterator[EmrServerless]:
    """The service, until the test is over."""
    service = EmrServerless(upstream)
    try:
        yield service
    finally:
        service.close()
