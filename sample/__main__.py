"""`python -m sample`: write the feeds that somebody asks for in a shell, and say what is in them. Try `--help`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sample.feeds import CUSTOMERS, SEED, Expected, replace_feeds
from stedi_assets.contracts import FEEDS


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of customers, give at least 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m sample", description="Write synthetic feeds.")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="new, empty, or an earlier sample")
    parser.add_argument("--customers", metavar="N", type=_positive, default=CUSTOMERS, help="default: %(default)s")
    parser.add_argument("--seed", metavar="S", type=int, default=SEED, help="default: %(default)s")
    parser.add_argument("--clean", action="store_true", help="no malformed record, and none that is spelled oddly")
    parser.add_argument("--expected", action="store_true", help="print how many rows every table must have")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the feeds that the command line asks for, with a progress bar, and print what was written."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Customers", total=asked.customers)
            expected = replace_feeds(
                asked.folder,
                asked.customers,
                asked.seed,
                lambda done: bar.update(task, completed=done),
                clean=asked.clean,
            )
    except OSError as error:
        parser.error(f"cannot write {asked.folder}: {error.strerror}" if error.strerror else str(error))
    print(f"{asked.folder}: {asked.customers:,} customers, seed {asked.seed}")
    _print(expected, asked.expected)


def _print(expected: Expected, every_table: bool) -> None:
    for feed in FEEDS:
        accepted, damaged = (expected.customer[table.name] for table in (feed.records, feed.quarantine))
        print(f"  {feed.name:<13} {accepted:>13,} records, {damaged:>7,} malformed ones")
    if every_table:
        print(f"\n{'expected rows':<24} {'customer':>13} {'as-of-date':>13}")
        for table, rows in expected.customer.items():
            print(f"{table:<24} {rows:>13,} {expected.as_of_date[table]:>13,}")


if __name__ == "__main__":
    main()
