"""The kinds of customers that the real world contains, and what each one shares under either consent rule.

Belongs here: the records and sessions that each kind leaves behind, how many there are of it, and what it
shares. A kind knows that because of how it was built: no rule is looked up.
Does not belong here: a single person's looks and steps (`people.py`), or how a feed spells all that
and what goes wrong on the way (`delivery.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import cycle
from random import Random

from sample.people import (
    DAY,
    HOUR,
    NONE,
    Person,
    Record,
    Tally,
    Walk,
    moments_from,
    phone_number,
    pick,
    serial_number,
)


@dataclass
class Household:
    """Customers whose records and readings belong together.

    `shares_all` has a tally for each consenting customer under the rule `customer`, `shares_since` one under
    `as-of-date`: the readings of either sensor that may be used, and the pairs that may be trained on.
    """

    records: list[Record] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    shares_all: list[Tally] = field(default_factory=list)
    shares_since: list[Tally] = field(default_factory=list)


def _consenting(records: list[Record], *walks: Walk) -> Household:
    """One customer whose latest record consents, and who shares these sessions."""
    everything = reduce(Tally.plus, (walk.all for walk in walks), NONE)
    since = reduce(Tally.plus, (walk.since for walk in walks), NONE)
    return Household(records, [*walks], [everything], [since])


def _only_motion(tally: Tally) -> Tally:
    """What remains where the distance readings belong to nobody, or to somebody who did not agree as well."""
    return Tally(tally.accelerometer)


def _unpaired(tally: Tally) -> Tally:
    """What remains where the Step Trainer has several holders: nothing to train on."""
    return tally._replace(pairs=0)


def consents(rng: Random, number: int) -> Household:
    """Consented while registering: the most common customer."""
    person = Person(rng, number)
    return _consenting([person.consenting()], person.walk())


def has_equal_readings(rng: Random, number: int) -> Household:
    """Consented, and has exactly equal readings of both sensors: true ones, they count twice."""
    person = Person(rng, number)
    walk = person.walk()
    walk.repeat_first()
    return _consenting([person.consenting()], walk)


def has_record_twice(rng: Random, number: int) -> Household:
    """Consented, and the website sent the record twice."""
    person = Person(rng, number)
    return _consenting([person.consenting()] * 2, person.walk())


def changes_phone(rng: Random, number: int) -> Household:
    """Consented, and has a new phone number since; half of the new records arrive before the old ones.

    The new record spells the e-mail address with capitals, which the readings of the same person do not.
    """
    person = Person(rng, number)
    old = person.consenting()
    new = old._replace(email=old.email.title(), phone=phone_number(rng), updated=old.updated + DAY)
    return _consenting([new, old] if number % 2 else [old, new], person.walk())


def replaces_trainer(rng: Random, number: int) -> Household:
    """Consented, and has a new Step Trainer: the old one's readings belong to nobody any more."""
    person = Person(rng, number)
    session, old = person.moments, person.consenting()
    person.moments = [ms - 3 * DAY for ms in session]
    before = person.walk()
    before.all = before.since = _only_motion(before.all)
    person.moments, person.serial = session, serial_number(rng)
    return _consenting([old, old._replace(serial=person.serial, updated=session[0] - DAY)], before, person.walk())


def has_no_readings(rng: Random, number: int) -> Household:
    """Consented, and never used anything."""
    return _consenting([Person(rng, number).consenting()])


def has_only_trainer(rng: Random, number: int) -> Household:
    """Consented, but without the phone app: not curated, so the distance readings are not used either."""
    person = Person(rng, number)
    walk = person.walk(phone=False)
    walk.all = walk.since = NONE
    return _consenting([person.consenting()], walk)


def has_only_phone(rng: Random, number: int) -> Household:
    """Consented, and the Step Trainer is still in its box."""
    person = Person(rng, number)
    return _consenting([person.consenting()], person.walk(trainer=False))


def consents_midway(rng: Random, number: int) -> Household:
    """Consented during the session, half of them in the very millisecond of a reading."""
    person, index = Person(rng, number), pick(rng, 8, 20)
    moment = person.moments[index] - (0 if number % 2 else 700)
    return _consenting([person.record(moment, moment)], person.walk(consent_at=index))


def consents_afterwards(rng: Random, number: int) -> Household:
    """Consented when every reading had been taken."""
    person = Person(rng, number)
    moment = person.moments[-1] + HOUR
    return _consenting([person.record(moment, moment)], person.walk(consent_at=len(person.moments)))


def declines(rng: Random, number: int) -> Household:
    """Never consented, and has readings all the same."""
    person = Person(rng, number)
    return Household([person.declining()], [person.walk()])


def withdraws(rng: Random, number: int) -> Household:
    """Consented once and has withdrawn, which some app versions spell as a zero."""
    person = Person(rng, number)
    records = [person.consenting(), person.record(person.registered + DAY, None if number % 2 else 0)]
    return Household(records[::-1] if number % 3 else records, [person.walk()])


