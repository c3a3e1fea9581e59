"""AWS's services of Spark Connect sessions, as far as they are alike: no emulator has them.

Belongs here: an HTTP API whose requests and answers must be what botocore's own model of it says, sessions with their
states, tokens that expire, and failures on demand. What one service is asked for is in `emr_serverless.py` and
`glue_sessions.py`, the sessions' endpoint in `spark_endpoint.py`.
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
from typing import Any, ClassVar, TypeVar
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import botocore.session
import grpc
from botocore import xform_name
from botocore.validate import ParamValidator

from tests.servers import REGION
from tests.servers.spark_endpoint import Refusal, SparkEndpoint

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/stedi-execution"
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/orchestrator/someone@example.com"
TOKEN_SECONDS = 3600.0
SURROGATES = r"\uD800\uDC00-\uDBFF\uDFFF"  # how the models' patterns write what lies beyond the 16 bits of Java's signs
ServiceT = TypeVar("ServiceT", bound="SessionService")


class ApiError(Exception):
    """What AWS answers in place of a result."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


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
    over: tuple[str, ...]
    details: str = "Waiting for capacity"
    created: float = field(default_factory=time.time)
    ended: float | None = None

    @property
    def state(self) -> str:
        return self.states[0]

    @property
    def alive(self) -> bool:
        return self.state not in self.over

    @property
    def token(self) -> str:
        """The same one asks for the same session."""
        return str(self.request.get("clientToken") or self.request["Id"])

    @property
    def tags(self) -> object:
        return self.request.get("tags") or self.request["Tags"]

    def end(self, state: str, details: str) -> None:
        """From outside: by an administrator, for idleness, or because its driver died."""
        self.states, self.details, self.ended = [state], details, time.time()


class SessionService:
    """A service with sessions, whose endpoint passes calls on to the engine at `upstream`."""

    NAME: ClassVar[str]  # as sentences call it
    METADATA: ClassVar[str]  # of an asset: the session's id
    API: ClassVar[str]  # boto3's name of it
    START: ClassVar[str]  # the operations
    END: ClassVar[str]
    STARTING: ClassVar[str]  # states: on the way,
    READY: ClassVar[tuple[str, ...]]  # of use,
    OVER: ClassVar[tuple[str, ...]]  # over or about to be,
    ENDED: ClassVar[str]  # and for good
    DENIED: ClassVar[int]  # the HTTP status

    def __init__(self, upstream: str) -> None:
        self.sessions: dict[str, Session] = {}
        self.calls: list[str] = []
        self.faults: dict[str, list[Fault]] = {}
        self.start_states = [self.STARTING, self.STARTING, self.READY[0]]
        self.failure = ""
        self.elsewhere = ""  # where operations go that are no session's
        self.after_the_end = grpc.StatusCode.UNAVAILABLE  # what the endpoint answers once the session has ended
        self.model = botocore.session.get_session().get_service_model(self.API)
        self._tokens: dict[str, tuple[Session, float]] = {}
        self._lock = threading.RLock()
        self.stopping = threading.Event()
        self.endpoint = SparkEndpoint(upstream, self._admit)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def variable(self) -> str:
        """The variable that points clients to the service."""
        return f"AWS_ENDPOINT_URL_{self.API.replace('-', '_').upper()}"

    def fail(self, operation: str, *faults: Fault | ApiError) -> None:
        """The next calls of this operation fail, each in this way."""
        self.faults[operation] = [fault if isinstance(fault, Fault) else Fault(fault) for fault in faults]

    def denied(self, operation: str) -> ApiError:
        """What AWS answers to who may not do this."""
        on = f"arn:aws:{self.API}:{REGION}:{ACCOUNT}:anything"
        message = f"User: {CALLER} is not authorized to perform: {self.API}:{operation} on resource: {on}"
        return ApiError(self.DENIED, "AccessDeniedException", message)

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

    def which(self, handler: BaseHTTPRequestHandler) -> tuple[str, dict[str, Any]] | None:
        """The operation that the HTTP request is for, and what its path says; None for one that nobody knows here."""
        raise NotImplementedError

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """One call of the API; None for an answer that never comes."""
        with self._lock:
            self.calls.append(operation)
            queue = self.faults.get(operation, [])
            fault = queue.pop(0) if queue else Fault()
            if fault.error and not fault.after:
                raise fault.error
            model = self.model.operation_model(operation)
            if wrong := violations(model.input_shape, request):
                raise ApiError(400, "ValidationException", wrong)
            answer: dict[str, Any] = getattr(self, xform_name(operation))(request)
            assert not violations(model.output_shape, answer)
        if fault.silent:
            self.stopping.wait(60)
            return None
        if fault.error:
            raise fault.error
        return answer

    def add(self, name: str, request: dict[str, Any]) -> Session:
        """A new session."""
        self.sessions[name] = Session(name, request, list(self.start_states), (*self.OVER, "FAILED"))
        return self.sessions[name]

    def look_at(self, session: Session) -> tuple[str, str]:
        """Its state and the details; it is in the next one then."""
        state = session.state
        session.states = session.states[1:] or session.states
        return state, self.failure if state == "FAILED" and self.failure else session.details

    def terminate(self, session: Session) -> None:
        """By who asked for it."""
        session.end(self.OVER[0], "Session terminated by user request")
        session.states.append(self.ENDED)

    def new_token(self, session: Session) -> tuple[str, float]:
        """A token, and when it expires."""
        token, expires = f"token-{secrets.token_hex(1300)}", time.time() + TOKEN_SECONDS
        self._tokens[token] = (session, expires)
        return token, expires

    def _admit(self, token: str | None) -> Callable[[], None]:
        session, expires = self._tokens.get(token or "", (None, 0.0))
        if session is None or time.time() > expires:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "The token is missing, unknown or expired")

        def still_there() -> None:
            if not session.alive:
                raise Refusal(self.after_the_end, "upstream connect error")

        still_there()
        return still_there


