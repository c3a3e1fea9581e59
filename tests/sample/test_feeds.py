"""What the sample promises: the same bytes for the same seed, the real world's oddities, the right counts.

The generated JSON is read here by a plain reader of its own, never by asking the generator.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from sample import feeds as sample
from sample.feeds import Expected, ensure_feeds, write_feeds
from stedi_assets.contracts import CUSTOMER, FEEDS, TABLES, Column, Feed
from stedi_assets.rules import Consent
from tests.oracle import consented, expected_tables, latest_records

ROOT = Path(__file__).parents[2]
RESEARCH = "sharewithresearchasofdate"
Row = dict[str, Any]

# --- A plain reader.


def accept(text: str, feed: Feed) -> Row:
    """The record in the text, by column name; ValueError names everything that is wrong with it."""
    given = json.loads(text)
    row: Row = {}
    wrong = []
    for column in feed.landing.columns:
        value = next((given[name] for name in column.feed_names if given.get(name) is not None), None)
        try:
            row[column.name] = typed(value, column)
        except ValueError as error:
            wrong.append(f"{error}: {column.name}")
    if wrong:
        raise ValueError(*wrong)
    return row


def typed(value: Any, column: Column) -> Any:
    if value is None:
        if column.required:
            raise ValueError("missing")
        return None
    if column.type == "string":
        return value
    try:
        number = float(value)
    except ValueError:
        raise ValueError("text") from None
    if not math.isfinite(number):
        raise ValueError("not finite")
    low, high = column.minimum, column.maximum
    if (low is not None and number < low) or (high is not None and number >= high):
        raise ValueError("out of range")
    return int(number) if column.type == "bigint" else number


class Feeds:
    """The three feeds of a folder: accepted records by column name, and what had to be rejected and why."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rejected: dict[str, list[tuple[str, ...]]] = {feed.name: [] for feed in FEEDS}
        self.customer, self.accelerometer, self.step_trainer = (list(self._read(feed)) for feed in FEEDS)
        self.latest = latest_records(self.customer)
        self.history: dict[str, list[Row]] = defaultdict(list)
        self.motion: dict[str, list[Row]] = defaultdict(list)
        self.steps: dict[str, list[Row]] = defaultdict(list)
        for record in self.customer:
            self.history[record["email"]].append(record)
        for reading in self.accelerometer:
            self.motion[reading["user"]].append(reading)
        for reading in self.step_trainer:
            self.steps[reading["serialnumber"]].append(reading)

    def files(self, feed: Feed) -> list[Path]:
        return sorted((self.folder / feed.name / "landing").iterdir())

    def lines(self, feed: Feed) -> list[str]:
        return [line for file in self.files(feed) for line in file.read_text(encoding="utf-8").splitlines()]

    def _read(self, feed: Feed) -> Iterator[Row]:
        for line in self.lines(feed):
            for text in re.findall(r"\{[^{}]*\}", line) or [line]:
                try:
                    yield accept(text, feed)
                except json.JSONDecodeError:
                    self.rejected[feed.name].append(("truncated" if text.startswith("{") else "garbage",))
                except ValueError as error:
                    self.rejected[feed.name].append(error.args)

    def since(self, email: str) -> int:
        """Since when the customer shares; beyond any reading where they do not."""
        record = self.latest[email]
        return int(record[RESEARCH]) if consented(record) else sys.maxsize

    def distances(self, email: str) -> list[Row]:
        return self.steps.get(self.latest[email]["serialnumber"], [])

    def count(self, holds: Callable[[str], bool]) -> int:
        """For how many customers something holds."""
        return sum(holds(email) for email in self.latest)


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Feeds:
    folder = tmp_path_factory.mktemp("default")
    write_feeds(folder)
    return Feeds(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- The same seed, the same bytes.


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        write_feeds(tmp_path / name, customers=30, seed=seed)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    one, other = (
        {data for path, data in content(tmp_path / name).items() if path.endswith(".json")} for name in ("one", "other")
    )
    assert not one & other


def test_the_bytes_are_those_of_this_generation(tmp_path: Path) -> None:
    """If this fails on purpose, raise `sample.GENERATION`: then samples made before are made anew."""
    write_feeds(tmp_path, customers=200, seed=1)
    digest = hashlib.sha256(repr(sorted(content(tmp_path).items())).encode()).hexdigest()
    assert (sample.GENERATION, digest[:16]) == (1, "86af0ee679aaeacb")


def test_a_household_is_the_same_in_a_sample_of_any_size(tmp_path: Path) -> None:
    for customers in (40, 80):
        write_feeds(tmp_path / str(customers), customers)
    small, large = (Feeds(tmp_path / str(customers)).customer for customers in (40, 80))
    assert large[:30] == small[:30]


# --- The counts.


@pytest.mark.parametrize(("customers", "seed"), [(1, 1), (2, 2), (9, 3), (70, 4), (200, sample.SEED), (260, 5)])
def test_the_expected_counts_are_those_of_the_plain_rules(tmp_path: Path, customers: int, seed: int) -> None:
    expected = write_feeds(tmp_path, customers, seed)
    made = Feeds(tmp_path)
    assert len(made.latest) == customers
    for consent in Consent:
        rows = expected_tables(made.customer, made.accelerometer, made.step_trainer, consent)
        counts = {table: len(found) for table, found in rows.items()}
        for feed in FEEDS:
            counts[feed.landing.name] = len(getattr(made, feed.name))
            counts[feed.quarantine.name] = len(made.rejected[feed.name])
        assert expected.rows(consent) == counts
    assert list(expected.customer) == [table for table in TABLES if table in expected.customer]


def test_the_consent_rules_give_different_counts_where_they_should(tmp_path: Path) -> None:
    expected = write_feeds(tmp_path)
    smaller = {table for table, rows in expected.customer.items() if expected.as_of_date[table] < rows}
    assert smaller == {
        "accelerometer_trusted",
        "customers_curated",
        "step_trainer_trusted",
        "machine_learning_curated",
    }


@pytest.mark.parametrize("customers", [1, 33, 40, 66, 67, 132, 199, 201, 399, 1000])
def test_malformed_records_stay_rare(tmp_path: Path, customers: int) -> None:
    rows = write_feeds(tmp_path, customers).customer
    for feed in FEEDS:
        share = rows[feed.quarantine.name] / rows[feed.landing.name]
        assert share < (0.016 if customers < 1000 else 0.01)
        assert rows[feed.quarantine.name] >= 3 or customers < 200


# --- The real world's situations, several times each.


def test_nearly_half_of_the_customers_consented_at_registration(feeds: Feeds) -> None:
    at_once = feeds.count(lambda email: feeds.since(email) == feeds.latest[email]["registrationdate"])
    assert 0.42 <= at_once / len(feeds.latest) <= 0.48


def test_customers_without_consent_have_readings(feeds: Feeds) -> None:
    def declined(email: str) -> bool:
        return not consented(feeds.latest[email]) and bool(feeds.motion[email] and feeds.distances(email))

    assert feeds.count(declined) >= 40


def test_some_consenting_customers_have_no_readings_and_some_only_those_of_one_sensor(feeds: Feeds) -> None:
    sensors = Counter(
        (bool(feeds.motion[email]), bool(feeds.distances(email)))
        for email, record in feeds.latest.items()
        if consented(record)
    )
    assert min(sensors[False, False], sensors[False, True], sensors[True, False]) >= 3


def test_some_customers_consented_between_their_readings_of_both_sensors(feeds: Feeds) -> None:
    def midway(email: str) -> bool:
        motion = [reading["timestamp"] for reading in feeds.motion[email]]
        distances = [reading["sensorreadingtime"] for reading in feeds.distances(email)]
        return all(min(times, default=0) < feeds.since(email) <= max(times, default=0) for times in (motion, distances))

    assert feeds.count(midway) >= 10


def test_some_customers_consented_in_the_very_millisecond_of_a_reading(feeds: Feeds) -> None:
    for sensor, time in ((feeds.motion.get, "timestamp"), (feeds.distances, "sensorreadingtime")):
        assert feeds.count(lambda email: feeds.since(email) in {r[time] for r in sensor(email) or ()}) >= 3  # noqa: B023


def test_some_customers_consented_when_all_their_readings_had_been_taken(feeds: Feeds) -> None:
    def too_late(email: str) -> bool:
        last = max((reading["timestamp"] for reading in feeds.motion[email]), default=sys.maxsize)
        return last < feeds.since(email) < sys.maxsize

    assert feeds.count(too_late) >= 3


def test_some_readings_belong_to_nobody(feeds: Feeds) -> None:
    ever_held = {record["serialnumber"] for record in feeds.customer}
    assert len(feeds.motion.keys() - feeds.latest.keys()) >= 3
    assert len(feeds.steps.keys() - ever_held) >= 3


def changes(feeds: Feeds, email: str) -> list[Row]:
    """The customer's records of different moments, oldest first."""
    records = {record["lastupdatedate"]: record for record in feeds.history[email]}
    return [records[moment] for moment in sorted(records)]


def test_some_customers_withdrew_by_leaving_the_date_out_or_by_a_zero(feeds: Feeds) -> None:
    spelled = Counter(
        changes(feeds, email)[-1][RESEARCH]
        for email in feeds.latest
        if consented(changes(feeds, email)[0]) and not consented(changes(feeds, email)[-1])
    )
    assert spelled.keys() == {None, 0}
    assert min(spelled.values()) >= 2


def test_some_customers_returned(feeds: Feeds) -> None:
    def returned(email: str) -> bool:
        *before, last = map(consented, changes(feeds, email))
        return last and False in before

    assert feeds.count(returned) >= 3
    assert feeds.count(lambda email: returned(email) and consented(changes(feeds, email)[0])) >= 2


def test_some_customers_only_changed_their_phone_number(feeds: Feeds) -> None:
    def moved(email: str) -> bool:
        old, new = changes(feeds, email)[0], changes(feeds, email)[-1]
        return consented(new) and {key for key in old if old[key] != new[key]} == {"phone", "lastupdatedate"}

    assert feeds.count(moved) >= 3


def test_some_customers_replaced_a_step_trainer_that_has_readings(feeds: Feeds) -> None:
    held = Counter(record["serialnumber"] for record in feeds.latest.values())

    def replaced(email: str) -> bool:
        old, new = (changes(feeds, email)[at]["serialnumber"] for at in (0, -1))
        return old != new and not held[old] and bool(feeds.steps[old] and feeds.steps[new])

    assert feeds.count(replaced) >= 3


def test_some_records_contradict_each_other_at_the_same_moment(feeds: Feeds) -> None:
    ties = [
        tuple(map(consented, records))
        for records in feeds.history.values()
        if len(records) > len({record["lastupdatedate"] for record in records})
    ]
    # In either order, and some records are simply sent twice.
    assert min(Counter(ties)[order] for order in ((True, False), (False, True), (True, True))) >= 2
    assert all(not consented(feeds.latest[email]) for email in feeds.latest if email_is_tied(feeds, email))


def email_is_tied(feeds: Feeds, email: str) -> bool:
    last = max(record["lastupdatedate"] for record in feeds.history[email])
    return len({consented(record) for record in feeds.history[email] if record["lastupdatedate"] == last}) == 2


def test_newer_records_also_arrive_before_older_ones(feeds: Feeds) -> None:
    def reversed_(email: str) -> bool:
        dates = [record["lastupdatedate"] for record in feeds.history[email]]
        return dates != sorted(dates)

    assert feeds.count(reversed_) >= 3


def test_some_customers_share_a_step_trainer(feeds: Feeds) -> None:
    holders: dict[str, list[str]] = defaultdict(list)
    for email, record in feeds.latest.items():
        holders[record["serialnumber"]].append(email)
    couples = {serial: emails for serial, emails in holders.items() if len(emails) == 2}
    agreed = Counter(sum(consented(feeds.latest[email]) for email in emails) for emails in couples.values())
    assert agreed.keys() == {1, 2}
    assert min(agreed.values()) >= 3
    assert all(feeds.steps[serial] and all(feeds.motion[email] for email in couples[serial]) for serial in couples)


def test_some_step_trainers_were_read_before_the_last_holder_consented(feeds: Feeds) -> None:
    def partly(email: str) -> bool:
        times = [reading["sensorreadingtime"] for reading in feeds.distances(email)]
        fellows = [e for e, r in feeds.latest.items() if r["serialnumber"] == feeds.latest[email]["serialnumber"]]
        others = max(feeds.since(fellow) for fellow in fellows)
        return len(fellows) > 1 and feeds.since(email) < min(times) < others < max(times)

    assert feeds.count(partly) >= 2


def test_some_birth_years_are_odd(feeds: Feeds) -> None:
    odd = [record["birthday"][:4] for record in feeds.latest.values() if record["birthday"] < "1900"]
    assert len(odd) >= 5
    assert {"0993", "1399"} <= set(odd)


def test_a_moment_has_one_to_four_accelerometer_readings(feeds: Feeds) -> None:
    moments = Counter((reading["user"], reading["timestamp"]) for reading in feeds.accelerometer)
    sizes = Counter(moments.values())
    assert min(sizes[size] for size in (1, 2, 3, 4)) >= 100
    assert 2.6 <= moments.total() / len(moments) <= 3.0


def test_readings_are_equal_only_on_purpose(feeds: Feeds) -> None:
    for readings in (feeds.accelerometer, feeds.step_trainer):
        times = Counter(tuple(reading.values()) for reading in readings)
        assert 2 <= sum(count > 1 for count in times.values()) <= 6


def test_equal_readings_lie_in_the_same_file(feeds: Feeds) -> None:
    for feed in FEEDS[1:]:
        lines = [set(file.read_text(encoding="utf-8").split("\n")) - {""} for file in feeds.files(feed)]
        assert not any(one & other for one, other in combinations(lines, 2))


def test_some_neighbours_have_readings_at_the_same_milliseconds(feeds: Feeds) -> None:
    users: dict[int, set[str]] = defaultdict(set)
    for reading in feeds.accelerometer:
        users[reading["timestamp"]].add(reading["user"])
    together = Counter(frozenset(some) for some in users.values() if len(some) > 1)
    neighbours = [pair for pair, moments in together.items() if moments >= 20]
    agreed = Counter(sum(consented(feeds.latest[email]) for email in pair) for pair in neighbours)
    assert min(agreed[1], agreed[2]) >= 3


def test_each_sensor_is_now_and_then_alone(feeds: Feeds) -> None:
    one_device = {email for email in feeds.latest if len({r["serialnumber"] for r in feeds.history[email]}) == 1}
    both = [email for email in one_device if feeds.motion[email] and len(feeds.distances(email)) in range(20, 36)]
    alone = Counter[str]()
    for email in both:
        moved = {reading["timestamp"] for reading in feeds.motion[email]}
        measured = {reading["sensorreadingtime"] for reading in feeds.distances(email)}
        alone.update(distance=len(measured), unheard=len(measured - moved), unseen=len(moved - measured))
    assert 0.03 <= alone["unheard"] / alone["distance"] <= 0.07
    assert 0.01 <= alone["unseen"] / alone["distance"] <= 0.05


def test_readings_look_like_steps(feeds: Feeds) -> None:
    distances = [reading["distancefromobject"] for reading in feeds.step_trainer]
    assert 195 <= min(distances) < 210 < 290 < max(distances) <= 305
    for axis, low, high in (("x", -0.3, 0.3), ("y", 0.5, 1.5), ("z", -0.4, 0.4)):
        values = [reading[axis] for reading in feeds.accelerometer]
        assert low <= min(values) < max(values) <= high
        assert all(round(value, 3) == value for value in values)
    sessions = [sorted(r["sensorreadingtime"] for r in readings) for readings in feeds.steps.values()]
    gaps = {later - earlier for times in sessions for earlier, later in pairwise(times)}
    assert len(gaps) > 1000
    assert all(1_654_000_000_000 < reading["timestamp"] < 1_657_000_000_000 for reading in feeds.accelerometer)


def test_people_are_invented(feeds: Feeds) -> None:
    assert len(feeds.latest) == 200
    for record in feeds.customer:
        assert re.fullmatch(r"[a-z]+\.[a-z]+\.\d+@example\.com", record["email"])
        assert re.fullmatch(r"\d{3}55501\d\d", record["phone"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["birthday"])
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", record["serialnumber"]
        )
    assert any(not record["customername"].isascii() for record in feeds.customer)


# --- What goes wrong in a delivery.


def test_every_feed_has_a_few_malformed_records_with_one_defect_each(feeds: Feeds) -> None:
    defects = {feed: [defect for (defect,) in rejected] for feed, rejected in feeds.rejected.items()}
    assert all(3 <= len(found) <= 6 for found in defects.values())
    kinds = {defect.split(":")[0] for found in defects.values() for defect in found}
    assert kinds == {"garbage", "truncated", "missing", "out of range", "text", "not finite"}
    assert Counter(defects["accelerometer"])["not finite: z"] == 2


def test_non_finite_coordinates_are_spelled_in_two_ways(feeds: Feeds) -> None:
    text = "\n".join(feeds.lines(FEEDS[1]))
    assert text.count('"z":NaN') == text.count('"z":1e999') == 1


def test_every_feed_has_harmless_oddities(feeds: Feeds) -> None:
    for feed in FEEDS:
        text = "\n".join(feeds.lines(feed))
        for oddity in (r'"\d{13}"', r"\b\d{13}\.0\b", r"\}\{"):
            assert len(re.findall(oddity, text)) >= 2, (feed.name, oddity)


def test_one_file_has_windows_line_ends_and_one_an_older_spelling(feeds: Feeds) -> None:
    files = [file for feed in FEEDS for file in feeds.files(feed)]
    windows = [file for file in files if b"\r\n" in file.read_bytes()]
    older = [file for file in files if b'"timeStamp"' in file.read_bytes()]
    assert [file.name.split("-")[0] for file in (*windows, *older)] == ["step_trainer", "accelerometer"]
    assert windows[0].read_bytes().count(b"\n") == windows[0].read_bytes().count(b"\r\n")
    assert b'"timestamp"' not in older[0].read_bytes()


def test_consent_that_was_not_given_is_an_absent_key_and_now_and_then_null(feeds: Feeds) -> None:
    spelled = Counter(
        "null" if '"shareWithResearchAsOfDate": null' in line else "date" if '"shareWithResearch' in line else "absent"
        for line in feeds.lines(CUSTOMER)
    )
    assert spelled["absent"] > 5 * spelled["null"] >= 25


# --- Files.


def test_files_are_laid_out_and_spelled_like_the_real_feeds(feeds: Feeds) -> None:
    for feed in FEEDS:
        names = "|".join(name for column in feed.landing.columns for name in column.feed_names)
        assert all(re.fullmatch(rf"{feed.name}-\d{{13}}\.json", file.name) for file in feeds.files(feed))
        spaced = feed is CUSTOMER
        whole = [line for line in feeds.lines(feed) if re.fullmatch(r"\{[^{}]*\}", line)]
        keys = {key for line in whole for key in json.loads(line)}
        assert keys <= set(names.split("|"))
        assert all((", " in line and '": ' in line) is spaced for line in whole)
    assert feeds.files(CUSTOMER)[0].name == "customer-1691348231425.json"


def test_a_file_holds_at_most_ten_thousand_records(feeds: Feeds) -> None:
    sizes = [file.read_bytes().count(b"{") for feed in FEEDS for file in feeds.files(feed)]
    assert 9_000 < max(sizes) <= 10_000


def test_a_sample_needs_a_customer_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one customer"):
        write_feeds(tmp_path / "feeds", customers=0)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileExistsError):
        write_feeds(tmp_path)


