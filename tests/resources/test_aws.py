"""Clients of AWS are made in the region that the environment says, and refuse to be made without one."""

from __future__ import annotations

import os

import pytest

from resources.aws import client, region
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
