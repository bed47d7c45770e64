"""Tables as a lab's pipeline declares them, their foreign keys, and the SQL that makes and fills them.

Almost every table is a grid over the recording sessions: its key is the session's file name and a few numbered columns,
each with all its values for each session. So any row can refer to any other table of the same session, and everything
can be made by INSERT … SELECT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

#: The numbers 0 to 9999, in a schema of their own that is dropped in the end.
NUMBERS = "biglab_numbers"
SESSION = "nwb_file_name"
PEOPLE = ("alice", "bjorn", "carmen", "dagny", "emeka", "farida", "goran", "hanako", "ilmari", "jolanta")


@dataclass(frozen=True, slots=True)
class Column:
    """`value` is SQL over the row `b` that a row is made from and a number `n.n`."""

    name: str
    type: str
    value: str
    nullable: bool = False
    comment: str = ""

    @property
    def declaration(self) -> str:
        """As CREATE TABLE has it."""
        null = "" if self.nullable else " NOT NULL"
        # A TIMESTAMP without a default gets one that is no date.
        default = " DEFAULT CURRENT_TIMESTAMP" if self.type == "timestamp" else ""
        return f"`{self.name}` {self.type}{null}{default} COMMENT '{self.comment}'"


@dataclass(frozen=True, slots=True)
class Dimension:
    """A numbered key column: `text` is SQL that makes a value of the number `{i}`, and of the row `b`."""

    name: str
    type: str
    width: int
    text: str = "{i}"


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One constraint."""

    columns: tuple[str, ...]
    parent: Table
    parent_columns: tuple[str, ...]

    @property
    def composite(self) -> bool:
        """Of several columns."""
        return len(self.columns) > 1

    @property
    def renamed(self) -> bool:
        """Whether a column has another name than in the parent."""
        return self.columns != self.parent_columns


@dataclass(eq=False, slots=True)
class Table:
    """A table; `rows` is the FROM clause that its rows are made from, `{n}` in it the table of numbers.

    `dimensions` are the key's numbered columns; a grid has them beside the session, a lookup alone. `owner` is the
    column that says whose row it is.
    """

    schema: str
    name: str
    key: list[Column] = field(default_factory=list)
    rest: list[Column] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    dimensions: tuple[Dimension, ...] = ()
    grid: bool = False
    lookup: bool = False
    rows: tuple[str, ...] = ()
    #: For tables made from this one: its rows with the session and the owner, where it does not have these itself.
    source: str = ""
    owner: str = ""
    #: About how many rows for each session.
    weight: float = 0

    @property
    def quoted(self) -> str:
        """Its name in SQL."""
        return f"`{self.schema}`.`{self.name}`"

    @property
    def stem(self) -> str:
        """Its name without the tier."""
        return self.name.lstrip("#_").replace("__", "_")

    @property
    def columns(self) -> list[Column]:
        """All of them."""
        return [*self.key, *self.rest]

    @property
    def key_names(self) -> tuple[str, ...]:
        """The primary key."""
        return tuple(column.name for column in self.key)

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return any(column.name == name for column in self.columns)

    def create(self) -> str:
        """The statement that makes it."""
        lines = [column.declaration for column in self.columns]
        lines.append(f"PRIMARY KEY ({listed(self.key_names)})")
        lines += [
            f"FOREIGN KEY ({listed(key.columns)}) REFERENCES {key.parent.quoted} ({listed(key.parent_columns)})"
            " ON UPDATE CASCADE ON DELETE RESTRICT"
            for key in self.foreign_keys
        ]
        return f"CREATE TABLE {self.quoted} ({', '.join(lines)}) ENGINE=InnoDB, COMMENT 'what {self.stem} is about'"

    def fill(self) -> Iterator[str]:
        """The statements that give it its rows."""
        names = listed([column.name for column in self.columns])
        values = ", ".join(column.value for column in self.columns)
        for rows in self.rows:
            yield f"INSERT INTO {self.quoted} ({names}) SELECT {values} FROM {rows}"


