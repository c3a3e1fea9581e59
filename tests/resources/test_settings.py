"""A wrong setting stops with one sentence that says what to set; reading the settings touches nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.engines.local import CONNECT_SERVER
from resources.settings import NAMES, SPARK_CONF_OF_OURS, Emr, Glue, Settings, SettingsError
from stedi_assets.rules import Consent
from tests.support import ROOT

LAKE = "s3://stedi-lake/prod"
ROLE = "arn:aws:iam::123456789012:role/stedi/execution"
LOCAL = {"STEDI_SPARK": "local"}
ON_EMR = {
    "STEDI_LAKEHOUSE": LAKE,
    "STEDI_SPARK": "emr-serverless",
    "STEDI_EMR_APPLICATION_ID": "00f1abcdefgh2345",
    "STEDI_EMR_EXECUTION_ROLE_ARN": ROLE,
}
ON_GLUE = {"STEDI_LAKEHOUSE": LAKE, "STEDI_SPARK": "glue", "STEDI_GLUE_EXECUTION_ROLE_ARN": ROLE}


def refusal(environment: dict[str, str]) -> str:
    """The sentence that this environment stops with."""
    with pytest.raises(SettingsError) as stopped:
        Settings.from_environment(environment)
    assert "\n" not in stopped.value.message
    assert stopped.value.message[-1] in ".?"
    return stopped.value.message


def test_a_fresh_machine_needs_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment({})
    assert settings.model_dump() == {
        "source": "sample",
        "lakehouse": str(tmp_path / "lakehouse"),
        "spark": "embedded",
        "consent": Consent.CUSTOMER,
        "database": "stedi",
        "quarantine_limit": 0.05,
        "shrink_limit": 0.5,
        "rebuild": False,
        "history_days": 7,
        "spark_conf": {},
        "source_access": "credentials",
        "athena_workgroup": "primary",
        "emr": None,
        "glue": None,
    }
    assert not settings.on_aws


def test_every_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    environment = {
        "STEDI_SOURCE": str(tmp_path),
        "STEDI_LAKEHOUSE": str(tmp_path / "my lake"),
        "STEDI_SPARK": "local",
        "STEDI_SPARK_CONF": "spark.driver.memory=4g 'spark.driver.extraJavaOptions=-Xss4m -Da=b'",
        "STEDI_CONSENT": "as-of-date",
        "STEDI_DATABASE": "stedi_2",
        "STEDI_QUARANTINE_LIMIT": "0.5",
    }
    assert Settings.from_environment(environment) == Settings(
        source=str(tmp_path),
        lakehouse=str(tmp_path / "my lake"),
        spark="local",
        consent="as-of-date",
        database="stedi_2",
        quarantine_limit=0.5,
        spark_conf={"spark.driver.memory": "4g", "spark.driver.extraJavaOptions": "-Xss4m -Da=b"},
    )


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STEDI_CONSENT", "as-of-date")
    assert Settings.from_environment().consent == Consent.AS_OF_DATE


def test_a_setting_can_be_each_rule_of_consent_that_there_is() -> None:
    for rule in Consent:
        assert Consent(Settings.from_environment({"STEDI_CONSENT": rule}).consent) is rule


@pytest.mark.parametrize("value", ["", "  ", "\t"])
@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_the_default(name: str, value: str) -> None:
    assert Settings.from_environment({name: value}) == Settings.from_environment({})


FOLDER = "set it to 'sample', a folder that exists, or s3://bucket/prefix"
IN_S3 = "set it to a folder, or to s3://bucket/prefix"
SHARE = "set it to a share between 0 and 1, such as 0.05 for 5 %"
MINUTES = "set it to minutes between 1 and 1440"
NAME = "use at most 64 lower-case letters, digits and _, starting with a letter"
PRICES = "write vcpu-hour=0.05 gb-hour=0.05 storage-gb-hour=0.05, each with its own price"
PAIRS = "write spark.key=value, several with blanks between, quotes around one with blanks"
NOT_USABLE: list[tuple[dict[str, str], str, list[str], str]] = [
    ({}, "STEDI_SOURCE", ["/none", __file__, "~no-such-user/feeds", "https://bucket/feeds", "s3://B/feeds"], FOLDER),
    ({}, "STEDI_SOURCE_ACCESS", ["public"], "set it to 'credentials', 'anonymous' or 'requester-pays'"),
    ({}, "STEDI_LAKEHOUSE", ["s3://bucket/a b", "gs://bucket/prefix", "s3://bucket//prefix"], IN_S3),
    (
        {},
        "STEDI_LAKEHOUSE",
        [__file__, f"{__file__}/a", "~no-such-user/a"],
        "nothing can be written there, set it to",
    ),
    (
        {},
        "STEDI_LAKEHOUSE",
        [f"lake{sign}house" for sign in "*?[]{}#"],
        "set it to a folder with none of * ? [ ] { }",
    ),
    ({}, "STEDI_SPARK", ["databricks", "Embedded"], "set it to 'embedded', 'local', 'emr-serverless' or 'glue'"),
    (
        {},
        "STEDI_SPARK",
        ["emr-serverless", "glue"],
        "a session on AWS reaches no folder, set STEDI_LAKEHOUSE to s3://bucket/prefix",
    ),
    ({}, "STEDI_CONSENT", ["maybe", "as_of_date"], "set it to 'customer' or 'as-of-date'"),
    ({}, "STEDI_DATABASE", ["Stedi", "2stedi", "stediété", "stedi.raw", "../stedi", "s" * 65], NAME),
    ({}, "STEDI_DATABASE", ["sample", "a_landing"], "that folder of the lakehouse holds something else, use another"),
    ({}, "STEDI_QUARANTINE_LIMIT", ["5 %", "5", "-0.1", "nan", "inf", "none"], SHARE),
    (
        {},
        "STEDI_SPARK_CONF",
        ["spark.a=1"],
        "the embedded engine takes no Spark settings, unset it or set STEDI",
    ),
    ({}, "STEDI_ATHENA_WORKGROUP", ["work group"], "use a workgroup's name"),
    (LOCAL, "STEDI_SPARK_CONF", ["spark.a", "spark.a=", "driver.a=4g", "spark.a=1, spark.b=2 c"], PAIRS),
    (LOCAL, "STEDI_SPARK_CONF", ["'spark.a=1"], "it cannot be split into settings (No closing quotation)"),
    (
        LOCAL,
        "STEDI_SPARK_CONF",
        ["spark.a=1 spark.plugins=x"],
        "spark.plugins is set by the engine itself, leave it",
    ),
    (ON_EMR, "STEDI_EMR_APPLICATION_ID", [""], "STEDI_SPARK='emr-serverless' needs the id of an EMR Serverless appl"),
    (ON_EMR, "STEDI_EMR_APPLICATION_ID", ["My App"], "set it to the id of an EMR Serverless application"),
    (ON_EMR, "STEDI_EMR_EXECUTION_ROLE_ARN", [""], "STEDI_SPARK='emr-serverless' needs the ARN of the role that sess"),
    (ON_EMR, "STEDI_EMR_EXECUTION_ROLE_ARN", ["stedi-role"], "set it to the ARN of the role that sessions have"),
    (ON_EMR, "STEDI_EMR_IDLE_MINUTES", ["0", "1441"], MINUTES),
    (ON_EMR, "STEDI_EMR_START_MINUTES", ["soon"], MINUTES),
    (ON_EMR, "STEDI_EMR_PRICES", ["vcpu-hour=1", "vcpu-hour=1 gb-hour=2 storage-gb-hour=cheap"], PRICES),
    (ON_EMR, "STEDI_EMR_PRICES", ["vcpu-hour=1 gb-hour=2 gpu-hour=3"], PRICES),
    (ON_EMR, "STEDI_SPARK", ["local"], "a lakehouse in S3 needs 'embedded', 'emr-serverless' or 'glue'"),
    (ON_GLUE, "STEDI_GLUE_EXECUTION_ROLE_ARN", [""], "STEDI_SPARK='glue' needs the ARN of the role that sessions have"),
    (ON_GLUE, "STEDI_GLUE_WORKERS", ["1", "300"], "set it to a number between 2 and 299"),
    (ON_GLUE, "STEDI_GLUE_WORKER_TYPE", ["G.3X"], "set it to 'G.1X', 'G.2X', "),
    (ON_GLUE, "STEDI_GLUE_PRICES", ["0.44", "dpu-hour=nan"], "write dpu-hour=0.05, each with its own price"),
    (ON_GLUE, "STEDI_SPARK_CONF", ["spark.a='1 2'"], "Glue splits values at blanks, leave spark.a out or write it"),
]


@pytest.mark.parametrize(
    ("others", "name", "value", "expected"),
    [(others, name, value, expected) for others, name, values, expected in NOT_USABLE for value in values],
)
def test_a_wrong_value_stops_with_one_sentence_naming_variable_value_and_what_is_allowed(
    others: dict[str, str], name: str, value: str, expected: str
) -> None:
    assert refusal({**others, name: value}).startswith(f"{name}={value!r} is not usable: {expected}")


def test_the_engine_keeps_for_itself_what_its_server_needs() -> None:
    assert set(CONNECT_SERVER) < set(SPARK_CONF_OF_OURS)


def test_a_setting_that_does_not_exist_is_refused_with_the_one_that_may_be_meant() -> None:
    """A misspelt STEDI_CONSENT must not let the laxer rule apply."""
    sentence = refusal({"STEDI_CONSNET": "as-of-date"})
    assert sentence == "There is no setting STEDI_CONSNET: unset it. Is STEDI_CONSENT what you mean?"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=70))
def test_a_database_name_is_one_that_glue_and_every_engine_take_unquoted(name: str) -> None:
    try:
        database = Settings.from_environment({"STEDI_DATABASE": name}).database
    except SettingsError:
        return
    assert database == (name.strip() or "stedi")
    assert database.isascii()
    assert database.replace("_", "a").isalnum()
    assert database == database.lower()
    assert database[0].isalpha()
    assert len(database) <= 64


def test_folders_are_absolute_so_that_every_process_means_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "feeds").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("feeds", "./feeds", "~/feeds"):
        settings = Settings.from_environment({"STEDI_SOURCE": value, "STEDI_LAKEHOUSE": value})
        assert (settings.source, settings.lakehouse) == (str(tmp_path / "feeds"),) * 2


@pytest.mark.parametrize("lakehouse", [{}, {"STEDI_LAKEHOUSE": LAKE}], ids=["a folder", "in S3"])
@pytest.mark.parametrize("access", ["credentials", "anonymous", "requester-pays"])
def test_feeds_in_s3_come_into_every_lakehouse(lakehouse: dict[str, str], access: str) -> None:
    source = {"STEDI_SOURCE": "s3://cd0030bucket/", "STEDI_SOURCE_ACCESS": access}
    settings = Settings.from_environment({**lakehouse, **source})
    assert (settings.source, settings.source_access) == ("s3://cd0030bucket", access)
    assert (settings.on_aws, settings.spark) == (bool(lakehouse), "embedded")


def test_emr_serverless_is_an_application_a_role_and_how_long_to_wait() -> None:
    costs = {"vcpu-hour": 0.05, "gb-hour": 0.006, "storage-gb-hour": 0.0001}
    limits = {"STEDI_EMR_IDLE_MINUTES": "30", "STEDI_EMR_START_MINUTES": "5"}
    prices = {"STEDI_EMR_PRICES": " ".join(f"{unit}={price}" for unit, price in costs.items())}
    conf = {"STEDI_SPARK_CONF": "spark.executor.memory=8g spark.emr-serverless.scalingProfile=balanced"}
    settings = Settings.from_environment({**ON_EMR, **limits, **prices, **conf})
    known = Emr(application_id="00f1abcdefgh2345", execution_role_arn=ROLE)
    assert settings.emr == known.model_copy(update={"idle_minutes": 30, "start_minutes": 5, "prices": costs})
    assert settings.spark_conf == {"spark.executor.memory": "8g", "spark.emr-serverless.scalingProfile": "balanced"}
    assert Settings.from_environment(ON_EMR).emr == known
    assert (known.idle_minutes, known.start_minutes, known.prices) == (15, 10, {})


def test_glue_is_a_role_workers_and_how_long_to_wait() -> None:
    more = {"STEDI_GLUE_WORKERS": "4", "STEDI_GLUE_WORKER_TYPE": "G.2X", "STEDI_GLUE_PRICES": "dpu-hour=0.44"}
    known = Glue(execution_role_arn=ROLE)
    assert Settings.from_environment(ON_GLUE).glue == known
    assert (known.workers, known.worker_type, known.idle_minutes, known.start_minutes) == (2, "G.1X", 15, 10)
    asked = {"workers": 4, "worker_type": "G.2X", "prices": {"dpu-hour": 0.44}}
    assert Settings.from_environment({**ON_GLUE, **more}).glue == known.model_copy(update=asked)


WATCHED = """
import sys
from resources.settings import Settings
touched = []
def watch(event, args):
    if event != "builtins.id":
        touched.append((event, args[:1]))
sys.addaudithook(watch)
Settings.from_environment()
heavy = {"dagster", "pyspark", "pysail", "pyiceberg", "pyarrow"} & set(sys.modules)
print([*touched, *heavy])
"""


def test_reading_the_settings_opens_nothing_writes_nothing_and_imports_no_engine(tmp_path: Path) -> None:
    (tmp_path / "feeds").mkdir()
    environment = {"STEDI_SOURCE": "feeds", "STEDI_LAKEHOUSE": "not/there/yet", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
    assert [path.name for path in tmp_path.iterdir()] == ["feeds"]


def test_the_command_line_shows_the_sentence_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("dagster"), "asset", "list", "-m", "stedi_assets"],
        cwd=ROOT,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path), "STEDI_CONSENT": "maybe"},
        check=False,
        capture_output=True,
        text=True,
    )
    shown = done.stdout + done.stderr
    assert done.returncode != 0
    assert "STEDI_CONSENT='maybe' is not usable: set it to 'customer' or 'as-of-date'." in shown
    assert "Traceback" not in shown
    assert 'File "' not in shown
