"""Every rule of the tables, broken on purpose, and what notices it.

Belongs here: the list. The functions are in `broken_functions.py`, `accidents.py` and `broken_readers.py`; what is
held of them is in `test_mutations.py`; the page `docs/audits.md` is made from the list (`audits_page.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from stedi_assets.checks.coverage import rows_accounted_for
from stedi_assets.contracts import CUSTOMER_COLUMNS, FEEDS, USER, Pii
from stedi_assets.pipeline.table import LakehouseTable
from stedi_assets.rules import Consent
from tests.stedi_assets import accidents as happens
from tests.stedi_assets import broken_functions as by
from tests.stedi_assets import broken_readers as read
from tests.stedi_assets.runs import ASSETS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Function = Callable[..., "DataFrame"]

NO_CONSENT_FILTER = "the consent filter is removed"
REVERSED = "the latest-record rule is reversed: the oldest decides"
TIMESTAMP_ONLY = "the sensors are joined by timestamp alone"
ADDRESS_KEPT = "the e-mail address is kept"
SKIPPED = "quarantine is skipped: what cannot be read is accepted"
DROPPED = "what cannot be read is dropped"
LOST_ONE = "a row, chosen at random, is lost"
REPEATED_ONE = "a row, chosen at random, is there twice"
EMPTIED_ONE = "a required value of a row, chosen at random, is lost"
COLUMN_LOST = "a column is left out"
MISUNDERSTOOD = "no record is understood: the fields are looked for under other names"


@dataclass(frozen=True)
class Broken:
    """A rule, the function that breaks it in place of a table's own, and the checks that fail: they and no others."""

    rule: str
    table: str
    function: Function
    caught_by: frozenset[str]
    consent: Consent = Consent.CUSTOMER
    quarantine_limit: str = "1"
    differences: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mutant(self) -> LakehouseTable:
        return replace(ASSETS[self.table], function=self.function, **self.differences)

    def __str__(self) -> str:
        return f"{self.table}: {self.rule}"


def broken(table: str, rule: str, function: Function, *caught_by: str, **more: Any) -> Broken:
    return Broken(rule, table, function, frozenset(caught_by), **more)


CUSTOMERS, CURATED = "customer_trusted", "customers_curated"
READINGS, DISTANCES, TRAINING = "accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"
SUM = "rows_accounted_for"
CONSENTING, LATEST, ONE = "only_consenting_customers", "only_latest_records", "one_row_per_customer"
OF_CUSTOMERS, OF_HOLDERS = "only_readings_of_consenting_customers", "only_readings_of_consenting_holders"
OF_ONE, UNNAMED = "no_row_pairs_two_customers", "no_direct_identifiers"
ANY_DATE = "the consent rule as-of-date is not asked for: earlier readings are shared too"

BESIDE_A_NULL = {CUSTOMERS: [LATEST], CURATED: [LATEST], TRAINING: [OF_ONE]}
"""Who compares the value that is lost notices too."""

