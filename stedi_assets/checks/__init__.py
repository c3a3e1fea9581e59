"""What the lakehouse promises of its tables, as asset checks.

Belongs here: each promise as a query for the rows that break it, or as a measured share, and the rules of the tables
stated a second time, so that a mistake in a table cannot hide in its check. Does not belong here: how checks are run
(`pipeline/`).
"""
