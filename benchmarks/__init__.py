"""Measurements: programs that are run by hand, not by the tests."""
