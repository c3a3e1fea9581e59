"""The settings of AWS: a lakehouse in S3, who pays for the source, Athena, and EMR Serverless."""

from __future__ import annotations

import pytest

from resources.aws_settings import Emr
from resources.settings import Settings, SettingsError

LAKE = "s3://stedi-lake/prod"
ROLE = "arn:aws:iam::123456789012:role/stedi/execution"
EMR = {
    "STEDI_LAKEHOUSE": LAKE,
    "STEDI_SPARK": "emr-serverless",
    "STEDI_EMR_APPLICATION_ID": "00f1abcdefgh2345",
    "STEDI_EMR_EXECUTION_ROLE_ARN": ROLE,
}


def refusal(environment: dict[str, str]) -> str:
    """The sentence that this environment stops with."""
    with pytest.raises(SettingsError) as stopped:
        Settings.from_environment(environment)
    assert "\n" not in stopped.value.message
    return stopped.value.message


def test_a_lakehouse_in_s3_needs_no_other_setting() -> None:
    settings = Settings.from_environment({"STEDI_LAKEHOUSE": LAKE})
    assert settings.on_aws
    assert (settings.lakehouse, settings.spark, settings.athena_workgroup) == (LAKE, "embedded", "primary")
    assert settings.emr is None


def test_a_lakehouse_in_a_folder_has_nothing_to_do_with_aws() -> None:
    settings = Settings.from_environment({"STEDI_ATHENA_WORKGROUP": "analysts"})
    assert not settings.on_aws
    assert settings.athena_workgroup == ""


@pytest.mark.parametrize("lakehouse", [{}, {"STEDI_LAKEHOUSE": LAKE}], ids=["a folder", "in S3"])
@pytest.mark.parametrize("access", ["credentials", "anonymous", "requester-pays"])
def test_feeds_in_s3_come_into_every_lakehouse(lakehouse: dict[str, str], access: str) -> None:
    source = {"STEDI_SOURCE": "s3://cd0030bucket/", "STEDI_SOURCE_ACCESS": access}
    settings = Settings.from_environment({**lakehouse, **source})
    assert (settings.source, settings.source_access) == ("s3://cd0030bucket", access)


def test_emr_serverless_is_an_application_a_role_and_how_long_to_wait() -> None:
    limits = {"STEDI_EMR_IDLE_MINUTES": "30", "STEDI_EMR_START_MINUTES": "5"}
    prices = {"STEDI_EMR_PRICES": "vcpu-hour=0.05 gb-hour=0.006 storage-gb-hour=0.0001"}
    conf = {"STEDI_SPARK_CONF": "spark.executor.memory=8g spark.emr-serverless.scalingProfile=balanced"}
    settings = Settings.from_environment({**EMR, **limits, **prices, **conf})
    costs = {"vcpu-hour": 0.05, "gb-hour": 0.006, "storage-gb-hour": 0.0001}
    assert settings.emr == Emr("00f1abcdefgh2345", ROLE, 30, 5, costs)
    assert settings.spark_conf == {"spark.executor.memory": "8g", "spark.emr-serverless.scalingProfile": "balanced"}


def test_a_session_that_nobody_uses_ends_after_15_minutes_and_costs_nobody_knows_what() -> None:
    settings = Settings.from_environment(EMR)
    assert settings.emr == Emr("00f1abcdefgh2345", ROLE, idle_minutes=15, start_minutes=10, prices={})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("STEDI_EMR_APPLICATION_ID", "", "STEDI_SPARK='emr-serverless' needs the id of an EMR Serverless application"),
        ("STEDI_EMR_APPLICATION_ID", "My App", "set it to the id of an EMR Serverless application"),
        ("STEDI_EMR_EXECUTION_ROLE_ARN", "", "needs the ARN of the role that sessions have"),
        ("STEDI_EMR_EXECUTION_ROLE_ARN", "stedi-role", "set it to the ARN of the role that sessions have"),
        ("STEDI_EMR_IDLE_MINUTES", "0", "set it to minutes between 1 and 1440"),
        ("STEDI_EMR_START_MINUTES", "soon", "set it to minutes between 1 and 1440"),
        ("STEDI_EMR_PRICES", "vcpu-hour=0.05", "gb-hour=0.05 storage-gb-hour=0.05"),
        ("STEDI_EMR_PRICES", "vcpu-hour=1 gb-hour=2 storage-gb-hour=cheap", "each with its own price"),
        ("STEDI_ATHENA_WORKGROUP", "work group", "use a workgroup's name"),
        ("STEDI_LAKEHOUSE", "/tmp/lake", "EMR Serverless reaches no folder, set STEDI_LAKEHOUSE to s3://bucket/prefix"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(name: str, value: str, expected: str) -> None:
    assert expected in refusal({**EMR, name: value})


def test_apache_spark_on_this_machine_reads_no_s3_and_says_which_engines_do() -> None:
    sentence = refusal({"STEDI_LAKEHOUSE": LAKE, "STEDI_SPARK": "local"})
    assert sentence.endswith("a lakehouse in S3 needs 'embedded' or 'emr-serverless'.")
