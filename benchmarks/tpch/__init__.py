"""The 22 queries of TPC-H, recorded, exported, restored and replayed; see docs/tpch.md.

TPC-H is a benchmark of the Transaction Processing Performance Council; this is no audited run of it, and its times
compare with no published result.
"""
