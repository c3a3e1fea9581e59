"""The channel of Spark Connect: how gRPC is spoken to, on every engine.

Belongs here: calls that an interrupt leaves whole, no proxy before this machine, and what the endpoint of a session on
AWS needs beside: TLS, a token that is renewed, patience while the session lives. Does not belong here: the life of an
engine or a session. The token is in no text that anything here makes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import grpc
from pyspark.sql.connect.client import DefaultChannelBuilder
from pyspark.sql.connect.client.retries import DefaultPolicy

from resources.engines.remote_session import Endpoint
from resources.threads import run_in_worker_thread

HEADER = "x-aws-proxy-auth"
HTTPS = 443
RENEW_BEFORE = timedelta(minutes=5)
# A dead peer is noticed after so long. Servers take a sign of life every five minutes for an attack, and load
# balancers of AWS forget a silent connection after 350 s.
SIGN_OF_LIFE_MS = 330 * 1000
RETRIES = 15  # with the pauses below, two minutes
LONGEST_PAUSE_MS = 10_000


class WorkerThreadCalls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Makes the main thread's calls in a worker thread, so an interrupt finds it waiting, without a lock.

    Python raises an interrupt in the main thread, wherever that is; where gRPC holds a lock, the lock would stay taken,
    and ending the session would never end. Where answers may be lost on the way, as from a session on AWS, pyspark
    itself starts threads under a lock to ask for them again: there such a moment is left, and AWS ends the session
    once it is idle.
    """

    def __init__(self) -> None:
        self.refused = False
        """Whether the channel is closed, or about to be: gRPC crashes where an intercepted call finds it closed."""

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """A call with one answer."""
        self._look()
        return run_in_worker_thread(continuation, details, request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Iterator[Any]:
        """A call whose answers come one by one. One that nobody waits for any more is cancelled."""
        self._look()
        calls = [run_in_worker_thread(continuation, details, request)]
        try:
            while (answer := run_in_worker_thread(next, calls[0], None)) is not None:
                yield answer
        finally:
            run_in_worker_thread(lambda: calls.pop().cancel())  # and forgotten there: that takes gRPC's lock, too

    def _look(self) -> None:
        if self.refused:
            raise ValueError("Cannot invoke RPC on closed channel!")  # gRPC's own words, which pyspark knows


class ConnectChannel(DefaultChannelBuilder):
    """The channel to an `sc://` address."""

    def __init__(self, url: str, channelOptions: list[tuple[str, Any]] | None = None) -> None:  # noqa: N803
        super().__init__(url, channelOptions)
        self._calls = WorkerThreadCalls()
        self.add_interceptor(self._calls)
        if _is_here(str(self.url.hostname)):
            self.setChannelOption("grpc.enable_http_proxy", 0)  # no proxy leads back to this machine


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


class AuthToken(grpc.AuthMetadataPlugin):  # type: ignore[misc]
    """Gives every call the current token, and fetches a new one in time; what runs keeps running.

    gRPC asks for it at each call. pyspark would keep a channel builder's metadata from a query's first call to its
    last, so where it resumes a query, the token would be an old one.
    """

    def __init__(self, fetch: Callable[[], Endpoint]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._value = ""
        self._renew = self._expires = datetime.min.replace(tzinfo=UTC)
        self.url = ""

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

    def _take(self, answer: Endpoint, now: datetime) -> None:
        self.url, self._value, self._expires = answer.url, answer.token, answer.expires
        self._renew = self._expires - min(RENEW_BEFORE, (self._expires - now) / 2)


class TokenChannel(ConnectChannel):
    """How pyspark reaches a session. Its endpoint is a URL or a host; the port is 443 unless it has another."""

    def __init__(self, token: AuthToken) -> None:
        token.current()
        url = urlsplit(token.url if "//" in token.url else f"//{token.url}")
        signs_of_life = [("grpc.keepalive_time_ms", SIGN_OF_LIFE_MS)]
        super().__init__(f"sc://{url.hostname}:{url.port or HTTPS}/;use_ssl=true", signs_of_life)
        self._token = token
        self._opened: grpc.Channel | None = None

    def toChannel(self) -> grpc.Channel:  # noqa: N802
        """Open the channel: TLS with the usual certificates, and the token for every call."""
        tls, token = grpc.ssl_channel_credentials(), grpc.metadata_call_credentials(self._token)
        # Private, but what pyspark's `toChannel` is made of: that knows no credentials that are renewed, and a channel
        # of gRPC's own would have neither the options nor the interceptors that were added.
        self._opened = self._secure_channel(self.endpoint, grpc.composite_channel_credentials(tls, token))
        return self._opened

    def refuse_calls(self) -> None:
        """Let no call begin any more. Whoever tries one fails at once, and waits for no engine that has ended."""
        self._calls.refused = True

    def close(self) -> None:
        """End all calls, a while after they are refused: one that is just about to begin would crash the process."""
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
