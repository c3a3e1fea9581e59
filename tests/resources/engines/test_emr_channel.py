"""Every call carries a valid token, over TLS, for as long as the run takes; and a lost connection is found again."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resources.engines.channel import AuthToken, EmrChannel
from tests.resources.emr_runs import engine, run
from tests.servers.emr_serverless import BROKEN, EmrServerless, denied


def test_a_client_without_a_token_is_refused(emr: EmrServerless) -> None:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    stranger: Any = SparkSession.builder.remote(f"sc://127.0.0.1:{emr.endpoint.port}/;use_ssl=true").create()
    with pytest.raises(PySparkException, match="The token is missing"):
        stranger.range(1).count()
    stranger.client.close()


def test_the_token_is_renewed_in_the_middle_of_a_run_and_the_session_stays(emr: EmrServerless) -> None:
    emr.token_seconds = 2.0  # renewed when half of that is over
    spark = engine()
    try:
        spark.spark_session.range(5).createOrReplaceTempView("only_in_this_session")
        until = time.monotonic() + 3.2
        while time.monotonic() < until:
            assert spark.spark_session.sql("select * from only_in_this_session").count() == 5
            time.sleep(0.2)
    finally:
        spark.close()
    assert len(emr.sessions) == 1
    assert len({token for _, token in emr.endpoint.calls}) >= 3
    assert emr.calls.count("GetSessionEndpoint") == len(emr.tokens) < 10


def test_a_query_that_loses_its_connection_goes_on_under_a_newer_token(emr: EmrServerless) -> None:
    """pyspark keeps the metadata that a query began with: the token must not be among it."""
    emr.token_seconds = 1.5
    emr.endpoint.open.clear()

    def disturb() -> None:
        assert emr.endpoint.waiting.wait(30)
        time.sleep(emr.token_seconds)
        emr.endpoint.hang_up()
        emr.endpoint.open.set()
        emr.endpoint.listen()

    thread = threading.Thread(target=disturb)
    thread.start()
    done = run()
    thread.join()
    assert (done.result.success, done.counted) == (True, [3, 4])
    assert len(emr.sessions) == 1
    first = next(token for method, token in emr.endpoint.calls if method == "ExecutePlan")
    resumed = [token for method, token in emr.endpoint.calls if method == "ReattachExecute"]
    assert resumed
    assert first not in resumed


def answer(seconds: float, token: str, endpoint: str = "https://host") -> dict[str, Any]:
    expires = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"endpoint": endpoint, "authToken": token, "authTokenExpiresAt": expires}


def test_a_token_is_fetched_once_until_it_is_about_to_expire() -> None:
    answers = [answer(299, "first"), answer(3600, "second"), answer(3600, "third")]
    token = AuthToken(lambda: answers.pop(0))
    assert token.current() == token.current() == "first"  # half of its life is left
    token._renew = datetime.now(UTC)
    assert token.current() == token.current() == "second"
    assert timedelta(minutes=54) < token._renew - datetime.now(UTC) < timedelta(minutes=56)


def test_while_no_new_token_can_be_had_the_old_one_is_used_until_it_expires() -> None:
    answers: list[Any] = [answer(3600, "old")]

    def fetch() -> Any:
        if answers:
            return answers.pop()
        raise ConnectionError("no network")

    token = AuthToken(fetch)
    assert token.current() == "old"
    token._renew = datetime.now(UTC)
    assert token.current() == "old"
    token._expires = datetime.now(UTC)
    with pytest.raises(ConnectionError):
        token.current()


@pytest.mark.parametrize(
    ("endpoint", "connects_to"),
    [
        ("https://00g8.s.emr-serverless-services.eu-central-1.amazonaws.com", "amazonaws.com:443"),
        ("00g8.s.emr-serverless-services.eu-central-1.amazonaws.com", "amazonaws.com:443"),
        ("https://127.0.0.1:8443", "127.0.0.1:8443"),
        ("127.0.0.1:8443", "127.0.0.1:8443"),
    ],
)
def test_the_endpoint_may_be_a_url_or_a_host_and_its_port_is_that_of_https(endpoint: str, connects_to: str) -> None:
    channel = EmrChannel(AuthToken(lambda: answer(3600, "secret", endpoint)))
    assert channel.endpoint.endswith(connects_to)
    assert channel.use_ssl
    assert "secret" not in repr(channel) + repr(vars(channel)) + str(list(channel.metadata()))


@pytest.mark.parametrize("fault", [denied("GetSessionEndpoint"), BROKEN], ids=["denied", "broken"])
def test_a_renewal_that_fails_is_tried_again_at_the_next_call(emr: EmrServerless, fault: Any) -> None:
    emr.token_seconds = 2.0
    spark = engine()
    try:
        assert spark.spark_session.range(3).count() == 3
        emr.fail("GetSessionEndpoint", fault)
        time.sleep(1.1)
        assert spark.spark_session.range(3).count() == 3
        assert spark.spark_session.range(3).count() == 3
    finally:
        spark.close()
    assert len(emr.tokens) >= 2
