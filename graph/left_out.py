"""What an export leaves out by class: how many statements, and how many rows their class would add to the slice.

The rows are looked for only so far: beyond a bound it is enough to say that there are more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graph.database import Database
from graph.documents import Judged
from graph.errors import GrantError, InputError
from graph.judging import LEFT_OUT
from graph.leaves import Rule, RuleKind
from graph.slice import Slice, TableSlice
from graph.statement import StatementClass

#: Rows of one answer that are looked at.
_BOUND: Final = 100_000


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The statements of one class that are left out.

    `rows` is how many more rows the slice would have with them, with `more` at least. None: not known, for this
    `reason`.
    """

    kind: StatementClass
    statements: int
    rows: int | None = 0
    more: bool = False
    reason: str = ""

    def document(self) -> dict[str, Any]:
        """As documents have it."""
        return {
            "class": self.kind.value,
            "statements": self.statements,
            "rows": self.rows,
            "more": self.more,
            "reason": self.reason,
        }


def left_out(
    database: Database,
    statements: Iterable[Judged],
    rules: Mapping[StatementClass, Sequence[Rule]],
    slice_: Slice,
    cascade: Callable[[Sequence[Rule]], Slice],
    unknown: Collection[StatementClass] = (),
) -> list[LeftOut]:
    """What is left out of the slice by class, in the database's snapshot; `cascade` computes the slice of other rules
    in the same way. Of `unknown` classes there are statements without rules. Raises ServerError."""
    counts = Counter(judged.kind for judged in statements if not judged.excluded)
    return [
        _with_rows(LeftOut(kind, counts[kind], more=kind in unknown), database, rules.get(kind, ()), slice_, cascade)
        for kind in LEFT_OUT
        if counts[kind]
    ]


def _with_rows(
    found: LeftOut,
    database: Database,
    rules: Sequence[Rule],
    slice_: Slice,
    cascade: Callable[[Sequence[Rule]], Slice],
) -> LeftOut:
    leaves = [rule for rule in rules if rule.kind is RuleKind.LEAF]
    if not leaves:
        return found
    try:
        with database.answers_of(_BOUND):
            with_them = cascade(leaves)
    except (GrantError, InputError) as error:
        return LeftOut(found.kind, found.statements, None, False, str(error))
    new = {name: _new_rows(sliced, slice_.tables.get(name)) for name, sliced in with_them.tables.items()}
    cut = any(_may_be_cut(sliced, slice_.tables.get(name)) for name, sliced in with_them.tables.items())
    more = found.more or cut or bool(with_them.refused) or len(leaves) < len(rules)
    return LeftOut(found.kind, found.statements, sum(new.values()), more)


def _may_be_cut(sliced: TableSlice, known: TableSlice | None) -> bool:
    return sliced.rows >= _BOUND and not (known is not None and known.whole)


def _new_rows(sliced: TableSlice, known: TableSlice | None) -> int:
    """How many of these rows are not known."""
    if known is None or not known.rows:
        return sliced.rows
    if known.whole:
        return 0
    if sliced.whole:
        return sliced.rows - known.rows
    return sum(key not in known.keys for key in sliced.keys)
