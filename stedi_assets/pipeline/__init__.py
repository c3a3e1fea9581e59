"""How any table function becomes an asset: compute, stage, check, publish, report.

Belongs here: what all tables have in common. It knows contracts, and no table of STEDI's.
"""