def ties(rng: Random, number: int) -> Household:
    """Has two records of the same moment that contradict each other: the one without consent wins."""
    person = Person(rng, number)
    records = [person.consenting(), person.declining()]
    return Household(records[::-1] if number % 2 else records, [person.walk()])


def returns(rng: Random, number: int) -> Household:
    """Consents now and did not before; some had consented even earlier, and withdrawn."""
    person, index = Person(rng, number), pick(rng, 0, 20)
    moment = person.moments[index]
    records = [person.record(person.registered + DAY, None), person.record(moment, moment)]
    if number % 2:
        records.insert(0, person.consenting())
    return _consenting(records, person.walk(consent_at=index))


def _neighbours(rng: Random, number: int) -> tuple[Person, Person]:
    """Two customers who step at the same milliseconds."""
    one = Person(rng, number)
    return one, Person(rng, number + 1, one.moments)


def neighbours_consent(rng: Random, number: int) -> Household:
    """Neighbours who both consented: each one's steps go with their own motion only."""
    one, two = _neighbours(rng, number)
    walks = [one.walk(), two.walk()]
    shares = [walk.all for walk in walks]
    return Household([one.consenting(), two.consenting()], walks, shares, shares)


def neighbour_declines(rng: Random, number: int) -> Household:
    """Neighbours of whom only the first one consented."""
    one, two = _neighbours(rng, number)
    walks = [one.walk(), two.walk()]
    shares = [walks[0].all]
    return Household([one.consenting(), two.declining()], walks, shares, shares)


def _couple(rng: Random, number: int) -> tuple[Person, Person]:
    """Two customers with one Step Trainer, which the second one uses a day later."""
    one = Person(rng, number)
    two = Person(rng, number + 1, moments_from(rng, one.moments[0] + DAY))
    two.serial = one.serial
    return one, two


def couple_consents(rng: Random, number: int) -> Household:
    """A couple who both consented: the distance readings are trusted, but nobody's in particular."""
    one, two = _couple(rng, number)
    walks = [one.walk(), two.walk()]
    shares = [_unpaired(walk.all) for walk in walks]
    return Household([one.consenting(), two.consenting()], walks, shares, shares)


def couple_consents_late(rng: Random, number: int) -> Household:
    """A couple of whom the second one consented during their own session, after the first one's was over."""
    one, two = _couple(rng, number)
    index = pick(rng, 8, 20)
    moment = two.moments[index]
    first, second = walks = [one.walk(), two.walk(consent_at=index)]
    shares_all = [_unpaired(walk.all) for walk in walks]
    shares_since = [_only_motion(first.since), _unpaired(second.since)]
    return Household([one.consenting(), two.record(moment, moment)], walks, shares_all, shares_since)


def couple_disagrees(rng: Random, number: int) -> Household:
    """A couple of whom the second one declined: no distance reading is trusted."""
    one, two = _couple(rng, number)
    walks = [one.walk(), two.walk()]
    shares = [_only_motion(walks[0].all)]
    return Household([one.consenting(), two.declining()], walks, shares, shares)


def passes_by(rng: Random, number: int) -> Walk:
    """Nobody's customer: readings of an unknown phone and of an unknown Step Trainer."""
    walk = Person(rng, number).walk()
    walk.email = f"visitor.{walk.email}"
    return walk


KINDS: tuple[tuple[Callable[[Random, int], Household], int, int], ...] = (
    # a kind of household, its customers, how many of it there are among 200 customers
    (consents, 1, 46),
    (declines, 1, 63),
    (consents_midway, 1, 14),
    (consents_afterwards, 1, 6),
    (returns, 1, 6),
    (withdraws, 1, 6),
    (ties, 1, 5),
    (changes_phone, 1, 5),
    (replaces_trainer, 1, 4),
    (has_record_twice, 1, 3),
    (has_equal_readings, 1, 3),
    (has_no_readings, 1, 4),
    (has_only_trainer, 1, 4),
    (has_only_phone, 1, 3),
    (neighbours_consent, 2, 3),
    (neighbour_declines, 2, 3),
    (couple_consents, 2, 2),
    (couple_consents_late, 2, 3),
    (couple_disagrees, 2, 3),
)


def households(customers: int, seed: int) -> Iterator[tuple[int, Household]]:
    """That many customers, household by household, each with the number of customers so far.

    They all draw from one source of chance, one after the other, so a household is the same one in a larger sample.
    """
    order, rng = Random("street"), Random(f"sample {seed}")
    street = [(kind, members) for kind, members, households in KINDS for _ in range(households)]
    street = street[:1] + sorted(street[1:], key=lambda _: order.random())
    number = 0
    for kind, members in cycle(street):
        if number >= customers:
            return
        if number + members > customers:
            kind, members = consents, 1
        household = kind(rng, number)
        if number // 25 < (number + members) // 25:
            household.walks.append(passes_by(rng, number))
        number += members
        yield number, household
