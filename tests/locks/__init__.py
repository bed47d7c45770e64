"""Proof that an export blocks no writer, and that what it takes is one state: `python -m tests.locks --help`."""
