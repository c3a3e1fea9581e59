"""A contract in the words of each system: Spark's schema, the UI's metadata, Athena's DDL.

Belongs here: translations of `contracts.Table`, each a pure function.
Does not belong here: a fact about a table that the contract does not state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

from stedi_assets.contracts import Feed, Pii, Table

LOCATION = "${location}"
"""The parameter in `sql/*_landing.sql` that stands for the landing zone's URI."""

_PII_TAGS = {Pii.NONE: {}, Pii.DEVICE: {"pii": "device"}, Pii.DIRECT: {"pii": "direct"}}


def feed_ddl(feed: Feed) -> str:
    """The feed's fields as text, spelled as the newest files spell them: typing them is the reader's work."""
    return ", ".join(f"`{column.feed_names[0]}` string" for column in feed.landing.columns)


def dagster_schema(table: Table) -> dg.TableSchema:
    """The table's columns as the UI shows them, with meaning, nullability and PII tags."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=column.meaning,
                constraints=dg.TableColumnConstraints(nullable=not column.required, unique=table.key == (column.name,)),
                tags=_PII_TAGS[column.pii],
            )
            for column in table.columns
        ]
    )


def column_lineage(table: Table, upstream: Iterable[Table]) -> dg.TableColumnLineage:
    """Where each column comes from: the first upstream table that has a column of that name."""
    sources: Mapping[str, list[dg.TableColumnDep]] = {
        column.name: [
            dg.TableColumnDep(dg.AssetKey(source.name), column.name) for source in upstream if column.name in source
        ][:1]
        for column in table.columns
    }
    return dg.TableColumnLineage({name: deps for name, deps in sources.items() if deps})


def tags(table: Table) -> dict[str, str]:
    """The asset's tags: its zone and whether it names people."""
    return {"zone": table.zone.value, "contains_pii": "yes" if table.contains_pii else "no"}


def landing_ddl(feed: Feed) -> str:
    """`CREATE EXTERNAL TABLE` for Athena and Glue over the feed's raw JSON files."""
    columns = ",\n".join(
        f"  `{column.name}` {column.type} COMMENT '{column.meaning}'" for column in feed.landing.columns
    )
    # A record that is no JSON, or a value of another type, is null and fails no query. Case-insensitive: the feeds
    # spell a column timestamp and timeStamp, serialNumber and so on.
    properties = {"ignore.malformed.json": "TRUE", "use.null.for.invalid.data": "TRUE", "case.insensitive": "TRUE"}
    serde = ",\n".join(f"  '{key}' = '{value}'" for key, value in properties.items())
    return (
        f"-- {feed.landing.name}: {feed.landing.grain}. Generated from stedi_assets/contracts.py:\n"
        f"-- python -m stedi_assets.pipeline.schemas\n"
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{feed.landing.name}` (\n{columns}\n)\n"
        f"COMMENT '{feed.landing.grain}'\n"
        f"ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        f"WITH SERDEPROPERTIES (\n{serde}\n)\n"
        f"STORED AS TEXTFILE\n"
        f"LOCATION '{LOCATION}';\n"
    )


def main() -> None:
    """Write `sql/*_landing.sql` from the contracts."""
    from pathlib import Path

    from stedi_assets.contracts import FEEDS

    for feed in FEEDS:
        path = Path(__file__).parents[2] / "sql" / f"{feed.landing.name}.sql"
        path.write_text(landing_ddl(feed))
        print(path)


if __name__ == "__main__":
    main()
