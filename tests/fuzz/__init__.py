"""Hostile bytes for the sans-IO cores of `proxy`: see docs/compat.md. `python -m tests.fuzz` runs the fuzzer."""
