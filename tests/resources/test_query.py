"""A question in SQL gives named columns and rows, over the tables that it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.query import EngineQuery

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

People = Callable[[], "DataFrame"]


@pytest.fixture
def people(spark: SparkSession) -> People:
    return lambda: spark.createDataFrame([("ann", 3), ("bob", None)], "user string, steps bigint")


@pytest.fixture
def devices(spark: SparkSession) -> People:
    return lambda: spark.createDataFrame([("ann", "s1"), ("ann", "s2")], "user string, serialnumber string")


def test_an_answer_has_the_columns_and_rows_of_the_statement(people: People) -> None:
    answer = EngineQuery().run("select user, steps * 2 as doubled from people order by user", {"people": people})
    assert answer.columns == ["user", "doubled"]
    assert answer.rows == [("ann", 6), ("bob", None)]
    assert answer.seconds > 0


def test_columns_of_the_same_name_are_all_in_the_answer(people: People, devices: People) -> None:
    sql = "select people.user, devices.user from people join devices on people.user = devices.user limit 1"
    answer = EngineQuery().run(sql, {"people": people, "devices": devices})
    assert (answer.columns, answer.rows) == (["user", "user"], [("ann", "ann")])


def test_a_name_means_the_table_as_it_is_now(people: People, devices: People) -> None:
    query = EngineQuery()
    assert query.run("select count(*) from it", {"it": people}).rows == [(2,)]
    assert query.run("select max(serialnumber) from it", {"it": devices}).rows == [("s2",)]


def test_a_statement_that_is_no_sql_is_an_error_and_not_an_empty_answer(people: People) -> None:
    with pytest.raises(Exception, match="nonsense"):
        EngineQuery().run("nonsense", {"people": people})


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.none() | st.integers(-9, 9), st.none() | st.text("aé'\"\\", max_size=3)), max_size=5))
def test_every_row_of_a_table_is_in_the_answer(spark: SparkSession, rows: list[tuple[Any, ...]]) -> None:
    views = {"numbers": lambda: spark.createDataFrame(rows, "number bigint, text string")}
    answer = EngineQuery().run("select * from numbers", views)
    assert answer.columns == ["number", "text"]
    assert sorted(answer.rows, key=repr) == sorted(rows, key=repr)
