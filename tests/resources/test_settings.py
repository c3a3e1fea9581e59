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
from resources.settings import NAMES, SPARK_CONF_OF_OURS, Consent, Settings, SettingsError
from tests.support import ROOT


def refusal(name: str, value: str) -> str:
    """The sentence that this value of this variable stops with."""
    with pytest.raises(SettingsError) as stopped:
        Settings.from_environment({name: value})
    return stopped.value.message


def test_a_fresh_machine_needs_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({}) == Settings(
        source="sample",
        lakehouse=str(tmp_path / "lakehouse"),
        spark="embedded",
        consent=Consent.CUSTOMER,
        database="stedi",
        quarantine_limit=0.05,
        spark_conf={},
    )


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
        consent=Consent.AS_OF_DATE,
        database="stedi_2",
        quarantine_limit=0.5,
        spark_conf={"spark.driver.memory": "4g", "spark.driver.extraJavaOptions": "-Xss4m -Da=b"},
    )


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STEDI_CONSENT", "as-of-date")
    assert Settings.from_environment().consent is Consent.AS_OF_DATE


@pytest.mark.parametrize("value", ["", "  ", "\t"])
@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_the_default(name: str, value: str) -> None:
    assert Settings.from_environment({name: value}) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("STEDI_SOURCE", "/no/such/folder", ["'sample'", "a folder that exists"]),
        ("STEDI_SOURCE", __file__, ["'sample'", "a folder that exists"]),
        ("STEDI_SOURCE", "~no-such-user/feeds", ["'sample'", "a folder that exists"]),
        ("STEDI_SOURCE", "https://bucket/feeds", ["'sample'", "s3://bucket/prefix"]),
        ("STEDI_SOURCE", "s3://B/feeds", ["'sample'", "s3://bucket/prefix"]),
        ("STEDI_SOURCE_ACCESS", "public", ["'credentials'", "'anonymous'", "'requester-pays'"]),
        ("STEDI_LAKEHOUSE", "s3://bucket/a b", ["a folder", "s3://bucket/prefix"]),
        ("STEDI_LAKEHOUSE", "gs://bucket/prefix", ["a folder", "s3://bucket/prefix"]),
        ("STEDI_LAKEHOUSE", "s3://bucket//prefix", ["a folder", "s3://bucket/prefix"]),
        ("STEDI_LAKEHOUSE", __file__, ["a folder"]),
        ("STEDI_LAKEHOUSE", f"{__file__}/lakehouse", ["a folder"]),
        ("STEDI_LAKEHOUSE", "~no-such-user/lakehouse", ["a folder"]),
        *(("STEDI_LAKEHOUSE", f"lake{sign}house", ["a folder", "* ? [ ] { } #"]) for sign in "*?[]{}#"),
        ("STEDI_SPARK", "databricks", ["'embedded'", "'local'", "'emr-serverless'"]),
        ("STEDI_SPARK", "Embedded", ["'embedded'", "'local'", "'emr-serverless'"]),
        ("STEDI_CONSENT", "maybe", ["'customer'", "'as-of-date'"]),
        ("STEDI_CONSENT", "as_of_date", ["'customer'", "'as-of-date'"]),
        ("STEDI_DATABASE", "Stedi", ["lower-case letters, digits and _", "starting with a letter"]),
        ("STEDI_DATABASE", "2stedi", ["lower-case letters, digits and _", "starting with a letter"]),
        ("STEDI_DATABASE", "stediété", ["lower-case letters, digits and _", "starting with a letter"]),
        ("STEDI_DATABASE", "stedi.raw", ["lower-case letters, digits and _", "starting with a letter"]),
        ("STEDI_DATABASE", "../stedi", ["lower-case letters, digits and _", "starting with a letter"]),
        ("STEDI_DATABASE", "s" * 65, ["at most 64 lower-case letters, digits and _"]),
        ("STEDI_QUARANTINE_LIMIT", "5 %", ["between 0 and 1", "0.05 for 5 %"]),
        ("STEDI_QUARANTINE_LIMIT", "5", ["between 0 and 1", "0.05 for 5 %"]),
        ("STEDI_QUARANTINE_LIMIT", "-0.1", ["between 0 and 1", "0.05 for 5 %"]),
        ("STEDI_QUARANTINE_LIMIT", "nan", ["between 0 and 1", "0.05 for 5 %"]),
        ("STEDI_QUARANTINE_LIMIT", "none", ["between 0 and 1", "0.05 for 5 %"]),
    ],
)
def test_a_wrong_value_stops_with_one_sentence_naming_variable_value_and_what_is_allowed(
    name: str, value: str, allowed: list[str]
) -> None:
    sentence = refusal(name, value)
    assert sentence.startswith(f"{name}={value!r} is not usable: ")
    assert all(what in sentence for what in allowed)
    assert "\n" not in sentence
    assert sentence.endswith(".")


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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("spark.driver.memory", "write spark.key=value"),
        ("spark.driver.memory=", "write spark.key=value"),
        ("driver.memory=4g", "write spark.key=value"),
        ("spark.a=1, spark.b=2 c", "write spark.key=value"),
        ("'spark.a=1", "it cannot be split into settings (No closing quotation)"),
        ("spark.a=1 spark.plugins=x", "spark.plugins is set by the engine itself, leave it out"),
        ("spark.remote=sc://elsewhere", "spark.remote is set by the engine itself, leave it out"),
    ],
)
def test_spark_settings_that_cannot_work_are_refused(value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as stopped:
        Settings.from_environment({"STEDI_SPARK": "local", "STEDI_SPARK_CONF": value})
    assert stopped.value.message.startswith(f"STEDI_SPARK_CONF={value!r} is not usable: {expected}")


def test_the_embedded_engine_takes_no_spark_settings_and_says_so() -> None:
    assert "set STEDI_SPARK=local" in refusal("STEDI_SPARK_CONF", "spark.driver.memory=4g")


def test_the_engine_keeps_for_itself_what_its_server_needs() -> None:
    assert set(CONNECT_SERVER) < set(SPARK_CONF_OF_OURS)


@given(st.floats(0, 1))
def test_every_share_between_nothing_and_everything_can_be_the_quarantine_limit(share: float) -> None:
    assert Settings.from_environment({"STEDI_QUARANTINE_LIMIT": str(share)}).quarantine_limit == share


def test_folders_are_absolute_so_that_every_process_means_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "feeds").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("feeds", "./feeds", "~/feeds"):
        settings = Settings.from_environment({"STEDI_SOURCE": value, "STEDI_LAKEHOUSE": value})
        assert (settings.source, settings.lakehouse) == (str(tmp_path / "feeds"),) * 2


WATCHED = """
import sys
from resources.settings import Settings
touched = []
sys.addaudithook(lambda event, args: touched.append((event, args[:1])))
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


def test_a_setting_that_does_not_exist_is_refused_with_the_one_that_may_be_meant() -> None:
    """A misspelt STEDI_CONSENT must not let the laxer rule apply."""
    with pytest.raises(SettingsError, match=r"There is no setting STEDI_CONSNET: unset it\. Is STEDI_CONSENT what"):
        Settings.from_environment({"STEDI_CONSNET": "as-of-date"})
