"""Random schemas, data and queries on real servers, held against the laws of a slice.

`python -m tests.torture --queries 20000 --seed 1 --flavour both` runs it; see `laws` for what is held.
"""
