"""Random statements and recordings, and the views that they may name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from tests.torture.build import Context, Flat, Query
from tests.torture.model import Model, View
from tests.torture.queries import make, select, set_operation, with_clause


@dataclass(frozen=True)
class Recorded:
    """A statement as a client would send it; `reading` is the query that it holds.

    `ordered`: the whole order of its rows is asked for. `flat`: its lineage, for select-project-join queries.
    """

    sql: str
    reading: str
    ordered: bool = False
    flat: Flat | None = None
    tags: frozenset[str] = field(default_factory=frozenset)


class Author:
    """Writes statements over one model, with views of its own."""

    def __init__(self, chance: Random, model: Model, flavour: str) -> None:
        self.chance = chance
        self.model = model
        self.flavour = flavour
        self.views: list[Query] = []
        self.names: list[str] = []
        self.tags: list[set[str]] = []

    def _context(self, *, spj: bool = False) -> Context:
        return Context(
            self.chance,
            self.model,
            self.flavour,
            make,
            spj,
            views=self.views,
            view_names=self.names,
            view_tags=self.tags,
        )

    def view(self) -> tuple[View, Query, set[str]]:
        """A new view; `keep` it once the server has taken it."""
        ctx = self._context(spj=self.chance.random() < 0.5)
        ctx.in_view = True
        query = make(ctx, None, (), 1) if not ctx.spj else select(ctx, None, (), 1, form="plain")
        names = tuple(f"c{number}" for number in range(len(query.columns))) if ctx.maybe(0.25) else ()
        if names:
            ctx.tag("view:column list")
        view = View(f"view {len(self.names)}", query.sql, names)
        # Known by the names that the server gives its columns, not by the texts that they had.
        columns = tuple(
            replace(value, name=names[index] if names else value.name) for index, value in enumerate(query.columns)
        )
        flat = query.flat if ctx.spj else Flat()
        return view, Query(view.select, columns, query.unique, flat), ctx.tags

    def keep(self, view: View, query: Query, tags: set[str]) -> None:
        """Lets later statements and views name it."""
        self.views.append(query)
        self.names.append(view.name)
        self.tags.append(tags)

    def statement(self) -> Recorded:
        """A random statement."""
        spj = self.chance.random() < 0.3
        ctx = self._context(spj=spj)
        depth = ctx.chance.choices((0, 1, 2, 3), (3, 4, 3, 1))[0]
        if spj:
            query = select(ctx, None, (), depth, form="plain", top=True)
            ctx.tag("select-project-join")
            return Recorded(query.sql, query.sql, False, query.flat, frozenset(ctx.tags))
        form = ctx.pick(("select", 10), ("set", 1.5), ("with", 1.5), ("exists", 0.7), ("count", 0.7), ("fetch", 1.5))
        if form == "set":
            query = set_operation(ctx, None, (), depth, top=True)
        elif form == "with":
            query = with_clause(ctx, None, max(depth, 1), top=True)
        elif form == "exists":
            inner = make(ctx, None, (), depth)
            query = Query(f"SELECT EXISTS ({inner.sql})", ())
            ctx.tag("SELECT EXISTS")
        elif form == "count":
            inner = make(ctx, None, (), depth)
            query = Query(f"SELECT COUNT(*) FROM ({inner.sql}) AS `q`", ())
            ctx.tag("count of a query")
        elif form == "fetch":
            ctx.spj = True
            query = select(ctx, None, (), 0, form="plain", top=True)
        else:
            query = select(ctx, None, (), depth, top=True)
        return self._wrapped(ctx, query)

    def _wrapped(self, ctx: Context, query: Query) -> Recorded:
        """As it is, or inside another statement."""
        sql, reading, ordered = query.sql, query.sql, query.ordered
        form = ctx.pick(("plain", 20), ("parentheses", 0.7), ("insert", 0.5), ("create", 0.5), ("update lock", 0.5))
        if form == "parentheses" and not sql.startswith("WITH"):
            sql = reading = f"({sql})"
        elif form == "insert":
            sql, ordered = f"INSERT INTO `elsewhere` {sql}", False
            ctx.tag("insert select")
        elif form == "create":
            sql, ordered = f"CREATE TABLE `elsewhere` {ctx.chance.choice(('', 'AS '))}{sql}", False
            ctx.tag("create select")
        elif form == "update lock" and not query.compound and not sql.startswith("WITH"):
            tails = (" FOR UPDATE", " LOCK IN SHARE MODE", *((" FOR SHARE",) if ctx.mysql else ()))
            sql = reading = sql + ctx.chance.choice(tails)
            ctx.tag("locking")
        return Recorded(sql, reading, ordered, None, frozenset(ctx.tags))
