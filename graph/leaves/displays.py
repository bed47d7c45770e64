"""What DataJoint sends by itself: the display of a query, and counts.

Only what certainly has that form is classed so; anything that a person may have asked for is data.

The display of a query (its repr, in a notebook too) is a SELECT of every attribute that is no blob, ordered by the
primary key, with LIMIT 13 (`display.limit` and one more), directly followed by the count of the same query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from sqlglot import exp

from graph.schema import Schema

#: DataJoint's default of `display.limit`, and one more, by which it sees that there are more rows.
_DISPLAYED: Final = 13
#: Attributes of these types are not displayed.
_HIDDEN_TYPES: Final = frozenset({"tinyblob", "blob", "mediumblob", "longblob", "json"})

#: DataJoint numbers the aliases of derived tables and unions in each statement from where it left off.
_NUMBERED_ALIAS: Final = re.compile(r"\$[0-9a-f]*|_u\d+")
#: The aliases in the statement of `populate`'s progress (DataJoint 2).
_PROGRESS_SOURCES: Final = ("$ks", "$tgt")
_PROGRESS_NAMES: Final = ["total", "remaining"]

#: The names of attributes in lower case, each with its column's type; None: it is computed.
_Attributes = dict[str, str | None]


def is_count(tree: exp.Expr) -> bool:
    """Whether a query is a count of rows as `len` sends it: one number, without a name, of all that it reads.

    A count under a name, beside other values or of a column's values was asked for.
    """
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or _is_shaped(tree) or _is_written(tree):
        return False
    only = tree.expressions[0]
    if not isinstance(only, exp.Count) or only.args.get("expressions"):
        return False
    counted = only.this
    if isinstance(counted, exp.Distinct):
        return all(isinstance(column, exp.Column) for column in counted.expressions)
    return isinstance(counted, exp.Star) or (isinstance(counted, exp.Literal) and counted.name == "1")


def is_progress(tree: exp.Expr) -> bool:
    """Whether a query is the one by which `progress` of DataJoint 2 counts what is left to populate."""
    if not isinstance(tree, exp.Select) or [item.alias for item in tree.expressions] != _PROGRESS_NAMES:
        return False
    start, joins = tree.args.get("from_"), tree.args.get("joins") or []
    sources = [start.this, *(join.this for join in joins)] if start is not None else []
    aliases = tuple(source.alias_or_name for source in sources)
    counts = all(isinstance(item.unalias(), exp.Count) for item in tree.expressions)
    return aliases == _PROGRESS_SOURCES and counts and not _is_shaped(tree)


def _is_written(tree: exp.Select) -> bool:
    """Whether a SELECT has what DataJoint never writes: WITH, locks, hints, modifiers, values of other queries."""
    if any(tree.args.get(part) for part in ("with_", "locks", "hint", "operation_modifiers", "kind")):
        return True
    return any(item.find(exp.Query, exp.Window) is not None for item in tree.expressions)


def _is_shaped(tree: exp.Select) -> bool:
    parts = ("group", "having", "qualify", "windows", "distinct", "order", "limit", "offset")
    return any(tree.args.get(part) is not None for part in parts)


def displayed_query(tree: exp.Expr) -> str | None:
    """The query that a SELECT may be the display of, with its primary key, as one canonical text; None when it is
    certainly no display. `counted_query` of the count that follows a display is the same text."""
    if not isinstance(tree, exp.Select) or tree.args.get("offset") is not None or _is_written(tree):
        return None
    limit, order = tree.args.get("limit"), tree.args.get("order")
    if not isinstance(limit, exp.Limit) or limit.expression != exp.Literal.number(_DISPLAYED) or order is None:
        return None
    key = [_ascending(item) for item in order.expressions]
    names = [item.alias_or_name for item in tree.expressions if isinstance(item, exp.Column | exp.Alias)]
    if None in key or "*" in names or len({name.lower() for name in names}) != len(tree.expressions):
        return None
    inner = tree.expressions if tree.args.get("group") is not None else []
    own = _own_names(tree)
    return _text(tree, [own.get(name, name) for name in key if name is not None], inner)


def _ascending(item: exp.Expr) -> str | None:
    """The column that an entry of ORDER BY names, without a direction."""
    if not isinstance(item, exp.Ordered) or item.args.get("desc") is not None or item.args.get("with_fill") is not None:
        return None
    return item.this.name if isinstance(item.this, exp.Column) and not item.this.table else None


def _own_names(tree: exp.Select) -> dict[str, str]:
    """The columns that a SELECT renames, by the names that it gives them."""
    renamed = [item for item in tree.expressions if isinstance(item, exp.Alias) and isinstance(item.this, exp.Column)]
    return {item.alias: item.this.name for item in renamed}


def counted_query(tree: exp.Expr) -> str | None:
    """The query that DataJoint counts, with its primary key, as one canonical text; None when that is no such count."""
    if not isinstance(tree, exp.Select) or not is_count(tree):
        return None
    counted = tree.expressions[0].this
    if isinstance(counted, exp.Distinct):
        return _text(tree, [column.name for column in counted.expressions], [])
    inner = _only_derived(tree)
    if inner is None or tree.args.get("where") is not None:
        return None
    if isinstance(counted, exp.Star):
        distinct = inner.args.get("distinct") is not None and inner.args.get("group") is None
        return _text(inner, [item.name for item in inner.expressions], []) if distinct else None
    group = inner.args.get("group")
    if group is None:
        return None
    return _text(inner, [item.name for item in group.expressions], inner.expressions)


def _only_derived(tree: exp.Select) -> exp.Select | None:
    """The SELECT of the derived table that is all of a FROM."""
    start = tree.args.get("from_")
    if start is None or tree.args.get("joins") or not isinstance(start.this, exp.Subquery):
        return None
    return start.this.this if isinstance(start.this.this, exp.Select) else None


def _text(tree: exp.Select, key: list[str], listed: list[exp.Expr]) -> str:
    """FROM, WHERE, GROUP BY and HAVING, the primary key, and what an aggregation lists."""
    shell = exp.Select(expressions=[item.copy() for item in listed] or [exp.Star()])
    for part in ("from_", "joins", "where", "group", "having"):
        value = tree.args.get(part)
        if value is not None:
            shell.set(part, [item.copy() for item in value] if isinstance(value, list) else value.copy())
    for alias in shell.find_all(exp.TableAlias):
        if _NUMBERED_ALIAS.fullmatch(alias.name):
            alias.set("this", exp.to_identifier("$"))
    names = exp.Tuple(expressions=[exp.to_identifier(name, quoted=True) for name in key])
    return f"{names.sql(dialect='mysql')} {shell.sql(dialect='mysql', comments=False)}"


def shows_every_attribute(tree: exp.Expr, schema: Schema, default_schema: str | None) -> bool:
    """Whether a SELECT lists all that its query has but blobs, as a display does; a fetch of some attributes, or of
    blobs, does not. What cannot be told is False."""
    offered = _offered(tree, schema, default_schema) if isinstance(tree, exp.Select) else None
    if not isinstance(tree, exp.Select) or offered is None:
        return False
    names = {item.alias_or_name.lower() for item in tree.expressions}
    names |= {name.lower() for name in _own_names(tree).values()}
    # DataJoint 2 hides attributes that begin with an underscore.
    hidden = {name for name, kind in offered.items() if kind in _HIDDEN_TYPES or name.startswith("_")}
    order = [item.this.name for item in tree.args["order"].expressions]
    if tree.args.get("group") is not None:
        # What an aggregation has is what it lists, which its count lists too.
        return names.isdisjoint(hidden)
    if tree.args.get("distinct") is not None:
        return names == {name.lower() for name in order}
    if not _is_by_key(tree, order, schema, default_schema):
        return False
    return names.isdisjoint(hidden) and names.issuperset(offered.keys() - hidden)


def counts_rows(tree: exp.Expr, schema: Schema, default_schema: str | None) -> bool:
    """Whether a count, as `is_count` finds it, counts rows: its DISTINCT names the primary key of the table that it
    counts. Where that is no single table, it cannot be told, and is taken for one of rows."""
    if not isinstance(tree, exp.Select) or not tree.expressions:
        return True
    inner, counted = _only_derived(tree), tree.expressions[0].this
    if isinstance(counted, exp.Distinct):
        return _is_by_key(tree, [column.name for column in counted.expressions], schema, default_schema)
    if inner is None or inner.args.get("distinct") is None or inner.args.get("group") is not None:
        return True
    return _is_by_key(inner, [item.name for item in inner.expressions], schema, default_schema)


def _is_by_key(select: exp.Select, names: list[str], schema: Schema, default_schema: str | None) -> bool:
    """Whether these columns are the primary key of the one table of a FROM; True where there is no such table."""
    start = select.args.get("from_")
    if start is None or not isinstance(start.this, exp.Table) or select.args.get("joins"):
        return True
    table = schema.find(start.this.db or default_schema, start.this.name)
    own = _own_names(select)
    return table is None or {own.get(name, name).lower() for name in names} == {name.lower() for name in table.key}


def _offered(select: exp.Select, schema: Schema, default_schema: str | None) -> _Attributes | None:
    """The attributes of a FROM, as DataJoint writes it: tables and derived tables, joined by name."""
    start = select.args.get("from_")
    if start is None:
        return None
    found: _Attributes = {}
    for source in _by_name(start.this, select.args.get("joins") or []):
        own = None if source is None else _attributes(source, schema, default_schema)
        if own is None:
            return None
        found = own | found
    return found


def _by_name(first: exp.Expr, joins: list[exp.Join]) -> Iterator[exp.Expr | None]:
    """The sources of a FROM; None for one that is not joined by the names of its columns."""
    yield first if not first.args.get("joins") else None
    for join in joins:
        natural = (join.method or "").upper() == "NATURAL"
        by_name = natural or bool(join.args.get("using"))
        yield join.this if by_name and join.side != "RIGHT" and not join.this.args.get("joins") else None


def _attributes(source: exp.Expr, schema: Schema, default_schema: str | None) -> _Attributes | None:
    if isinstance(source, exp.Table):
        table = schema.find(source.db or default_schema, source.name)
        return None if table is None else {c.name.lower(): c.data_type for c in table.columns if not c.invisible}
    if not isinstance(source, exp.Subquery):
        return None
    inner = source.this
    while isinstance(inner, exp.SetOperation | exp.Subquery):
        inner = inner.this
    return _listed(inner, schema, default_schema) if isinstance(inner, exp.Select) else None


def _listed(select: exp.Select, schema: Schema, default_schema: str | None) -> _Attributes | None:
    """What the list of a derived table gives."""
    offered = _offered(select, schema, default_schema)
    if offered is None:
        return None
    found: _Attributes = {}
    for item in select.expressions:
        if isinstance(item, exp.Star):
            found |= offered
        else:
            found[item.alias_or_name.lower()] = _type(item.unalias(), offered)
    return found


def _type(item: exp.Expr, offered: Mapping[str, str | None]) -> str | None:
    return offered.get(item.name.lower()) if isinstance(item, exp.Column) else None
