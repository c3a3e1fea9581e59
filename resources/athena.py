"""SQL for people on AWS: Athena runs it over the tables of the Glue Data Catalog, external tables over raw files too.

Belongs here: running one statement to its end, or stopping it, and holding an external table to its DDL. This module
is imported on AWS only. Does not belong here: what is asked.
Not PyAthena (4.2): it has no time limit, looks at a query at one interval, stops it at no interrupt but
KeyboardInterrupt, and its errors quote rows, so only the 20 lines that type a result would go.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from string import Template
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_aws.athena import AthenaClientResource
from dagster_aws.athena.resources import AthenaClient
from pydantic import PrivateAttr

from resources.aws import client, new_session
from resources.errors import LakehouseError, translate_errors, without_caller
from resources.query import Query, QueryResult

if TYPE_CHECKING:
    import boto3
    from pyspark.sql import DataFrame

FIRST_LOOK = 0.1
"""Seconds until a query is first looked at; each pause is half as long again, up to `polling_interval`."""

OF_A_VALUE = re.compile(
    r"cannot (?:be )?cast|could not conver|conversion|BAD_DATA|CURSOR_ERROR|OUT_OF_RANGE|INVALID_[A-Z]+_ARGUMENT", re.I
)
"""Reasons for a failure that quote what a row holds."""

TYPED: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), int),
    **dict.fromkeys(("float", "real", "double"), float),
    "decimal": Decimal,
    "boolean": lambda text: text == "true",
}


class AthenaQuery(AthenaClientResource, Query):
    """dagster-aws's Athena resource, with a database, early polling, typed values, and queries that are stopped.

    It waits `polling_interval` x `max_polls` seconds at most (600 unless they are set), as dagster-aws's does. The
    workgroup says where results go.
    """

    database: str

    _client: Any = PrivateAttr(default=None)

    @property
    def time_limit(self) -> int:
        """Seconds after which a query is stopped."""
        return self.polling_interval * self.max_polls

    def get_client(self) -> AthenaClient:
        """dagster-aws's client, in the region of the usual AWS chain, patient where AWS is busy."""
        athena = client("athena", self._session)
        return AthenaClient(athena, self.workgroup, self.polling_interval, self.max_polls)  # type: ignore[no-untyped-call]

    @cached_property
    def _session(self) -> boto3.Session:
        return new_session(aws_access_key_id=self.aws_access_key_id, aws_secret_access_key=self.aws_secret_access_key)

    @property
    def _athena(self) -> Any:
        if self._client is None:
            self._client = self.get_client().client
        return self._client

    def run(self, sql: str, views: Mapping[str, Callable[[], DataFrame]]) -> QueryResult:
        """Run the statement; LakehouseError where it fails. `views` are not needed: the catalog has the tables."""
        began = time.perf_counter()
        execution = self._execute(sql)
        columns, rows = self._results(execution)
        return QueryResult(columns, rows, time.perf_counter() - began, _statistics(execution))

    def ensure_table(self, name: str, ddl: str, location: str) -> str | None:
        """Have the external table that the DDL describes. Says what was done; None where all was so already.

        LakehouseError where a table of that name is none over raw JSON files: such a one is never dropped.
        """
        statement = statement_of(ddl, location)
        found = self._table(name)
        if found is not None:
            if not is_raw_json(found):
                raise LakehouseError(
                    f"{self.database}.{name} in Glue is no external table over JSON files, so it is left as it is. "
                    "Rename it there, or set STEDI_DATABASE to another database."
                )
            if ExternalTable.of_glue(found) == ExternalTable.of_ddl(statement):
                return None
            self._execute(f"DROP TABLE IF EXISTS `{name}`")
        self._execute(statement)
        return f"external table {self.database}.{name} {'made anew' if found else 'made'} over {location}"

    def _table(self, name: str) -> Mapping[str, Any] | None:
        with translate_errors(f"look at the table {self.database}.{name} in Glue"):
            glue = client("glue", self._session)
            try:
                table: Mapping[str, Any] = glue.get_table(DatabaseName=self.database, Name=name)["Table"]
                return table
            except glue.exceptions.EntityNotFoundException:
                return None

    def _execute(self, sql: str) -> dict[str, Any]:
        """Run one statement to its end; it is stopped where the waiting ends before, for whatever reason."""
        query_id = self._start(sql)
        try:
            execution = self._wait(query_id)
        except BaseException:
            self._stop(query_id)
            raise
        status = execution["Status"]
        if status["State"] != "SUCCEEDED":
            happened = "was cancelled in Athena" if status["State"] == "CANCELLED" else "failed in Athena"
            raise LakehouseError(f"The query {query_id} {happened}: {reason_of(status)}")
        return execution

    def _start(self, sql: str) -> str:
        with translate_errors("start a query in Athena"):
            try:
                started = self._athena.start_query_execution(
                    QueryString=sql, WorkGroup=self.workgroup, QueryExecutionContext={"Database": self.database}
                )
            except self._athena.exceptions.InvalidRequestException:
                if unusable := self._unusable_workgroup():
                    raise LakehouseError(unusable) from None
                raise
            return str(started["QueryExecutionId"])

    def _unusable_workgroup(self) -> str | None:
        """What keeps every query of the workgroup from running, if anything does."""
        try:
            group = self._athena.get_work_group(WorkGroup=self.workgroup)["WorkGroup"]
        except self._athena.exceptions.InvalidRequestException:
            return f"There is no Athena workgroup {self.workgroup!r}. Set STEDI_ATHENA_WORKGROUP to one that there is."
        settings = group.get("Configuration", {})
        managed = settings.get("ManagedQueryResultsConfiguration", {}).get("Enabled", False)
        if managed or settings.get("ResultConfiguration", {}).get("OutputLocation"):
            return None
        return (
            f"The Athena workgroup {self.workgroup!r} has no location for query results. Give it one: aws athena "
            f"update-work-group --work-group {self.workgroup} --configuration-updates "
            "'ResultConfigurationUpdates={OutputLocation=s3://bucket/prefix/}', or set STEDI_ATHENA_WORKGROUP to "
            "another workgroup."
        )

    def _wait(self, query_id: str) -> dict[str, Any]:
        deadline, pause = time.monotonic() + self.time_limit, FIRST_LOOK
        with translate_errors(f"follow the query {query_id} in Athena"):
            while True:
                execution: dict[str, Any] = self._athena.get_query_execution(QueryExecutionId=query_id)[
                    "QueryExecution"
                ]
                if execution["Status"]["State"] not in ("QUEUED", "RUNNING"):
                    return execution
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LakehouseError(
                        f"The query {query_id} took longer than {self.time_limit} s in Athena: stopped."
                    )
                time.sleep(min(pause, left))
                pause = min(pause * 1.5, self.polling_interval)

    def _stop(self, query_id: str) -> None:
        """Stop the query. Why it is stopped matters more than that it may not be: a failure is only logged."""
        try:
            with translate_errors(f"stop the query {query_id}, which may run on in Athena"):
                self._athena.stop_query_execution(QueryExecutionId=query_id)
        except LakehouseError as error:
            dg.get_dagster_logger().warning(error.description)

    def _results(self, execution: Mapping[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
        query_id = execution["QueryExecutionId"]
        with translate_errors(f"fetch the result of the query {query_id}"):
            pages = self._athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
            results = [page["ResultSet"] for page in pages]
        columns = results[0]["ResultSetMetadata"]["ColumnInfo"]
        kinds = [TYPED.get(column["Type"], str) for column in columns]
        rows = [row["Data"] for result in results for row in result["Rows"]]
        # What a query gives begins with the columns' names; what SHOW and the like give does not.
        if execution.get("StatementType") == "DML":
            del rows[0]
        typed = [tuple(_typed(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in rows]
        return [column["Name"] for column in columns], typed


def _typed(value: Mapping[str, str], kind: Callable[[str], Any]) -> Any:
    return kind(value["VarCharValue"]) if "VarCharValue" in value else None


def _statistics(execution: Mapping[str, Any]) -> dict[str, Any]:
    statistics = execution.get("Statistics", {})
    return {
        "query id": execution["QueryExecutionId"],
        "bytes scanned": statistics.get("DataScannedInBytes", 0),
        "engine time (ms)": statistics.get("EngineExecutionTimeInMillis", 0),
        "queue time (ms)": statistics.get("QueryQueueTimeInMillis", 0),
    }


def reason_of(status: Mapping[str, Any]) -> str:
    """Athena's reason; its name alone where it is about a value of a row, which may name a person."""
    reason = without_caller(status.get("StateChangeReason") or "no reason is given").rstrip(".")
    if not OF_A_VALUE.search(reason):
        return f"{reason}."
    name = re.match(r"[A-Z_]+(?=:)", reason)
    return f"{name[0] if name else 'a value cannot be read'}. Athena's own console tells more, and may quote rows."


@dataclass(frozen=True)
class ExternalTable:
    """What can be seen of an external table. `columns` are names, types and comments; `properties` are the SerDe's."""

    location: str
    columns: tuple[tuple[str, str, str], ...]
    comment: str
    serde: str
    properties: Mapping[str, str]

    @classmethod
    def of_ddl(cls, statement: str) -> ExternalTable:
        """The table that a `CREATE EXTERNAL TABLE` asks for."""
        import sqlglot
        from sqlglot import exp

        create = sqlglot.parse_one(statement, read="athena")
        serde = create.find(exp.RowFormatSerdeProperty)
        properties = create.find(exp.SerdeProperties)
        return cls(
            _text(create.find(exp.LocationProperty)).rstrip("/"),
            tuple(
                (column.name, column.args["kind"].sql("hive").lower(), _text(column.find(exp.CommentColumnConstraint)))
                for column in create.find_all(exp.ColumnDef)
            ),
            _text(create.find(exp.SchemaCommentProperty)),
            _text(serde),
            {pair.this.name: pair.args["value"].name for pair in (properties.expressions if properties else ())},
        )

    @classmethod
    def of_glue(cls, table: Mapping[str, Any]) -> ExternalTable:
        """The table that Glue's `GetTable` tells of."""
        storage = table["StorageDescriptor"]
        serde = storage.get("SerdeInfo", {})
        return cls(
            storage.get("Location", "").rstrip("/"),
            tuple((column["Name"], column["Type"], column.get("Comment", "")) for column in storage.get("Columns", ())),
            table.get("Parameters", {}).get("comment", ""),
            serde.get("SerializationLibrary", ""),
            # Athena adds this one by itself.
            {key: value for key, value in serde.get("Parameters", {}).items() if key != "serialization.format"},
        )


def statement_of(ddl: str, location: str) -> str:
    """The one statement of a DDL file, for this location: Athena wants no comment before it and no `;` behind it."""
    lines = (line for line in ddl.splitlines() if not line.startswith("--"))
    return Template("\n".join(lines)).substitute(location=location).strip().removesuffix(";")


def is_raw_json(table: Mapping[str, Any]) -> bool:
    """Whether a table of Glue's lies over JSON files and can be dropped without losing anything."""
    serde = table.get("StorageDescriptor", {}).get("SerdeInfo", {}).get("SerializationLibrary", "")
    iceberg = str(table.get("Parameters", {}).get("table_type", "")).upper() == "ICEBERG"
    return table.get("TableType") == "EXTERNAL_TABLE" and not iceberg and "json" in serde.lower()


def _text(node: Any) -> str:
    return node.this.name if node is not None else ""
