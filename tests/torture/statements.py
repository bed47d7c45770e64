"""Random statements and recordings, and the views that they may name."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.torture.build import Context, Flat, Query, Want
from tests.torture.compound import set_operation, with_clause
from tests.torture.model import Model, View, quoted
from tests.torture.queries import make, select
from tests.torture.recorded import Recorded
from tests.torture.wrapping import changing, spelled, wrapped


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
        depth = ctx.chance.choices((0, 1, 2, 3), (4, 4, 2.5, 1))[0]
        if not spj:
            return spelled(ctx, self._any(ctx, depth))
        query = select(ctx, None, (), depth, form="plain", top=True)
        ctx.tag("select-project-join")
        return spelled(ctx, Recorded(query.sql, query.sql, False, query.flat, frozenset(ctx.tags)))

    def _any(self, ctx: Context, depth: int) -> Recorded:
        """A statement over the whole grammar."""
        form = ctx.pick(
            ("select", 10),
            ("set", 1.5),
            ("with", 1.5),
            ("exists", 0.7),
            ("count", 0.7),
            ("scalar", 0.4),
            ("fetch", 1.5),
            ("table", 0.2 if ctx.mysql else 0),
            ("change", 0.4),
        )
        if form == "change":
            return changing(ctx, min(depth, 1))
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
        elif form == "scalar":
            query = make(ctx, [Want("int")], (), depth, shape="scalar")
        elif form == "fetch":
            ctx.spj = True
            query = select(ctx, None, (), 0, form="plain", top=True)
        elif form == "table":
            query = Query(f"TABLE {quoted(ctx.chance.choice(ctx.model.tables).name)}", (), compound=True)
            ctx.tag("TABLE")
        else:
            query = select(ctx, None, (), depth, top=True)
        return wrapped(ctx, query)
