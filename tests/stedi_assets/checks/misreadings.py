"""A feed that is read wrongly in a way that its own tables cannot know, and which checks downstream notice.

Belongs here: a delivery in which nothing is worth a remark, and the list. What is held of them is in
`test_misreadings.py`. Mistakes that a table's own checks notice are in `mutants.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.lazy import LazyModule
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, FEEDS, STEP_TRAINER, Feed
from tests.stedi_assets.checks.accidents import accident
from tests.stedi_assets.examples import Row, T, customer, distance, reading

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

Records = Callable[["DataFrame"], "DataFrame"]
Checks = frozenset[tuple[str, str]]

PEOPLE = range(20)
MOMENTS = range(T, T + 12)
FAULTLESS: dict[str, list[Row]] = {
    "customer": [customer(f"c{one}@x.org", f"s{one}", updated=T + 100, consent=T) for one in PEOPLE],
    "accelerometer": [reading(f"c{one}@x.org", at, 1.0, 1.0, 1.0) for one in PEOPLE for at in MOMENTS],
    "step_trainer": [distance(f"s{one}", at, (at - T) // 2) for one in PEOPLE for at in MOMENTS],
}
"""Everybody has consented, has a Step Trainer of their own, and both sensors measured at the same moments."""


@dataclass(frozen=True)
class Misreading:
    """What happens to a feed's records when they are read, and the (table, check) pairs that stop or warn: all of them.

    Tables `from_before` are not made of it: they are those of the faultless delivery.
    """

    rule: str
    feeds: tuple[Feed, ...]
    happens: Records
    stopped_by: Checks = frozenset()
    warned_by: Checks = frozenset()
    from_before: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.rule


def at(table: str, *checks: str) -> Checks:
    return frozenset((table, check) for check in checks)


def with_column(name: str, expression: str) -> Records:
    return lambda parsed: parsed.withColumn(name, F.expr(expression))


def refuse(rows: list[Any], chosen: int) -> list[Any]:
    refused = {"reason": "refused for no reason", "text": "its text", "run": "the run", "file": rows[chosen]["file"]}
    return [*rows[:chosen], tuple(map(refused.get, rows[chosen].asDict())), *rows[chosen + 1 :]]


def as_it_is(parsed: DataFrame) -> DataFrame:
    return parsed


CUSTOMERS, CURATED = "customer_trusted", "customers_curated"
READINGS, DISTANCES, TRAINING = "accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"
ADDRESS = with_column("email", "concat('the address ', email)")

MISREADINGS = (
    Misreading(
        "customers are known by another address than their phones send",
        (CUSTOMER,),
        ADDRESS,
        stopped_by=at(READINGS, "readings_of_known_customers"),
    ),
    Misreading(
        "customers are known by another address, and their readings are still those of yesterday",
        (CUSTOMER,),
        ADDRESS,
        stopped_by=at(CURATED, "consenting_customers_with_readings"),
        from_before=(READINGS,),
    ),
    Misreading(
        "the consent counts from another date of the record",
        (CUSTOMER,),
        with_column("sharewithresearchasofdate", "lastupdatedate"),
        warned_by=at(READINGS, "readings_before_consent")
        | at(DISTANCES, "distances_before_consent")
        | at(TRAINING, "distances_before_consent"),
    ),
    Misreading(
        "all customers are given one serial number",
        (CUSTOMER,),
        with_column("serialnumber", "'s1'"),
        stopped_by=at(TRAINING, "accelerometer_readings_matched"),
        warned_by=at(DISTANCES, "shared_serial_numbers"),
    ),
    Misreading(
        "serial numbers are cut short",
        (STEP_TRAINER,),
        with_column("serialnumber", "substring(serialnumber, 2)"),
        stopped_by=at(DISTANCES, "curated_customers_with_distances"),
    ),
    Misreading(
        "the clock of the phones is taken for another",
        (ACCELEROMETER,),
        with_column("timestamp", "timestamp + 3600000"),
        stopped_by=at(TRAINING, "distances_matched", "accelerometer_readings_matched"),
    ),
    Misreading(
        "moments are cut to the second",
        (ACCELEROMETER,),
        with_column("timestamp", "timestamp - timestamp % 1000"),
        warned_by=at(READINGS, "equal_readings") | at(TRAINING, "distances_matched", "readings_per_match"),
    ),
    Misreading(
        "moments of the Step Trainer are cut to the second",
        (STEP_TRAINER,),
        with_column("sensorreadingtime", "sensorreadingtime - sensorreadingtime % 1000"),
        warned_by=at(DISTANCES, "equal_distances", "distances_disagree")
        | at(TRAINING, "accelerometer_readings_matched"),
    ),
    Misreading(
        "a record, chosen at random, is refused for no reason",
        FEEDS,
        accident(as_it_is, refuse),
        warned_by=frozenset((feed.quarantine.name, "nothing_quarantined") for feed in FEEDS),
    ),
)
