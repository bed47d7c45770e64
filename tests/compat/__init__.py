"""The clients' own test suites, direct against proxied: see docs/compat.md. `python -m tests.compat` runs them."""
