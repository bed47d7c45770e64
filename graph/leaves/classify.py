"""What a statement is to the slice, as far as its text alone tells; the classes are those of docs/leaves.md."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlglot import exp

from graph.leaves.parse import WRITING_VERBS, Query
from graph.leaves.scope import blocks, inner_query
from graph.statement import StatementClass

#: Schemas of the server itself.
SYSTEM_SCHEMAS = frozenset({"information_schema", "mysql", "performance_schema", "sys"})

#: First words of statements that read no rows of anybody's data.
NOT_DATA_VERBS = frozenset(
    """SHOW SET USE EXPLAIN DESCRIBE DESC BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE LOCK UNLOCK XA KILL FLUSH
    ALTER DROP RENAME TRUNCATE GRANT REVOKE ANALYZE CHECK CHECKSUM OPTIMIZE REPAIR HELP PREPARE DEALLOCATE CREATE
    LOAD HANDLER VALUES RESET PURGE CHANGE INSTALL UNINSTALL SIGNAL RESIGNAL BINLOG CACHE CLONE SHUTDOWN
    RESTART""".split()
)


#: The reason of a fetch that takes a whole table, which publishes all that anybody put there.
UNRESTRICTED = "no restriction: the whole table"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A class and why."""

    statement_class: StatementClass
    reason: str = ""


def is_system_schema(name: str) -> bool:
    """Whether a schema belongs to the server."""
    return name.lower() in SYSTEM_SCHEMAS


def is_housekeeping(table: str) -> bool:
    """Whether a table is DataJoint's own bookkeeping (`~log`, `~jobs`, `~~name`, `~lineage`, `~external_store`)."""
    return table.startswith("~")


def classify(query: Query, default_schema: str | None) -> Verdict:
    """The class of a statement that holds a query."""
    if query.verb in WRITING_VERBS:
        return _written(query, default_schema)
    return _read(query.tree, default_schema)


def _written(query: Query, default_schema: str | None) -> Verdict:
    verdict = _read(query.tree, default_schema)
    name = query.target.sql(dialect="mysql") if query.target is not None else "a table"
    if verdict.statement_class is StatementClass.NOT_DATA:
        return Verdict(StatementClass.WRITE, f"writes {name}: {verdict.reason}")
    if query.verb in ("UPDATE", "DELETE"):
        return Verdict(StatementClass.DATA, f"read to change {name}, as the tables are at export")
    return Verdict(StatementClass.DATA, f"read to write {name}")


def _read(tree: exp.Query, default_schema: str | None) -> Verdict:
    tables = list(tree.find_all(exp.Table))
    names = _cte_names(tree)
    base = [table for table in tables if table.db or table.name.lower() not in names]
    if not base:
        return Verdict(StatementClass.NOT_DATA, "reads no table")
    if all(is_system_schema(table.db or default_schema or "") for table in base):
        return Verdict(StatementClass.NOT_DATA, "reads the server's own tables")
    if any(is_housekeeping(table.name) for table in _outer_tables(tree)):
        return Verdict(StatementClass.NOT_DATA, "reads DataJoint's bookkeeping")
    if exists_query(tree) is not None:
        return Verdict(StatementClass.DATA, "asks whether there is a row: one witness is kept")
    if is_count(tree):
        return Verdict(StatementClass.CHECK, "counts only")
    if _unrestricted(tree):
        return Verdict(StatementClass.DATA, UNRESTRICTED)
    return Verdict(StatementClass.DATA)


def _cte_names(tree: exp.Query) -> set[str]:
    return {cte.alias.lower() for cte in tree.find_all(exp.CTE)}


def _outer_tables(tree: exp.Expr) -> list[exp.Table]:
    """The tables that stand in a FROM, at any depth of derived tables, not those of subqueries in conditions.

    The one query of `SELECT EXISTS(…)` counts as its FROM.
    """
    asked = exists_query(tree)
    if asked is not None:
        return _outer_tables(asked)
    if isinstance(tree, exp.SetOperation):
        return _outer_tables(tree.this) + _outer_tables(tree.expression)
    if isinstance(tree, exp.Subquery):
        return _outer_tables(tree.this)
    if isinstance(tree, exp.Table):
        return [tree]
    if not isinstance(tree, exp.Select):
        return []
    start = tree.args.get("from_")
    nodes = [start.this] if start is not None else []
    nodes += [join.this for join in tree.args.get("joins") or []]
    return [table for node in nodes for table in _outer_tables(node)]


def exists_query(tree: exp.Expr) -> exp.Query | None:
    """The query inside `SELECT EXISTS(…)`, None for any other statement."""
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or tree.args.get("from_") is not None:
        return None
    only = tree.expressions[0]
    only = only.this if isinstance(only, exp.Alias) else only
    return inner_query(only.this) if isinstance(only, exp.Exists) else None


def is_count(tree: exp.Expr) -> bool:
    """Whether all that a query gives is counts over everything it reads."""
    if not isinstance(tree, exp.Select) or tree.args.get("group") is not None or not tree.expressions:
        return False
    inner = [item.this if isinstance(item, exp.Alias) else item for item in tree.expressions]
    return all(isinstance(item, exp.Count) for item in inner)


def _unrestricted(tree: exp.Expr) -> bool:
    if not isinstance(tree, exp.Select) or tree.args.get("joins") or len(list(blocks(tree))) > 1:
        return False
    return all(tree.args.get(part) is None for part in ("where", "having", "limit", "offset"))


#: DataJoint numbers the aliases of its derived tables and unions anew in each statement.
_COUNTED_ALIAS = re.compile(r"\$\d*|_u\d+")


def expression_text(tree: exp.Expr) -> str | None:
    """FROM, WHERE, GROUP BY and HAVING of a query as one canonical text: what a preview and its count share."""
    if isinstance(tree, exp.Subquery):
        return expression_text(tree.this)
    if isinstance(tree, exp.SetOperation):
        stripped = tree.copy()
        for part in ("order", "limit", "offset"):
            stripped.set(part, None)
        return stripped.sql(dialect="mysql", comments=False)
    if not isinstance(tree, exp.Select):
        return None
    start = tree.args.get("from_")
    alone = start is not None and isinstance(start.this, exp.Subquery) and not tree.args.get("joins")
    filters = ("where", "group", "having")
    if alone and start is not None and all(tree.args.get(part) is None for part in filters):
        return expression_text(start.this)
    shell = exp.Select(expressions=[exp.Star()])
    for part in ("from_", "joins", *filters):
        value = tree.args.get(part)
        if value is not None:
            shell.set(part, [item.copy() for item in value] if isinstance(value, list) else value.copy())
    for alias in shell.find_all(exp.TableAlias):
        if _COUNTED_ALIAS.fullmatch(alias.name):
            alias.set("this", exp.to_identifier("$"))
    return shell.sql(dialect="mysql", comments=False)


def preview_text(tree: exp.Expr) -> str | None:
    """The expression that a query may be the preview of: it has an ORDER BY and a LIMIT, and no OFFSET."""
    if not isinstance(tree, exp.Query) or tree.args.get("limit") is None or tree.args.get("order") is None:
        return None
    return None if tree.args.get("offset") is not None else expression_text(tree)


def count_text(tree: exp.Expr) -> str | None:
    """The expression that a query counts, None when it is no count."""
    return expression_text(tree) if is_count(tree) else None