BROKEN = (
    broken(CUSTOMERS, NO_CONSENT_FILTER, by.without_the_consent_filter, CONSENTING, SUM),
    broken(CUSTOMERS, "any date is consent, zero too", by.any_consent_date_is_consent, CONSENTING, SUM),
    broken(CUSTOMERS, REVERSED, by.the_oldest_record_decides, CONSENTING, LATEST),
    broken(CUSTOMERS, "an older record is kept", by.an_older_record_of_a_customer_who_consents, LATEST),
    broken(CUSTOMERS, "letter case makes another customer", by.letter_case_makes_another_customer, LATEST, ONE, SUM),
    broken(READINGS, NO_CONSENT_FILTER, by.readings_of_any_customer, OF_CUSTOMERS, SUM),
    broken(READINGS, "all readings are kept, of strangers too", by.readings_without_the_join, OF_CUSTOMERS, SUM),
    broken(READINGS, "who ever consented counts", by.readings_of_who_ever_consented, OF_CUSTOMERS, SUM),
    broken(READINGS, REVERSED, by.readings_by_the_oldest_record, OF_CUSTOMERS),
    broken(READINGS, ANY_DATE, by.readings_whatever_the_date, OF_CUSTOMERS, SUM, consent=Consent.AS_OF_DATE),
    broken(
        READINGS,
        "the millisecond of consent is too early",
        by.readings_after_consent_only,
        SUM,
        consent=Consent.AS_OF_DATE,
    ),
    broken(
        READINGS,
        "table and account both overlook a row",
        by.lossy_readings,
        SUM,
        differences={"account": by.lossy_account, "audits": (rows_accounted_for(by.lossy_account),)},
    ),
    broken(CURATED, NO_CONSENT_FILTER, by.active_customers_whether_they_consented_or_not, CONSENTING, SUM),
    broken(CURATED, REVERSED, by.active_customers_by_their_oldest_record, LATEST, SUM),
    broken(CURATED, "customers without readings are kept", by.customers_who_never_moved, SUM),
    broken(CURATED, "a customer is there for each reading", by.customers_once_for_each_reading, SUM, ONE),
    broken(DISTANCES, NO_CONSENT_FILTER, by.distances_of_any_holder, OF_HOLDERS, SUM),
    broken(DISTANCES, "one consenting holder is enough", by.distances_whatever_other_holders_say, OF_HOLDERS, SUM),
    broken(DISTANCES, REVERSED, by.distances_by_the_oldest_record, OF_HOLDERS, SUM),
    broken(DISTANCES, "a device once held still counts", by.distances_of_devices_ever_held, OF_HOLDERS, SUM),
    broken(DISTANCES, "several holders multiply a reading", by.distances_joined_with_every_holder, SUM),
    broken(DISTANCES, "holders without readings count", by.distances_of_customers_without_readings, SUM),
    broken(DISTANCES, ANY_DATE, by.distances_whatever_the_date, OF_HOLDERS, SUM, consent=Consent.AS_OF_DATE),
    broken(TRAINING, NO_CONSENT_FILTER, by.pairs_whether_anybody_consented_or_not, OF_HOLDERS, OF_ONE, SUM),
    broken(TRAINING, REVERSED, by.pairs_by_the_oldest_record, SUM, "accelerometer_readings_matched"),
    broken(TRAINING, TIMESTAMP_ONLY, by.pairs_of_the_same_moment, OF_ONE, SUM),
    broken(TRAINING, "shared Step Trainers are trained on", by.pairs_of_shared_step_trainers_too, OF_ONE, SUM),
    broken(TRAINING, "a value changes on the way", happens.accident(TRAINING, happens.alter), OF_ONE),
    broken(TRAINING, ADDRESS_KEPT, by.pairs_with_the_address, "matches_contract"),
    broken(
        TRAINING,
        f"{ADDRESS_KEPT} in place of the serial number",
        by.pairs_with_the_address_for_a_serial_number,
        UNNAMED,
        OF_ONE,
        OF_HOLDERS,
        "accelerometer_readings_matched",
    ),
    *(
        broken(
            TRAINING,
            f"{column.name} is kept, and the contract allows it",
            function,
            UNNAMED,
            differences=by.allowed(column),
        )
        for column, function in {
            USER: by.pairs_with_the_address,
            **{column: by.pairs_with(column) for column in CUSTOMER_COLUMNS if column.pii is Pii.DIRECT},
        }.items()
    ),
    *(broken(name, LOST_ONE, happens.accident(name, happens.lose), SUM) for name in ASSETS),
    *(
        broken(name, REPEATED_ONE, happens.accident(name, happens.repeat), SUM, *([ONE] if table.contract.key else []))
        for name, table in ASSETS.items()
    ),
    *(
        broken(
            name,
            EMPTIED_ONE,
            happens.accident(name, happens.empty(table.contract.required[-1])),
            "required_columns_filled",
            *BESIDE_A_NULL.get(name, ()),
        )
        for name, table in ASSETS.items()
    ),
    *(
        broken(name, COLUMN_LOST, happens.without(table.contract.column_names[-1], name), "matches_contract")
        for name, table in ASSETS.items()
    ),
)
"""Tables."""

BROKEN_READERS = tuple(
    broken(feed.landing.name, rule, function, check, quarantine_limit=limit)
    for feed in FEEDS
    for rule, function, check, limit in (
        (SKIPPED, read.accept_everything, "accepted_are_sound", "1"),
        (DROPPED, read.drop_what_cannot_be_read, "records_balance", "1"),
        (MISUNDERSTOOD, read.look_for_other_fields, "quarantine_within_limit", "0.5"),
        (LOST_ONE, partial(read.read_with, happens.lose), "records_balance", "1"),
        (REPEATED_ONE, partial(read.read_with, happens.repeat), "records_balance", "1"),
    )
)
"""Landing tables: the functions stand in place of `reader.type_records`."""
