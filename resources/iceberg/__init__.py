"""Iceberg tables: catalogs, staging, publishing, history.

Belongs here: all that knows a catalog, or where a table's files lie. Does not belong here: which tables there are.
"""
