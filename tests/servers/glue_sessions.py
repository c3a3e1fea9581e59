"""AWS Glue's interactive sessions. What they have in common with others is in `sessions.py`.

Glue's catalog is MiniStack's business: what is no session's operation goes on to the server in `elsewhere`.
"""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.servers.sessions import ApiError, Session, SessionService


class GlueSessions(SessionService):
    """The service."""

    NAME, METADATA, API = "AWS Glue", "Glue session", "glue"
    START, END = "CreateSession", "StopSession"
    STARTING, READY, OVER, ENDED = "PROVISIONING", ("READY",), ("STOPPING", "STOPPED", "TIMEOUT"), "STOPPED"
    DENIED = 400

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.dpu_seconds = 1800.0

    def which(self, handler: BaseHTTPRequestHandler) -> tuple[str, dict[str, Any]] | None:
        target, _, operation = handler.headers.get("X-Amz-Target", "").partition(".")
        assert target == self.model.metadata["targetPrefix"]
        return (operation, {}) if "Session" in operation else None

    def create_session(self, request: dict[str, Any]) -> dict[str, Any]:
        session = self.sessions.get(request["Id"])
        if session is None:
            session = self.add(request["Id"], request)
        elif session.request != request:
            raise ApiError(400, "IdempotentParameterMismatchException", "The Id was used with other parameters")
        else:
            raise ApiError(400, "AlreadyExistsException", f"Session already created, sessionId={session.id}")
        return {"Session": {"Id": session.id, "Status": session.state, "CreatedOn": session.created}}

    def get_session(self, request: dict[str, Any]) -> dict[str, Any]:
        session = self._find(request["Id"])
        state, details = self.look_at(session)
        sent = {name: value for name, value in session.request.items() if name != "Tags"}
        told = {**sent, "Status": state, "ErrorMessage": details, "CreatedOn": session.created, "MaxCapacity": 2.0}
        told |= {"DPUSeconds": self.dpu_seconds / 2}  # until now
        if state in ("STOPPED", "TIMEOUT", "FAILED"):
            told |= {
                "CompletedOn": session.ended or time.time(),
                "ExecutionTime": 900.0,
                "DPUSeconds": self.dpu_seconds,
            }
        return {"Session": told}

    def stop_session(self, request: dict[str, Any]) -> dict[str, Any]:
        session = self._find(request["Id"])
        if session.state not in self.READY:
            raise ApiError(400, "IllegalSessionStateException", f"Session {session.id} is in {session.state} status")
        self.terminate(session)
        return {"Id": session.id}

    def get_session_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        session = self._find(request["SessionId"])
        if session.state not in self.READY:
            raise ApiError(400, "IllegalSessionStateException", f"Session {session.id} is in {session.state} status")
        token, expires = self.new_token(session)
        url = f"sc://127.0.0.1:{self.endpoint.port}"
        return {"SparkConnect": {"Url": url, "AuthToken": token, "AuthTokenExpirationTime": expires}}

    def _find(self, name: str) -> Session:
        if name not in self.sessions:
            raise ApiError(400, "EntityNotFoundException", f"Session not found, sessionId={name}")
        return self.sessions[name]
