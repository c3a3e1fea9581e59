"""Clients of AWS have the region that the environment says and the keys of now, and are not made without a region."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resources.aws import client, new_session, region
from resources.errors import LakehouseError
from tests.servers.ministack import Aws


def test_an_unknown_profile_is_told(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(LakehouseError, match=r"no AWS credentials that work \(ProfileNotFound\)"):
        client("s3")


def test_a_missing_region_is_told_with_the_variable_to_set(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(LakehouseError, match=r"No AWS region is set: set AWS_REGION"):
        client("glue")


def test_either_variable_for_the_region_is_heard(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert region() == "eu-west-1"
    assert client("glue").meta.region_name == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    assert region() == os.environ["AWS_DEFAULT_REGION"]


@pytest.mark.parametrize("variable", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
@pytest.mark.parametrize(
    "half", ["", "[default]\naws_access_key_id = SECOND\n", "[defau"], ids=["none", "half", "torn"]
)
def test_keys_in_a_file_are_read_with_each_request_and_are_those_of_before_while_it_is_rewritten(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, half: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file, whole = tmp_path / "file", "[default]\naws_access_key_id = {}\naws_secret_access_key = secret\n"
    monkeypatch.setenv(variable, str(file))
    file.write_text(whole.format("FIRST"))
    keys, used = new_session().get_credentials(), []
    assert keys
    for content in (whole.format("FIRST"), half, whole.format("SECOND")):
        file.write_text(content)
        used.append(keys.get_frozen_credentials().access_key)
    assert used == ["FIRST", "FIRST", "SECOND"]