@dataclass(frozen=True, slots=True)
class Ref:
    """A foreign key beside the one to the table that rows are made from.

    `role` goes before the names of its columns. `key`: its columns are part of the key. `nullable`: a third of the rows
    refer to nothing. `value`: SQL instead of a number that is drawn. `loud`: the text is written in capitals, which is
    the same to its collation.
    """

    to: Table
    role: str = ""
    key: bool = False
    nullable: bool = False
    value: str = ""
    loud: bool = False


class Builder:
    """Makes tables; equal seeds make equal ones."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.tables: list[Table] = []

    def lookup(self, schema: str, name: str, key: Sequence[Dimension], *refs: Ref) -> Table:
        """A table that all share: rows by number, as many as the first column is wide."""
        table = Table(schema, f"#{name}", lookup=True, dimensions=tuple(key))
        table.rows = (f"{NUMBERS}.n WHERE n < {key[0].width}",)
        table.key = [Column(each.name, each.type, each.text.format(i="n.n")) for each in key]
        for ref in refs:
            self._refer(table, ref, "n.n")
        return self._add(table, "n.n")

    def made_from(
        self,
        base: Table,
        schema: str,
        name: str,
        *refs: Ref,
        own: Dimension | None = None,
        uuid: str = "",
        of: str = "",
    ) -> Table:
        """A table with a row, or as many as `own` is wide, for each of the base's, to which it refers by its key.

        With `uuid` its key is a column of that name, and the base's key is an attribute. `of`: only that person's.
        """
        table = Table(schema, name, grid=base.grid and not uuid, dimensions=base.dimensions)
        salt = f"'{schema}.{name}', {', '.join(f'b.`{each}`' for each in base.key_names)}, n.n"
        inherited = [Column(each.name, each.type, f"b.`{each.name}`", comment=each.comment) for each in base.key]
        if uuid:
            value = hashed(f"CONCAT_WS('-', {salt})")
            table.key = [Column(uuid, "binary(16)", value, comment=":uuid:")]
            table.rest = inherited
            table.dimensions = ()
        else:
            table.key = inherited
        table.foreign_keys = [ForeignKey(base.key_names, base, base.key_names)]
        if own is not None:
            table.key.append(Column(own.name, own.type, own.text.format(i="n.n")))
            table.dimensions = (*table.dimensions, own)
        for ref in refs:
            self._refer(table, ref, f"CRC32(CONCAT_WS('-', {salt}))")
        table.grid = table.grid and not any(ref.key for ref in refs)
        chosen = f" WHERE {_owner_of(base)} = '{of}'" if of else ""
        table.rows = (f"{rows_of(base)} b JOIN {NUMBERS}.n n ON n.n < {own.width if own else 1}{chosen}",)
        table.grid = table.grid and not of
        table.weight = base.weight * (own.width if own else 1) / (len(PEOPLE) if of else 1)
        if not table.has(SESSION):
            keys = listed(base.key_names)
            table.source = f"(SELECT t.*, s.`{SESSION}` FROM {table.quoted} t JOIN {rows_of(base)} s USING ({keys}))"
        table.owner = f"{table.stem}_by"
        table.rest.append(Column(table.owner, "varchar(32)", _owner_of(base)))
        return self._add(table, f"CRC32(CONCAT_WS('+', {salt}))")

    def merge(self, schema: str, name: str, sources: Sequence[Table]) -> Table:
        """A merge table: a master without a foreign key of its own, and a part for each source, which has it."""
        master = Table(schema, name)
        column = Column("merge_id", "binary(16)", "b.merge_id", comment=":uuid:")
        master.key = [column]
        master.rest = [Column("source", "varchar(32)", "b.source")]
        parts, made = [], []
        for source in sources:
            part = Table(schema, f"{name}__{source.stem}")
            keys = ", ".join(f"b.`{each}`" for each in source.key_names)
            value = hashed(f"CONCAT_WS('-', '{part.name}', {keys})")
            part.key = [Column("merge_id", "binary(16)", value, comment=":uuid:")]
            part.rest = [Column(each.name, each.type, f"b.`{each.name}`") for each in source.key]
            part.owner = f"{part.stem}_by"
            part.rest.append(Column(part.owner, "varchar(32)", _owner_of(source)))
            part.foreign_keys = [
                ForeignKey(("merge_id",), master, ("merge_id",)),
                ForeignKey(source.key_names, source, source.key_names),
            ]
            part.rows, part.weight = (f"{rows_of(source)} b",), source.weight
            made.append(f"(SELECT {value} AS merge_id, '{source.stem}' AS source FROM {rows_of(source)} b) b")
            parts.append(
                f"SELECT p.merge_id, s.`{SESSION}`, p.`{part.owner}` AS merge_by FROM {part.quoted} p"
                f" JOIN {rows_of(source)} s USING ({listed(source.key_names)})"
            )
            self.tables.append(part)
        master.rows = tuple(made)
        master.source = f"({' UNION ALL '.join(parts)})"
        master.weight = sum(source.weight for source in sources)
        self.tables.append(master)
        return master

    def _refer(self, table: Table, ref: Ref, drawn: str) -> None:
        """Adds the columns that the table does not have, and the constraint."""
        parent = ref.to
        assert parent.grid or parent.lookup or ref.value, f"{parent.name} cannot be referred to by drawn values"
        number = f"({drawn} + {len(table.foreign_keys)})"
        names = []
        for column in parent.key:
            name = f"{ref.role}_{column.name}" if ref.role and column.name != SESSION else column.name
            names.append(name)
            if table.has(name):
                continue
            if column.name == SESSION:
                value = f"b.`{SESSION}`"
            elif ref.value:
                value = ref.value
            else:
                dimension = next(each for each in parent.dimensions if each.name == column.name)
                width = parent.dimensions[0].width if parent.lookup else dimension.width
                value = dimension.text.format(i=f"({number} MOD {width})")
            if ref.loud:
                value = f"UPPER({value})"
            if ref.nullable and column.name != SESSION:
                value = f"IF({number} MOD 3, {value}, NULL)"
            (table.key if ref.key else table.rest).append(Column(name, column.type, value, ref.nullable))
        table.foreign_keys.append(ForeignKey(tuple(names), parent, parent.key_names))

    def _add(self, table: Table, number: str) -> Table:
        """With a few columns of data, as many kinds as DataJoint's tables have."""
        stem = table.stem
        kinds = {
            "float": f"{number} / 7e3",
            "double": f"{number} / 7e3",
            "int": f"{number} MOD 1000",
            "varchar(255)": f"CONCAT('note {stem} ', {number})",
            "longblob": f"UNHEX(REPEAT(SHA2({number}, 256), {self.chance.choice([1, 4, 15])}))",
            "timestamp": f"FROM_UNIXTIME(1700000000 + {number} MOD 9000000)",
            "date": f"DATE('2024-01-01') + INTERVAL ({number} MOD 300) DAY",
            "enum('good','bad')": f"IF({number} MOD 2, 'good', 'bad')",
        }
        for kind in self.chance.sample(sorted(kinds), self.chance.randint(1, 3)):
            word = kind.partition("(")[0]
            table.rest.append(
                Column(f"{stem}_{word}", kind, kinds[kind], comment=":blob:" if word == "longblob" else "")
            )
        self.tables.append(table)
        return table


def rows_of(table: Table) -> str:
    """What tables made from this one take their rows from."""
    return table.source or table.quoted


def hashed(text: str) -> str:
    """SQL that makes a UUID of a text; MySQL 9 has no MD5."""
    return f"UNHEX(LEFT(SHA2({text}, 256), 32))"


def _owner_of(base: Table) -> str:
    return f"b.`{base.owner or 'merge_by'}`"


def listed(names: Sequence[str]) -> str:
    """Names in SQL."""
    return ", ".join(f"`{name}`" for name in names)