THROTTLED = ApiError(429, "ThrottlingException", "Rate exceeded")
BROKEN = ApiError(500, "InternalServerException", "Internal server error")


def violations(shape: Any, value: Any) -> str:
    """What is not as the model has it: names, types, lengths, and what boto3 does not look at, patterns and enums."""
    report = ParamValidator().validate(value, shape)
    return "\n".join([report.generate_report()] if report.has_errors() else _unlike(shape, value))


def _unlike(shape: Any, value: Any) -> list[str]:
    if shape.type_name == "structure":
        unknown = [f"no member {name}" for name in value if name not in shape.members]
        return unknown + [wrong for name in value for wrong in _unlike(shape.members[name], value[name])]
    if shape.type_name == "map":
        return [
            wrong for pair in value.items() for wrong in (*_unlike(shape.key, pair[0]), *_unlike(shape.value, pair[1]))
        ]
    if shape.type_name == "list":
        return [wrong for one in value for wrong in _unlike(shape.member, one)]
    pattern = shape.metadata.get("pattern", "").replace(SURROGATES, "\U00010000-\U0010ffff")
    if shape.type_name == "string" and pattern and not re.fullmatch(pattern, value):
        return [f"{value!r} is not like {pattern}"]
    enum = shape.metadata.get("enum", [])
    return [f"{value!r} is none of {enum}"] if enum and value not in enum else []


def _handler(service: SessionService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                if f"/{service.API}/aws4_request" not in self.headers.get("Authorization", ""):
                    raise ApiError(403, "MissingAuthenticationTokenException", "The request is not signed")
                if (known := service.which(self)) is None:
                    return self.pass_on(content)
                answer = service.call(known[0], {**json.loads(content or b"{}"), **known[1]})
                return self.close() if answer is None else self.write(200, answer)
            except ApiError as error:
                # The code is in the header by one of AWS's protocols, in the body by the other.
                self.write(error.status, {"__type": error.code, "message": error.message}, error.code)

        do_GET = do_POST = do_DELETE = answer

        def close(self) -> None:
            self.close_connection = True

        def pass_on(self, content: bytes) -> None:
            if not service.elsewhere:
                raise ApiError(404, "UnknownOperationException", f"{self.command} {self.path}")
            request = Request(service.elsewhere + self.path, content, dict(self.headers), method=self.command)
            try:
                answer = build_opener(ProxyHandler({})).open(request)
            except HTTPError as error:
                answer = error
            self.write(answer.status, answer.read(), answer.headers.get("x-amzn-errortype", ""))

        def write(self, status: int, answer: dict[str, Any] | bytes, error: str = "") -> None:
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
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
def serving(service: ServiceT) -> Iterator[ServiceT]:
    """The service, until the test is over."""
    try:
        yield service
    finally:
        service.close()
