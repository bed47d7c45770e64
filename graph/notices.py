"""What an export warns about, and why there may be nothing to export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from graph.documents import Judged
from graph.exclusion import excluded_tables
from graph.files import FileRule, Tally
from graph.leaves import Resolution
from graph.names import TableName
from graph.schema import Schema
from graph.slice import Slice, TableSlice
from graph.statement import StatementClass
from graph.words import counted


def taken_whole(unrestricted: Mapping[TableName, int], slice_: Slice) -> list[str]:
    """A warning for each table that a statement takes whole, unless limits keep rows of it out."""
    whole = {name: number for name, number in unrestricted.items() if _is_whole(slice_.tables[name])}
    return [
        f"all of {name} ({counted(slice_.tables[name].rows)}) is in the slice: statement {number} fetches it without"
        " a restriction"
        for name, number in whole.items()
    ]


def _is_whole(sliced: TableSlice) -> bool:
    return sliced.rows == sliced.total


def needed_anyway(excluded: Collection[TableName], slice_: Slice) -> list[str]:
    """A warning for each excluded table whose rows other rows need: foreign keys never break silently."""
    found = [slice_.tables[name] for name in sorted(excluded) if name in slice_.tables and slice_.tables[name].rows]
    return [
        f"the slice holds {counted(sliced.rows)} of the excluded table {sliced.table.name} all the same, since other"
        f" rows need them ({'; '.join(sliced.reasons)})"
        for sliced in found
    ]


def needless(exclude: Iterable[TableName], schema: Schema, left_out: Iterable[tuple[TableName, ...]]) -> list[str]:
    """A warning for each pattern that kept nothing out: perhaps it is misspelled."""
    read_tables = {name for names in left_out for name in names}
    return [
        f"no statement of the slice reads {each}: excluding it kept none out"
        for each in exclude
        if read_tables.isdisjoint(excluded_tables([each], schema))
    ]


def unlisted(tally: Tally, rules: Iterable[FileRule], slice_: Slice) -> list[str]:
    """Warnings of files that rows name and the list cannot have, and of path columns without rows in the slice."""
    found = []
    for rule in rules:
        table = slice_.schema.find(*rule.table)
        sliced = None if table is None else slice_.tables.get(table.name)
        if sliced is None or not sliced.rows:
            found.append(f"--files {rule.table}.{rule.column}: the slice has no row of that table")
    if tally.missed:
        first = tally.examples[0]
        names = "1 value names a file" if tally.missed == 1 else f"{tally.missed} values name files"
        where = f"{first.table}.{first.column}" if first.column else str(first.table)
        found.append(
            f"{names} that files.tsv cannot have; the first is in {where}: {first.reason} (see files in review.json)"
        )
    return found


def nothing_to_export(
    recorded: Sequence[Judged],
    resolutions: Iterable[Resolution],
    paper: str,
    left_out: Collection[tuple[TableName, ...]],
) -> str:
    """Why none of the statements gives a slice."""
    if left_out:
        tables = ", ".join(sorted({str(name) for names in left_out for name in names}))
        return f"nothing of paper {paper} is left to export: its statements read what is excluded ({tables})"
    unresolved = [r for r in resolutions if r.statement_class is StatementClass.UNRESOLVED]
    if unresolved:
        return (
            f"none of the {len(recorded)} statements of paper {paper} can be exported; the first of "
            f"{len(unresolved)} unresolved ones: {unresolved[0].reason}"
        )
    classes = Counter(str(judged.kind) for judged in recorded)
    counts = ", ".join(f"{number} {name}" for name, number in sorted(classes.items()))
    return f"the recording of paper {paper} holds no data to export ({counts}); see djproxy show, and --include"
