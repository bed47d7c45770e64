"""A MySQL wire-protocol proxy that records what its clients read."""
