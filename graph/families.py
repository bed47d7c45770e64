"""Column types by what their values are, as information_schema names them."""

from __future__ import annotations

from typing import Final

INTEGERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
APPROXIMATE: Final = frozenset({"float", "double"})
NUMBERS: Final = INTEGERS | APPROXIMATE | {"decimal", "bit", "year"}
#: Of no declared length: an index over them wants one.
LONG_TEXTS: Final = frozenset({"tinytext", "text", "mediumtext", "longtext"})
TEXTS: Final = LONG_TEXTS | {"char", "varchar"}
CHOICES: Final = frozenset({"enum", "set"})
LONG_BYTES: Final = frozenset({"tinyblob", "blob", "mediumblob", "longblob"})
BYTES: Final = LONG_BYTES | {"binary", "varbinary"}
DATES: Final = frozenset({"date", "datetime", "timestamp"})
#: What is shown in a form of its own, and kept in another.
ADDRESSES: Final = frozenset({"uuid", "inet4", "inet6"})
SPATIAL: Final = frozenset(
    {
        *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
        *("geometrycollection", "geomcollection"),
    }
)
