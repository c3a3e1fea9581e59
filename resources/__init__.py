"""The outside world: settings, engines, files, tables and SQL, each as one Dagster resource.

Knows no table of STEDI's and never imports `stedi_assets`.
"""