# --- Written once, completely or not at all.


def test_a_sample_that_is_there_is_left_alone(tmp_path: Path) -> None:
    ensure_feeds(tmp_path / "feeds", customers=3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    ensure_feeds(tmp_path / "feeds", customers=3)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_another_size_seed_or_generation_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for customers, seed, generation in ((3, 1, 1), (4, 1, 1), (4, 2, 1), (4, 2, 2)):
        monkeypatch.setattr(sample, "GENERATION", generation)
        ensure_feeds(tmp_path / "feeds", customers, seed)
        made.append(content(tmp_path / "feeds"))
    assert all(one != other for one, other in combinations(made, 2))
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
    assert folder.exists() is earlier
    assert [path.name for path in tmp_path.iterdir()] == ["feeds"] * earlier
    ensure_feeds(folder, 3)
    write_feeds(tmp_path / "whole", 3)
    assert content(folder) == content(tmp_path / "whole")


def test_half_a_sample_is_not_taken_for_one(tmp_path: Path) -> None:
    """A killed process cleans nothing up: what it wrote has no marker."""
    with pytest.raises(KeyboardInterrupt):
        write_feeds(tmp_path / "feeds", 3, progress=power_cut)
    with pytest.raises(FileExistsError, match="other things"):
        ensure_feeds(tmp_path / "feeds", 3)


def power_cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_whoever_comes_second_finds_the_sample_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def overtaken(made: Path, folder: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        ensure_feeds(folder, 3)
        return rename(made, folder)

    monkeypatch.setattr(Path, "rename", overtaken)
    ensure_feeds(tmp_path / "feeds", 3)
    write_feeds(tmp_path / "whole", 3)
    assert content(tmp_path / "feeds") == content(tmp_path / "whole")


def test_somebody_elses_folder_is_never_replaced(tmp_path: Path) -> None:
    ensure_feeds(tmp_path / "feeds", 2)
    (tmp_path / "feeds" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="other things"):
        ensure_feeds(tmp_path / "feeds", 3)
    assert (tmp_path / "feeds" / "notes.txt").read_text() == "mine"


# --- The command line.


def run(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sample.feeds", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_line_writes_feeds_and_prints_what_to_expect(tmp_path: Path) -> None:
    written, refused = (
        run("--customers", 20, "--expected", tmp_path / "feeds"),
        run("--customers", 0, tmp_path),
    )
    expected = write_feeds(tmp_path / "again", 20)
    out, _ = written.communicate()
    assert written.returncode == 0
    assert content(tmp_path / "feeds") == content(tmp_path / "again")
    assert_prints(out, expected)
    _, complaint = refused.communicate()
    assert refused.returncode == 2
    assert complaint.splitlines()[-1].endswith("'0' is not a number of customers, give at least 1")
    assert "Traceback" not in complaint


def assert_prints(out: str, expected: Expected) -> None:
    table = out[out.index("expected rows") :].splitlines()
    assert len({len(line) for line in table}) == 1, "the columns are aligned"
    assert table[0].split()[-2:] == ["customer", "as-of-date"]
    printed = {name: (by_customer, by_date) for name, by_customer, by_date in map(str.split, table[1:])}
    assert printed == {
        name: (f"{expected.customer[name]:,}", f"{expected.as_of_date[name]:,}") for name in expected.customer
    }


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("file", "is a file, name a folder"), ("full", "holds other things than a whole sample")],
)
def test_a_folder_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(SystemExit) as exit_:
        sample.main([str(tmp_path / name)])
    assert exit_.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_the_command_line_replaces_an_earlier_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for customers in (2, 3):
        sample.main([str(tmp_path), "--customers", str(customers)])
    assert "3 customers" in capsys.readouterr().out
    assert len(Feeds(tmp_path).latest) == 3
