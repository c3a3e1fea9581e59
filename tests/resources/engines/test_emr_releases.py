"""A Spark Connect client must equal its server, so the application's release is looked at first."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from resources.engines.emr_serverless import SPARK_OF, require_suitable
from resources.errors import LakehouseError


def application(release: str) -> dict[str, object]:
    return {"applicationId": "00app", "releaseLabel": release, "interactiveConfiguration": {"sessionEnabled": True}}


@pytest.mark.parametrize(("release", "spark"), SPARK_OF.items())
def test_each_release_takes_the_client_of_its_own_spark(release: str, spark: str) -> None:
    assert require_suitable(application(release), spark) == release
    with pytest.raises(LakehouseError, match=f"install pyspark=={spark}"):
        require_suitable(application(release), "4.2.0")


def test_the_projects_own_pyspark_has_a_release() -> None:
    assert version("pyspark") in SPARK_OF.values()


@pytest.mark.parametrize(
    ("pyspark", "advice"),
    [("4.1.3", "choose release emr-spark-8.2.0 for the application."), ("4.2.0", "choose one of emr-spark-8.2.0, ")],
)
def test_a_release_that_nobody_knows_here_is_told_what_to_choose(pyspark: str, advice: str) -> None:
    with pytest.raises(LakehouseError) as refused:
        require_suitable(application("emr-6.15.0"), pyspark)
    assert "has release emr-6.15.0, whose Spark is not known here: " in str(refused.value.description)
    assert advice in str(refused.value.description)


def test_an_application_that_says_nothing_of_sessions_has_none() -> None:
    with pytest.raises(LakehouseError, match="no interactive sessions enabled"):
        require_suitable({"applicationId": "00app", "releaseLabel": "emr-spark-8.2.0"}, "4.1.3")
