"""The connection to a session on EMR Serverless: TLS, a token that is renewed, patience while the session lives.

Belongs here: what gRPC and pyspark need to speak to the session's endpoint. Does not belong here: the session's life
(`emr_session.py`). The token is in no text that anything here makes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import grpc
from pyspark.sql.connect.client.retries import DefaultPolicy

from resources.engines.channel import CallsElsewhere, ConnectChannel

HEADER = "x-aws-proxy-auth"
HTTPS = 443
RENEW_BEFORE = timedelta(minutes=5)
# A dead peer is noticed after so long. Servers take a sign of life every five minutes for an attack, and load
# balancers of AWS forget a silent connection after 350 s.
SIGN_OF_LIFE_MS = 330 * 1000
RETRIES = 15  # with the pauses below, two minutes
LONGEST_PAUSE_MS = 10_000


class AuthToken(grpc.AuthMetadataPlugin):  # type: ignore[misc]
    """Gives every call the current token, and fetches a new one in time; what runs keeps running.

    gRPC asks for it at each call, also where pyspark resumes a query that it began under an older token.
    """

    def __init__(self, fetch: Callable[[], Mapping[str, Any]]) -> None:
        """`fetch` gives what GetSessionEndpoint answers."""
        self._fetch = fetch
        self._lock = threading.Lock()
        self._value = ""
        self._renew = self._expires = datetime.min.replace(tzinfo=UTC)
        self.endpoint = ""

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        """What gRPC calls for each request, on a thread of its own."""
        try:
            token = self.current()
        except Exception as error:
            callback((), error)
        else:
            callback(((HEADER, token),), None)

    def current(self) -> str:
        """The token to use now. Where no new one can be had, the old one is used until it expires."""
        with self._lock:
            now = datetime.now(UTC)
            if now >= self._renew:
                try:
                    self._take(self._fetch(), now)
                except Exception:
                    if now >= self._expires:
                        raise
            return self._value

    def _take(self, answer: Mapping[str, Any], now: datetime) -> None:
        self.endpoint, self._value, self._expires = (
            answer["endpoint"],
            answer["authToken"],
            answer["authTokenExpiresAt"],
        )
        self._renew = self._expires - min(RENEW_BEFORE, (self._expires - now) / 2)


class EmrChannel(ConnectChannel):
    """How pyspark reaches the session. The endpoint is a URL or a host; the port is 443 unless it has another."""

    def __init__(self, token: AuthToken) -> None:
        token.current()
        endpoint = token.endpoint
        url = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        signs_of_life = [("grpc.keepalive_time_ms", SIGN_OF_LIFE_MS)]
        super().__init__(f"sc://{url.hostname}:{url.port or HTTPS}/;use_ssl=true", signs_of_life)
        self._token = token
        self._opened: grpc.Channel | None = None

    def toChannel(self) -> grpc.Channel:  # noqa: N802
        """Open the channel: TLS with the usual certificates, and the token for every call."""
        tls, token = grpc.ssl_channel_credentials(), grpc.metadata_call_credentials(self._token)
        channel = self._secure_channel(self.endpoint, grpc.composite_channel_credentials(tls, token))
        self._opened = CallsElsewhere(channel)
        return self._opened

    def close(self) -> None:
        """End all calls. Whoever still tries one fails at once, and does not wait for an engine that has ended."""
        if self._opened is not None:
            self._opened.close()


class WhileItLives(DefaultPolicy):
    """Try again for two minutes where a connection is lost, as long as there is a session to return to."""

    def __init__(self, is_alive: Callable[[], bool]) -> None:
        super().__init__(max_retries=RETRIES, max_backoff=LONGEST_PAUSE_MS)
        self._is_alive = is_alive

    def can_retry(self, e: BaseException) -> bool:
        """Whether pyspark should try the call again that raised this."""
        return bool(super().can_retry(e)) and self._is_alive()
