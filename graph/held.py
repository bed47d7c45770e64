"""What a closure holds of one table, and what is still to be followed from there."""

from __future__ import annotations

from graph.keystore import Batch, KeyStore
from graph.schema import Table


class Held:
    """What the slice holds of one table; `followed` and `left` are the first generations of its keys for which no edge
    within the table's component, and none out of it, was followed yet.

    A table without a key has no `keys`: it is `whole` or not there.
    """

    def __init__(self, store: KeyStore, table: Table) -> None:
        self.keys = store.keys(table) if table.key else None
        self.whole = False
        self.followed = 0
        self.left = 0

    @property
    def number(self) -> int:
        """How many keys are held."""
        return 0 if self.keys is None else len(self.keys)

    @property
    def new(self) -> bool:
        """Whether edges within the component are still to be followed."""
        return self._since(self.followed)

    @property
    def staying(self) -> bool:
        """Whether edges out of the component are still to be followed."""
        return self._since(self.left)

    def take(self) -> Batch | None:
        """What is new, which then is not new any more; None for the rows of a table without a key."""
        if self.keys is None:
            self.followed = 1
            return None
        batch = self.keys.since(self.followed)
        self.followed = self.keys.next_generation()
        return batch

    def leave(self) -> Batch | None:
        """What no edge out of the component was followed for."""
        if self.keys is None:
            self.left = 1
            return None
        batch = self.keys.since(self.left)
        self.left = self.keys.next_generation()
        return batch

    def _since(self, generation: int) -> bool:
        if self.keys is None:
            return self.whole and generation == 0
        return len(self.keys.since(generation)) > 0
