"""Spark SQL over the published tables, from Python and from the shell."""

from __future__ import annotations

from click.testing import CliRunner

from sample.feeds import write_feeds
from stedi_assets.evidence import queries
from stedi_assets.sql import main
from tests.support import Stedi


def test_any_verification_query_runs_from_the_shell(stedi: Stedi) -> None:
    write_feeds(stedi.folder / "sample", customers=20)
    stedi.environment["STEDI_SOURCE"] = str(stedi.folder / "sample")
    assert stedi.materialize().success
    environment = {"STEDI_LAKEHOUSE": stedi.settings.lakehouse}
    answer = CliRunner().invoke(main, [queries()["table_counts"]], env=environment)
    assert answer.exit_code == 0
    assert f"customer_trusted {stedi.counts()['customer_trusted']:>10}" in answer.output


def test_a_statement_that_cannot_be_run_is_answered_with_one_sentence(stedi: Stedi) -> None:
    answer = CliRunner().invoke(main, ["SELECT * FROM nowhere"], env={"STEDI_LAKEHOUSE": stedi.settings.lakehouse})
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: The statement cannot be run:")
    assert "Traceback" not in answer.output
