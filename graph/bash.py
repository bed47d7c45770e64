"""What both scripts are made of: their heads, and texts that stand in bash as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from graph.children import GUARD
from graph.quoting import identifier, shell_word
from graph.slice import Slice
from graph.visible import byte_patterns, flat, hides

#: Names that every client reads rightly in its own command `USE`.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_$-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Origin:
    """What the head of a script says: the paper's name, the source server in words, djproxy's version."""

    paper: str
    source: str
    version: str


@dataclass(frozen=True, slots=True)
class Heredoc:
    """Text on the standard input of a command: between two lines of bash, as it stands.

    `redirection` belongs to the command, and `body` ends the line. A text with hidden characters is a word instead, in
    which they are written out.
    """

    text: str

    @property
    def redirection(self) -> str:
        """What tells the command where its input is."""
        return f"<<<{shell_word(self.text)}" if hides(self.text) else f"<<'{self.delimiter}'"

    @property
    def body(self) -> str:
        """The lines after the command's."""
        return "" if hides(self.text) else f"\n{self.text}\n{self.delimiter}"

    @property
    def delimiter(self) -> str:
        """A word that is no line of the text."""
        lines = set(self.text.split("\n"))
        name = "SQL"
        while name in lines:
            name += "_"
        return name


def render(template: str, slice_: Slice, origin: Origin, **values: object) -> str:
    """The text of a script."""
    mariadb = is_mariadb(slice_)
    dump_tools = ("mariadb-dump", "mysqldump") if mariadb else ("mysqldump", "mariadb-dump")
    client_tools = ("mariadb", "mysql") if mariadb else ("mysql", "mariadb")
    environment = Environment(
        loader=PackageLoader("graph", "templates"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["comment"] = flat
    return environment.get_template(template).render(
        paper=origin.paper,
        source=origin.source,
        version=origin.version,
        rows=slice_.rows,
        hidden_bytes=byte_patterns(),
        guard=GUARD,
        mariadb=mariadb,
        dump_tool=dump_tools[0],
        dump_tools=" ".join(dump_tools),
        client_tool=client_tools[0],
        client_tools=" ".join(client_tools),
        **values,
    )


def is_mariadb(slice_: Slice) -> bool:
    """Whether the slice's source is a MariaDB server."""
    return "mariadb" in slice_.schema.server_version.lower()


def words(*names: str) -> str:
    """Names as arguments of a command; after `--` only where one would be an option, as wrappers add some behind."""
    text = " ".join(shell_word(name) for name in names)
    return f"-- {text}" if any(name.startswith("-") for name in names) else text


def use(schema: str) -> str:
    """The statement that makes a schema the default one.

    Clients take `USE` for a command of their own and read odd names wrongly; a comment of the kind that the
    server executes they leave alone.
    """
    statement = f"USE {identifier(schema)}"
    return f"{statement};" if _PLAIN_NAME.fullmatch(schema) else f"/*!40000 {statement} */;"
