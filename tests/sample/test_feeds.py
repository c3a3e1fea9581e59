"""What the generator promises: the same bytes for the same seed, the right counts, defects, files, all or nothing."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from sample import feeds as sample
from sample.__main__ import main
from sample.delivery import REFERENCE_CUSTOMERS
from sample.feeds import ensure_feeds, write_feeds
from sample.people import DAY
from stedi_assets.contracts import CUSTOMER, FEEDS, TABLES
from stedi_assets.rules import Consent
from tests.oracle import expected_tables
from tests.sample.reader import Feeds, content
from tests.support import ROOT

# --- The same seed, the same bytes.


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        write_feeds(tmp_path / name, customers=30, seed=seed)
    one, two, other = (content(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert not set(one.values()) & set(other.values())


def test_the_bytes_are_those_of_this_generation(tmp_path: Path) -> None:
    """If this fails on purpose, raise `sample.GENERATION`: then samples made before are made anew."""
    write_feeds(tmp_path, customers=200, seed=1)
    digest = hashlib.sha256(repr(sorted(content(tmp_path).items())).encode()).hexdigest()
    assert (sample.GENERATION, digest[:16]) == (4, "d0ed7475c65f1ee4")


def test_a_household_is_the_same_in_a_larger_sample(tmp_path: Path) -> None:
    for customers in (40, 80):
        write_feeds(tmp_path / str(customers), customers)
    small, large = (Feeds(tmp_path / str(customers)).customer for customers in (40, 80))
    assert large[:30] == small[:30]


# --- The counts.


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize(("customers", "seed"), [(1, 1), (2, 2), (9, 3), (70, 4), (200, sample.SEED), (260, 5)])
def test_the_expected_counts_are_those_of_the_plain_rules(
    tmp_path: Path, customers: int, seed: int, clean: bool
) -> None:
    expected = write_feeds(tmp_path, customers, seed, clean=clean)
    made = Feeds(tmp_path)
    assert len(made.customers) == customers
    for consent in Consent:
        rows = expected_tables(made.customer, made.accelerometer, made.step_trainer, consent)
        counts = {table: len(found) for table, found in rows.items()}
        for feed in FEEDS:
            counts[feed.records.name] = len(getattr(made, feed.name))
            counts[feed.quarantine.name] = len(made.rejected[feed.name])
        assert expected.rows(consent) == counts
    assert list(expected.customer) == [table for table in TABLES if table in expected.customer]


def test_the_consent_rules_give_different_counts_where_they_should(tmp_path: Path) -> None:
    expected = write_feeds(tmp_path)
    smaller = {table for table, rows in expected.customer.items() if expected.as_of_date[table] < rows}
    assert smaller == set(list(expected.customer)[-4:])


# --- What goes wrong in a delivery.


@pytest.mark.parametrize("customers", [1, 33, 40, 66, 67, 132, 199, 201, 399, 1000])
def test_malformed_records_stay_rare(tmp_path: Path, customers: int) -> None:
    rows = write_feeds(tmp_path, customers).customer
    for feed in FEEDS:
        share = rows[feed.quarantine.name] / rows[feed.records.name]
        assert share < (0.016 if customers < 1000 else 0.01)
        assert rows[feed.quarantine.name] >= 3 or customers < 200


def test_every_feed_has_a_few_malformed_records_with_one_defect_each(feeds: Feeds) -> None:
    defects = {feed: [defect for (defect,) in rejected] for feed, rejected in feeds.rejected.items()}
    assert all(3 <= len(found) <= 6 for found in defects.values())
    kinds = {defect.split(":")[0] for found in defects.values() for defect in found}
    assert kinds == {"garbage", "truncated", "missing", "out of range", "text", "not finite"}
    text = "\n".join(feeds.lines(FEEDS[1]))
    assert text.count('"z":NaN') == text.count('"z":1e999') == 1


def test_every_feed_has_harmless_oddities(feeds: Feeds) -> None:
    for feed in FEEDS:
        text = "\n".join(feeds.lines(feed))
        for oddity in (r'"\d{13}"', r"\b\d{13}\.0\b", r"\}\{"):
            assert len(re.findall(oddity, text)) >= 2, (feed.name, oddity)


def test_one_file_has_windows_line_ends_and_one_an_older_spelling(feeds: Feeds) -> None:
    files = {file.name: file.read_bytes() for feed in FEEDS for file in feeds.files(feed)}
    windows = {name: text for name, text in files.items() if b"\r\n" in text}
    older = {name: text for name, text in files.items() if b'"timeStamp"' in text}
    assert [name.split("-")[0] for name in (*windows, *older)] == ["step_trainer", "accelerometer"]
    assert all(text.count(b"\n") == text.count(b"\r\n") for text in windows.values())
    assert all(b'"timestamp"' not in text for text in older.values())


def test_consent_that_was_not_given_is_an_absent_key_and_now_and_then_null(feeds: Feeds) -> None:
    spelled = Counter(
        re.findall(r'"shareWithResearchAsOfDate": (null|\d)|$', line)[0] for line in feeds.lines(CUSTOMER)
    )
    assert spelled[""] > 5 * spelled["null"] >= 25


def test_a_clean_sample_has_one_record_a_line_spelled_as_its_feed_spells_it_today(tmp_path: Path) -> None:
    write_feeds(tmp_path, customers=100, clean=True)
    kinds = {"string": str, "bigint": int, "double": float}
    for feed in FEEDS:
        text = b"".join(file.read_bytes() for file in Feeds(tmp_path).files(feed)).decode()
        for record in map(json.loads, text.removesuffix("\n").split("\n")):
            columns = [one for one in feed.landing.columns if one.required or one.feed_names[0] in record]
            told = [(name, type(value)) for name, value in record.items()]
            assert told == [(column.feed_names[0], kinds[column.type]) for column in columns]
        assert "\r" not in text


# --- Files.


def test_files_are_laid_out_and_spelled_like_the_real_feeds(feeds: Feeds) -> None:
    for feed in FEEDS:
        names = {name for column in feed.landing.columns for name in column.feed_names}
        assert all(re.fullmatch(rf"{feed.name}-\d{{13}}\.json", file.name) for file in feeds.files(feed))
        whole = [line for line in feeds.lines(feed) if re.fullmatch(r"\{[^{}]*\}", line)]
        assert {key for line in whole for key in json.loads(line)} <= names
        assert all((", " in line and '": ' in line) is (feed is CUSTOMER) for line in whole)
    assert feeds.files(CUSTOMER)[0].name == "customer-1691348231425.json"


def test_equal_readings_lie_in_the_same_file(feeds: Feeds) -> None:
    for feed in FEEDS[1:]:
        lines = [set(file.read_text(encoding="utf-8").split("\n")) - {""} for file in feeds.files(feed)]
        assert not any(one & other for one, other in combinations(lines, 2))


def test_files_and_days_grow_with_the_sample(tmp_path: Path) -> None:
    days = []
    for times in (1, 3):
        write_feeds(tmp_path / str(times), REFERENCE_CUSTOMERS * times, clean=True)
        files = [path.read_text() for path in (tmp_path / str(times) / "accelerometer").rglob("*.json")]
        assert 9_500 * times < max(text.count("\n") for text in files) <= 10_000 * times
        # As many readings as the reference data has, or nearly: it is what the benchmark calls scale 1.
        assert sum(text.count("\n") for text in files) == pytest.approx(81_273 * times, rel=0.03)
        days.append(len({int(ms) // DAY for text in files for ms in re.findall(r"\b\d{13}\b", text)}))
    assert days[1] == days[0] + 2


def test_feeds_are_written_in_constant_memory(tmp_path: Path) -> None:
    peaks = []
    for customers in (10, 200, 1000):  # the first one spells what all of them use
        tracemalloc.start()
        write_feeds(tmp_path / str(customers), customers)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1]


def test_a_sample_needs_a_customer_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one customer"):
        write_feeds(tmp_path / "feeds", customers=0)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileExistsError):
        write_feeds(tmp_path)


# --- Written once, completely or not at all.


def power_cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_sample_is_made_anew_where_another_one_lies_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for customers, seed, generation in ((3, 1, 1), (4, 1, 1), (4, 2, 1), (4, 2, 2)):
        monkeypatch.setattr(sample, "GENERATION", generation)
        for _ in range(2):
            ensure_feeds(tmp_path / "feeds", customers, seed)
            made.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")})
    assert [one == other for one, other in pairwise(made)] == [True, False] * 3 + [True]
    assert [path.name for path in tmp_path.iterdir()] == ["feeds"]


@pytest.mark.parametrize("moment", ["writing", "renaming"])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_crash_leaves_nothing_that_looks_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, earlier: bool
) -> None:
    folder = tmp_path / "feeds"
    if earlier:
        ensure_feeds(folder, customers=2)
    with monkeypatch.context() as crash:
        if moment == "renaming":
            crash.setattr(Path, "rename", power_cut)
        with pytest.raises(KeyboardInterrupt):
            ensure_feeds(folder, 3, progress=power_cut if moment == "writing" else None)
    assert [path.name for path in tmp_path.iterdir()] == ["feeds"] * earlier
    ensure_feeds(folder, 3)
    write_feeds(tmp_path / "whole", 3)
    assert content(folder) == content(tmp_path / "whole")


def test_whoever_comes_second_finds_the_sample_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def overtaken(made: Path, folder: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        ensure_feeds(folder, 3)
        return rename(made, folder)

    monkeypatch.setattr(Path, "rename", overtaken)
    ensure_feeds(tmp_path / "feeds", 3)
    assert len(Feeds(tmp_path / "feeds").customers) == 3


def test_somebody_elses_folder_and_half_a_sample_are_never_replaced(tmp_path: Path) -> None:
    ensure_feeds(tmp_path / "feeds", 2)
    (tmp_path / "feeds" / "notes.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        write_feeds(tmp_path / "half", 3, progress=power_cut)  # a killed process cleans nothing up
    for folder in ("feeds", "half"):
        with pytest.raises(FileExistsError, match="other things"):
            ensure_feeds(tmp_path / folder, 3)
    assert (tmp_path / "feeds" / "notes.txt").read_text() == "mine"


# --- The command line.


def test_the_command_line_writes_feeds_and_prints_what_to_expect(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sample", "--customers", "20", "--expected", str(tmp_path / "feeds")]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    expected = write_feeds(tmp_path / "again", 20)
    assert content(tmp_path / "feeds") == content(tmp_path / "again")
    head, *rows = out[out.index("expected rows") :].splitlines()
    assert head.split()[-2:] == ["customer", "as-of-date"]
    assert {len(row) for row in rows} == {len(head)}, "the columns are aligned"
    assert [row.split() for row in rows] == [
        [name, f"{expected.customer[name]:,}", f"{expected.as_of_date[name]:,}"] for name in expected.customer
    ]


def test_the_command_line_replaces_an_earlier_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--customers", "70"], ["--customers", "70", "--clean"]):
        main([str(tmp_path / "feeds"), *arguments])
        write_feeds(tmp_path / arguments[-1], 70, clean="--clean" in arguments)
        assert content(tmp_path / "feeds") == content(tmp_path / arguments[-1])
    assert re.search(r"70 customers.* 1 malformed.*70 customers.* 0 malformed", capsys.readouterr().out, re.S)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["file"], "is a file, name a folder"),
        (["full"], "holds other things than a whole sample"),
        (["feeds", "--customers", "0"], "'0' is not a number of customers, give at least 1"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(SystemExit) as exit_:
        main([str(tmp_path / arguments[0]), *arguments[1:]])
    assert exit_.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
