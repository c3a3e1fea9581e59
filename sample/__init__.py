"""Synthetic feeds: the one generator, for `STEDI_SOURCE=sample`, the tests and the benchmark.

Belongs here: inventing customers and readings, writing them as the feeds do, defects included, and saying how many rows
every table must have. Does not belong here: anything that reads the feeds.
"""
