"""EMR Serverless: one application with sessions. What it is in common with others is in `sessions.py`."""

from __future__ import annotations

import re
import secrets
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.servers import REGION
from tests.servers.sessions import ACCOUNT, CALLER, ApiError, Session, SessionService

APPLICATION = "00fkht2eodujab09"
BILLED = {"vCPUHour": 0.5, "memoryGBHour": 2.0, "storageGBHour": 0.25}


class EmrServerless(SessionService):
    """The service."""

    NAME, METADATA, API = "EMR Serverless", "EMR session", "emr-serverless"
    START, END = "StartSession", "TerminateSession"
    STARTING, READY, OVER, ENDED = "STARTING", ("IDLE", "STARTED", "BUSY"), ("TERMINATING", "TERMINATED"), "TERMINATED"
    DENIED = 403

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.start_states = ["SUBMITTED", "STARTING", "STARTED", "IDLE"]
        self.application: dict[str, Any] = {
            "applicationId": APPLICATION,
            "arn": f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/{APPLICATION}",
            "name": "stedi",
            "releaseLabel": "emr-spark-8.1.0",
            "type": "Spark",
            "state": "STARTED",
            "createdAt": time.time(),
            "updatedAt": time.time(),
            "interactiveConfiguration": {"sessionEnabled": True},
        }

    def which(self, handler: BaseHTTPRequestHandler) -> tuple[str, dict[str, Any]] | None:
        for name in self.model.operation_names:
            http = self.model.operation_model(name).http
            path = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", http["requestUri"])
            if handler.command == http["method"] and (found := re.fullmatch(path, handler.path)):
                return name, found.groupdict()
        return None

    def get_application(self, request: dict[str, Any]) -> dict[str, Any]:
        self._require_application(request)
        return {"application": self.application}

    def start_session(self, request: dict[str, Any]) -> dict[str, Any]:
        self._require_application(request)
        if not self.application["interactiveConfiguration"]["sessionEnabled"]:
            raise ApiError(400, "ValidationException", "Interactive sessions are not enabled")
        token = request["clientToken"]
        session = next((one for one in self.sessions.values() if one.request["clientToken"] == token), None)
        if session is None:
            session = self.add(f"00g{secrets.token_hex(6)}", request)
        elif session.request != request:
            raise ApiError(409, "ConflictException", "The client token was used with other parameters")
        return {"applicationId": APPLICATION, "sessionId": session.id, "arn": self._arn(session)}

    def get_session(self, request: dict[str, Any]) -> dict[str, Any]:
        session = self._find(request)
        state, details = self.look_at(session)
        told = {
            "applicationId": APPLICATION,
            "sessionId": session.id,
            "arn": self._arn(session),
            "state": state,
            "stateDetails": details,
            "releaseLabel": self.application["releaseLabel"],
            "executionRoleArn": session.request["executionRoleArn"],
            "createdBy": CALLER,
            "createdAt": session.created,
            "updatedAt": time.time(),
            "tags": session.request.get("tags", {}),
        }
        if state in ("TERMINATED", "FAILED"):
            told |= {"billedResourceUtilization": BILLED, "endedAt": session.ended or time.time()}
        return {"session": told}

    def terminate_session(self, request: dict[str, Any]) -> dict[str, Any]:
        session = self._find(request)
        if not session.alive:
            raise ApiError(400, "ValidationException", f"Session {session.id} is in a terminal state")
        self.terminate(session)
        return {"applicationId": APPLICATION, "sessionId": session.id}

    def get_session_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        session = self._find(request)
        if not session.alive:
            raise ApiError(404, "ResourceNotFoundException", f"Session {session.id} has no endpoint")
        token, expires = self.new_token(session)
        return {
            "applicationId": APPLICATION,
            "sessionId": session.id,
            "endpoint": f"https://127.0.0.1:{self.endpoint.port}",
            "authToken": token,
            "authTokenExpiresAt": expires,
        }

    def _require_application(self, request: dict[str, Any]) -> None:
        if request["applicationId"] != APPLICATION:
            message = f"Application {request['applicationId']} does not exist"
            raise ApiError(404, "ResourceNotFoundException", message)

    def _find(self, request: dict[str, Any]) -> Session:
        self._require_application(request)
        if request["sessionId"] not in self.sessions:
            raise ApiError(404, "ResourceNotFoundException", f"Session {request['sessionId']} does not exist")
        return self.sessions[request["sessionId"]]

    def _arn(self, session: Session) -> str:
        return f"{self.application['arn']}/sessions/{session.id}"
