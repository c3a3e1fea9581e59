"""Every call reaches its engine: past any proxy, with a valid token, and again where the connection was lost."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from resources.engines import channel
from resources.engines.channel import AuthToken, ConnectChannel, TokenChannel
from resources.engines.engine import connect_here
from resources.engines.remote_session import Endpoint
from tests.resources.session_runs import engine, run
from tests.servers.emr_serverless import EmrServerless
from tests.servers.sessions import SessionService

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("variable", ["http_proxy", "grpc_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_in_the_environment_is_not_asked_for_an_engine_on_this_machine(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, host: str, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("no_proxy", "")
    port = spark.client._builder.endpoint.rpartition(":")[2]  # type: ignore[attr-defined]
    session = connect_here(f"sc://{host}:{port}")
    assert session.range(3).count() == 3
    session.stop()


def test_a_proxy_in_the_environment_is_asked_for_an_engine_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with closing(ConnectChannel("sc://engine.example.org:15002").toChannel()) as opened:
            opened.unary_unary("/any/call").future(b"")
            proxy.settimeout(30)
            asked, _ = proxy.accept()
            with asked:
                assert asked.recv(100).startswith(b"CONNECT engine.example.org:15002 ")


class Clock(datetime):
    """The time as the channel sees it."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + cls.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    """A clock that a test can put forward."""
    monkeypatch.setattr(Clock, "ahead", timedelta())
    monkeypatch.setattr(channel, "datetime", Clock)
    return Clock


SOON_EXPIRED = timedelta(minutes=56)  # of a token that lives for an hour


def test_the_token_is_renewed_in_the_middle_of_a_run_and_the_session_stays(
    service: SessionService, clock: type[Clock]
) -> None:
    with closing(engine(service)) as spark:
        spark.spark_session.range(5).createOrReplaceTempView("only_in_this_session")
        clock.ahead = SOON_EXPIRED
        service.expire()
        assert spark.spark_session.sql("select * from only_in_this_session").count() == 5
    assert len(service.sessions) == 1
    assert service.calls.count("GetSessionEndpoint") == len(service.tokens) == 2


def test_a_query_that_loses_its_connection_goes_on_under_a_newer_token(emr: EmrServerless, clock: type[Clock]) -> None:
    """pyspark keeps the metadata that a query began with: the token must not be among it."""
    emr.endpoint.open.clear()

    def disturb() -> None:
        assert emr.endpoint.waiting.wait(30)
        clock.ahead = SOON_EXPIRED
        emr.expire()
        emr.endpoint.hang_up()
        emr.endpoint.open.set()
        emr.endpoint.listen()

    thread = threading.Thread(target=disturb)
    thread.start()
    done = run(emr)
    thread.join()
    assert (done.result.success, done.counted) == (True, [3, 4])
    assert len(emr.sessions) == 1
    first, second = emr.tokens
    assert {token for method, token in emr.endpoint.calls if method == "ReattachExecute"} == {second}
    assert ("ExecutePlan", first) in emr.endpoint.calls


def test_a_renewal_that_fails_is_tried_again_at_the_next_call(emr: EmrServerless, clock: type[Clock]) -> None:
    with closing(engine(emr)) as spark:
        assert spark.spark_session.range(3).count() == 3
        emr.fail("GetSessionEndpoint", emr.denied("GetSessionEndpoint"))
        clock.ahead = SOON_EXPIRED
        assert spark.spark_session.range(3).count() == 3
        assert spark.spark_session.range(3).count() == 3
    assert len(emr.tokens) == 2


def answer(lives: timedelta, token: str, url: str = "https://host") -> Endpoint:
    return Endpoint(url, token, Clock.now(UTC) + lives)


def test_a_token_is_fetched_once_and_again_five_minutes_before_it_expires_or_in_the_half_of_a_short_life(
    clock: type[Clock],
) -> None:
    answers = [("first", timedelta(minutes=8)), ("second", timedelta(hours=1)), ("third", timedelta(hours=1))]

    def fetch() -> Endpoint:
        token, lives = answers.pop(0)
        return answer(lives, token)

    token, seen = AuthToken(fetch), []
    for minutes in (0, 3.9, 4.1, 58.9, 59.2):
        clock.ahead = timedelta(minutes=minutes)
        seen.append(token.current())
    assert seen == ["first", "first", "second", "second", "third"]


def test_while_no_new_token_can_be_had_the_old_one_is_used_until_it_expires(clock: type[Clock]) -> None:
    answers = [answer(timedelta(hours=1), "old")]

    def fetch() -> Endpoint:
        if answers:
            return answers.pop()
        raise ConnectionError("no network")

    token = AuthToken(fetch)
    for minutes in (0, 56, 59.9):
        clock.ahead = timedelta(minutes=minutes)
        assert token.current() == "old"
    clock.ahead = timedelta(minutes=60.1)
    with pytest.raises(ConnectionError):
        token.current()


@pytest.mark.parametrize(
    ("endpoint", "connects_to"),
    [
        ("https://00g8.s.emr-serverless-services.eu-central-1.amazonaws.com", "amazonaws.com:443"),
        ("00g8.s.emr-serverless-services.eu-central-1.amazonaws.com", "amazonaws.com:443"),
        ("sc://a1b2.glue.eu-central-1.amazonaws.com:443", "amazonaws.com:443"),
        ("sc://a1b2.glue.eu-central-1.amazonaws.com", "amazonaws.com:443"),
        ("https://127.0.0.1:8443", "127.0.0.1:8443"),
        ("127.0.0.1:8443", "127.0.0.1:8443"),
    ],
)
def test_the_endpoint_may_be_a_url_or_a_host_and_its_port_is_that_of_https(endpoint: str, connects_to: str) -> None:
    built = TokenChannel(AuthToken(lambda: answer(timedelta(hours=1), "secret", endpoint)))
    assert built.endpoint.endswith(connects_to)
    assert built.use_ssl
    assert "secret" not in repr(built) + repr(vars(built)) + str(list(built.metadata()))
