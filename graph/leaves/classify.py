"""What a statement is to the slice, as far as its text alone tells; the classes are those of docs/leaves.md."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from sqlglot import exp

from graph.leaves.displays import is_count, is_progress
from graph.leaves.parse import WRITING_VERBS, Query
from graph.leaves.scope import blocks, inner_query, subqueries
from graph.names import TableName, is_housekeeping
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


def classify(query: Query, default_schema: str | None) -> Verdict:
    """The class of a statement that holds a query."""
    if query.verb in WRITING_VERBS:
        return _written(query, default_schema)
    verdict = _read(query.tree, default_schema)
    if verdict.statement_class is StatementClass.CHECK and query.stores:
        return Verdict(StatementClass.DATA, "a count that is kept")
    return verdict


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
    ctes = _ctes(tree)
    base = [table for table in tables if not is_cte(table, ctes)]
    if not base:
        return Verdict(StatementClass.NOT_DATA, "reads no table")
    if all(is_system_schema(table.db or default_schema or "") for table in base):
        return Verdict(StatementClass.NOT_DATA, "reads the server's own tables")
    shown = [TableName(table.db or default_schema or "", table.name) for table in _shown_tables(tree, ctes)]
    if shown and all(map(is_housekeeping, shown)):
        return Verdict(StatementClass.NOT_DATA, f"reads what a tool keeps for itself ({shown[0]})")
    if exists_query(tree) is not None:
        return Verdict(StatementClass.DATA, "asks whether there is a row: one witness is kept")
    if is_count(tree):
        return Verdict(StatementClass.CHECK, "a count of rows, as len() sends it")
    if is_progress(tree):
        return Verdict(StatementClass.CHECK, "counts what is left to populate")
    if is_unrestricted(tree):
        return Verdict(StatementClass.DATA, UNRESTRICTED)
    return Verdict(StatementClass.DATA)


def is_cte(table: exp.Table, names: Container[str]) -> bool:
    """Whether a table's name is that of a CTE; inside a CTE that is not recursive its own name is a table's."""
    name = table.name.lower()
    if table.db or name not in names:
        return False
    around: exp.Expr | None = table
    while (around := around.find_ancestor(exp.CTE) if around is not None else None) is not None:
        recursive = isinstance(around.parent, exp.With) and around.parent.args.get("recursive")
        if around.alias.lower() == name and not recursive:
            return False
    return True


def _ctes(tree: exp.Query) -> dict[str, exp.Expr]:
    return {cte.alias.lower(): cte.this for cte in tree.find_all(exp.CTE)}


def _shown_tables(tree: exp.Expr, ctes: Mapping[str, exp.Expr]) -> list[exp.Table]:
    """The tables of which a query shows values: those of a FROM and of subqueries in a select list, at any depth of
    derived tables; not those of subqueries in conditions.

    The one query of `SELECT EXISTS(…)` counts as its FROM.
    """
    asked = exists_query(tree)
    if asked is not None:
        return _shown_tables(asked, ctes)
    if isinstance(tree, exp.SetOperation):
        return _shown_tables(tree.this, ctes) + _shown_tables(tree.expression, ctes)
    if isinstance(tree, exp.Table) and not tree.db and tree.name.lower() in ctes:
        name = tree.name.lower()
        below = {other: query for other, query in ctes.items() if other != name}
        return _shown_tables(ctes[name], below) + _joined_tables(tree, ctes)
    if isinstance(tree, exp.Table):
        return [tree, *_joined_tables(tree, ctes)]
    if isinstance(tree, exp.Select):
        start = tree.args.get("from_")
        nodes = [start.this] if start is not None else []
        nodes += [query for item in tree.expressions for query in subqueries(item)]
        return [table for node in nodes for table in _shown_tables(node, ctes)] + _joined_tables(tree, ctes)
    if isinstance(tree, exp.Subquery | exp.Lateral):
        return _shown_tables(tree.this, ctes) + _joined_tables(tree, ctes)
    return list(tree.find_all(exp.Table))


def _joined_tables(tree: exp.Expr, ctes: Mapping[str, exp.Expr]) -> list[exp.Table]:
    return [table for join in tree.args.get("joins") or [] for table in _shown_tables(join.this, ctes)]


def exists_query(tree: exp.Expr) -> exp.Query | None:
    """The query inside `SELECT EXISTS(…)`, None for any other statement."""
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or tree.args.get("from_") is not None:
        return None
    only = tree.expressions[0]
    only = only.this if isinstance(only, exp.Alias) else only
    return inner_query(only.this) if isinstance(only, exp.Exists) else None


def is_unrestricted(tree: exp.Expr) -> bool:
    """Whether a query is a SELECT of all rows of one table."""
    if not isinstance(tree, exp.Select) or tree.args.get("joins") or len(list(blocks(tree))) > 1:
        return False
    return all(tree.args.get(part) is None for part in ("where", "having", "limit", "offset"))
