"""The benchmark: what the whole lakehouse command costs beside other ways of building the same five tables.

`bench/run` is the entry point. Belongs here: the rows of the benchmark (`contestants.py`), running them in turns
(`race.py`), measuring one command (`measure.py`), holding the tables to be equal (`tables.py`), finding where the time
goes (`steps.py`), and writing it down (`report.py`). The programs that the lakehouse is timed against are
`plain_spark.py`, `naive_dagster.py` and `duckdb_lower_bound.py`; what they are given is told in `delivered.py`.
Does not belong here: making feeds, which is what `sample` does.
"""
