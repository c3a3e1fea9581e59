"""The benchmark's result as Markdown that also reads well in a terminal.

Belongs here: the arithmetic over runs, tables of text, and the sentences that say what was measured and how.
Does not belong here: measuring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median, median_low

from bench.contestants import YARDSTICK, Contestant, DailyLakehouse
from bench.delivered import Size
from bench.measure import MEMORY, PERIOD, Measurement
from bench.race import Race
from bench.steps import PHASES, Imports, Steps

BAR = 30
"""Characters of the bar of a part that would take all the time."""

Row = Sequence[str]
Runs = Mapping[int, Measurement]


@dataclass(frozen=True)
class Setting:
    """What was run where: the text beside the numbers."""

    date: datetime
    feeds: str
    sizes: Mapping[str, Size]
    machine: str
    versions: str
    skipped: Sequence[str]


def ratio(runs: Runs, yardstick: Runs) -> float | None:
    """Return the median of the ratios of rounds in which both ran, or None: a busy moment hits both of a pair."""
    pairs = [run.seconds / yardstick[number].seconds for number, run in runs.items() if number in yardstick]
    return median(pairs) if pairs else None


def render(setting: Setting, contestants: Sequence[Contestant], race: Race, imports: Imports | None) -> str:
    """Return the whole report."""
    parts = [_head(setting), _results(contestants, race), *_remarks(setting, contestants, race)]
    for contestant in contestants:
        if imports and contestant.name in race.steps:
            parts += _where_the_time_goes(contestant, race, imports)
    return "\n\n".join(parts) + "\n"


def _head(setting: Setting) -> str:
    feeds = ", ".join(f"{size.lines:,} {feed} records" for feed, size in setting.sizes.items())
    files = sum(size.files for size in setting.sizes.values())
    megabytes = sum(size.bytes for size in setting.sizes.values()) / 1e6
    return "\n".join(
        (
            f"## Measured on {setting.date:%Y-%m-%d %H:%M} UTC, {setting.feeds}",
            "",
            f"- Feeds: {feeds}; {megabytes:,.0f} MB in {files} files",
            f"- Machine: {setting.machine}",
            f"- Versions: {setting.versions}",
        )
    )


def _results(contestants: Sequence[Contestant], race: Race) -> str:
    yardstick = race.runs.get(YARDSTICK, {})
    rows = []
    for contestant in contestants:
        runs = race.runs[contestant.name]
        seconds = [run.seconds for run in runs.values()]
        peaks = [run.peak_mb for run in runs.values() if run.peak_mb is not None]
        times = [f"{figure(seconds):.2f}" for figure in (median, min, max)]
        compared = ratio(runs, yardstick)
        rows.append(
            [
                contestant.title,
                str(len(runs)),
                *times,
                f"{max(peaks):,.0f} MB" if peaks else "not measured",
                f"{sum(race.counts.values()):,}",
                "" if compared is None else f"{compared:.2f}",
            ]
        )
    return table(("", "runs", "median s", "min s", "max s", "peak memory", "rows out", "× plain script"), rows)


def _remarks(setting: Setting, contestants: Sequence[Contestant], race: Race) -> list[str]:
    equal = ", ".join(f"{name} {rows:,}" for name, rows in race.counts.items())
    memory = {
        "PSS": "PSS, where shared pages count once",
        "RSS": "RSS, where shared pages count in each process",
        None: "not known on this machine, for want of /proc",
    }[MEMORY]
    remarks = [
        f"All made the same tables, value by value: {equal}.",
        "Each run is a process of its own that reads the JSON feeds and writes all tables, from an empty folder and "
        "without a history of runs. The lakehouse also copies the feeds, looks for bad records, checks, publishes, "
        "and makes pictures; the scripts do not. Runs alternate, after one warm-up each, with files in the system's "
        "cache.",
        f"Peak memory: of the whole process tree ({memory}), the largest of all runs, sampled every {PERIOD} s, or "
        "less often where looking takes long. × plain script: the median of the ratios of the rounds that both ran.",
    ]
    if any(isinstance(contestant, DailyLakehouse) for contestant in contestants):
        remarks.append(
            "Nothing new delivered: the same command once more on a lakehouse that has read these feeds before, and "
            "that need not read them again."
        )
    return [*remarks, *setting.skipped]


def _where_the_time_goes(contestant: Contestant, race: Race, imports: Imports) -> list[str]:
    runs = race.runs[contestant.name]
    middle = median_low(run.seconds for run in runs.values())
    number = next(number for number, run in runs.items() if run.seconds == middle)
    steps = race.steps[contestant.name][number]
    return [
        f"### Where the time goes: {contestant.title}",
        f"The run of {middle:.2f} s. The engine is lazy: a table is computed while it is written, and a feed is "
        "parsed while its records are written, so each is one part.",
        _by_part(steps, imports),
        _by_asset(steps),
    ]


def _by_part(steps: Steps, imports: Imports) -> str:
    totals = steps.totals(imports)
    whole = sum(totals.values())
    rows = [
        [part, f"{seconds:.2f}", f"{seconds / whole:.0%}", "█" * round(BAR * seconds / whole)]
        for part, seconds in totals.items()
    ]
    return table(("part", "seconds", "share", ""), rows, left=(0, 3))


def _by_asset(steps: Steps) -> str:
    shown = [phase for phase in PHASES if any(round(asset[phase], 2) for asset in steps.assets.values())]
    rows = [
        [
            name,
            *(f"{asset[phase]:.2f}" if round(asset[phase], 2) else "" for phase in shown),
            f"{sum(asset.values()):.2f}",
        ]
        for name, asset in steps.assets.items()
    ]
    return table(("seconds", *shown, "all"), rows)


def table(head: Row, rows: Sequence[Row], left: Sequence[int] = (0,)) -> str:
    """Return an aligned Markdown table; the columns `left` are texts, the others numbers."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]

    def line(cells: Row) -> str:
        aligned = (
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(aligned)} |"

    rule = "|".join("-" * (width + 2) if i in left else "-" * (width + 1) + ":" for i, width in enumerate(widths))
    return "\n".join((line(head), f"|{rule}|", *map(line, rows)))
