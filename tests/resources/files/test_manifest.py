"""The fields of a feed are known from a sample of its records, wherever in a file they are."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.files.manifest import MOST_FIELDS, FieldSample
from resources.files.ndjson import CHUNK

RECORD = {"user": "ann", "x": 1}


def names(content: str | bytes) -> tuple[str, ...]:
    data = content.encode() if isinstance(content, str) else content
    sample = FieldSample()
    for start in range(0, len(data), CHUNK):
        sample.feed(data[start : start + CHUNK])
    return sample.names


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RECORD),
        json.dumps(RECORD) + "\n" + json.dumps(RECORD),
        json.dumps(RECORD) * 2,
        json.dumps([RECORD, RECORD]),
        json.dumps([RECORD], indent=2),
        "\ufeff\r\n" + json.dumps(RECORD, indent=1),
        "rubbish\n" + json.dumps(RECORD)[:-5] + "\n" + json.dumps(RECORD),
        json.dumps({**RECORD, "x": {"inside": {"deeper": 1}}}),
        json.dumps(RECORD) + "\n" + "[" * 100_000,
    ],
)
def test_the_fields_of_records_are_found_however_they_are_laid_out(text: str) -> None:
    assert names(text) == ("user", "x")


def test_keys_that_are_addresses_are_counted_and_kept_nowhere() -> None:
    assert names(json.dumps({**RECORD, "ann@example.org": 1, "bob@example.org": 2})) == ("user", "x", "?0", "?1")


@pytest.mark.parametrize(
    "text", ["", "rubbish", "{", "}{", "[1, 2]", '{"a": NaN,', '{"a":' * 5_000, '{"n":' + "9" * 5_000]
)
def test_what_is_no_record_has_no_fields(text: str) -> None:
    assert names(text) == ()


def test_a_field_that_only_records_at_the_end_of_a_large_file_have_is_found() -> None:
    lines = [json.dumps(RECORD)] * 100_000 + [json.dumps({**RECORD, "new": 1})] * 40_000
    assert names("\n".join(lines)) == ("new", "user", "x")


def test_fields_inside_of_a_record_are_none_of_it_wherever_a_chunk_of_the_file_begins() -> None:
    record = {**RECORD, "inside": [{f"n{number}": number} for number in range(200_000)]}
    assert names(json.dumps(record)) == ()
    assert names(json.dumps([RECORD, record], indent=1)) == ("user", "x")


def test_names_that_are_values_do_not_fill_the_memory() -> None:
    assert len(names(json.dumps({f"person{number}": 1 for number in range(1_000)}))) == MOST_FIELDS


@given(st.binary(max_size=300))
def test_no_bytes_stop_the_sample(content: bytes) -> None:
    assert names(content) is not None


def test_random_bytes_between_records_hide_no_later_field() -> None:
    noise = random.Random(1).randbytes(CHUNK)
    assert names(noise + b"\n" + json.dumps(RECORD).encode()) == ("user", "x")
