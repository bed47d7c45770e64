"""What a session had set when it sent a statement: one `Context` per connection, fed with what the connection did.

Sans-IO: events and statements in, `Resolved` statements out. Only statements that succeeded come here, so that a SET
seen is a SET done. Whatever cannot be followed (a variable set to a query's result, a sql_mode computed from the
server's own) becomes *unknown* and, where a statement depends on it, is said in its notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from graph.errors import InputError
from graph.quoting import string_literal
from graph.scan import TokenKind, bind, hex_undecodable, plain, scan, split, verb
from graph.statement import Session
from proxy import assignments
from proxy.assignments import Unknown, Value
from proxy.charsets import charset_of, charset_of_name, codec, decode

#: `@name`, `@'name'`, `@"name"`, @`name`, but not `@@system`.
_VARIABLE = re.compile(r"(?<![@\w])@(?!@)([\w.$]+|'[^']*'|\"[^\"]*\"|`[^`]*`)")
_ASSIGNED = re.compile(_VARIABLE.pattern + r"\s*:=")
_INTO = re.compile(r"\bINTO\s+((?:@[\w.$`'\"]+\s*,\s*)*@[\w.$`'\"]+)", re.IGNORECASE)
_USE = re.compile(r"USE\s+(?:`((?:[^`]|``)+)`|\"((?:[^\"]|\"\")+)\"|(\S+?))\s*;?\s*\Z", re.IGNORECASE)
_PREPARE = re.compile(r"PREPARE\s+(`[^`]+`|\S+)\s+FROM\s+(.+)\Z", re.IGNORECASE | re.DOTALL)
_EXECUTE = re.compile(r"EXECUTE\s+(`[^`]+`|[^\s;]+)(?:\s+USING\s+(.+))?\Z", re.IGNORECASE | re.DOTALL)
_EXECUTE_IMMEDIATE = re.compile(r"EXECUTE\s+IMMEDIATE\s+(.+?)(?:\s+USING\s+(.+))?\Z", re.IGNORECASE | re.DOTALL)
_DEALLOCATE = re.compile(r"(?:DEALLOCATE|DROP)\s+PREPARE\s+(`[^`]+`|[^\s;]+)", re.IGNORECASE)

#: What in a text changes its meaning with sql_mode: double quotes, `||`, backslashes.
_MODE_MATTERS = re.compile(r"[\"\\]|\|\|")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A statement with the context that it was executed under.

    `notes`: what about the context is not known, for people. `problem`: why the text itself is not known ("" when
    it is); then `sql` is the text as sent.
    """

    sql: str
    session: Session
    notes: tuple[str, ...] = ()
    problem: str = ""


def variable_name(written: str) -> str:
    """A user variable's name as `Session.variables` spells it: lower case, without `@` and quotes."""
    return written.lstrip("@").strip("'\"`").lower()


@dataclass(slots=True)
class Context:
    """The state of one connection. `schema`, `sql_mode` … are as in `graph.statement.Session`."""

    schema: str | None = None
    sql_mode: str | None = None
    time_zone: str | None = None
    client_charset: str | None = None
    charset: str | None = None
    collation: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    prepared: dict[str, str | Unknown] = field(default_factory=dict)
    #: Setting → why it is not known.
    unknown: dict[str, str] = field(default_factory=dict)
    _login: tuple[str | None, str | None] = (None, None)

    def connected(self, schema: str | None, collation: int) -> None:
        """A login, the first or a COM_CHANGE_USER: everything as new."""
        self._login = charset_of(collation)
        self.reset()
        self.schema = schema

    def reset(self) -> None:
        """COM_RESET_CONNECTION: settings, variables and prepared statements go, the default schema stays."""
        self.sql_mode = self.time_zone = None
        self.charset, self.collation = self._login
        self.client_charset = self.charset
        self.variables.clear()
        self.prepared.clear()
        self.unknown.clear()

    def executed(self, data: bytes, parameters: tuple[str, ...] | None) -> Iterator[Resolved]:
        """The statements of one command in order, each with its context; the context follows them."""
        note: tuple[str, ...] = ()
        if codec(self.client_charset) is None and not data.isascii():
            note = (f"charset is not known here: the text was sent in {self.client_charset}",)
        text, encoding = decode(data, self.client_charset)
        text = hex_undecodable(text, self.sql_mode, encoding)
        if parameters is not None:
            resolved = self._bound(text, parameters)
            yield replace(resolved, notes=resolved.notes + note)
            return
        for sql in split(text, self.sql_mode) or [text.strip()]:
            resolved = self._one(sql)
            yield replace(resolved, notes=resolved.notes + note)

    def _bound(self, sql: str, parameters: tuple[str, ...]) -> Resolved:
        try:
            return self._one(bind(sql, parameters, self.sql_mode))
        except InputError as error:
            return self._resolved(sql, problem=str(error))

    def _one(self, sql: str) -> Resolved:
        """The statement under the context from before it; then what it changes."""
        word = verb(sql, self.sql_mode)
        if word == "EXECUTE":
            return self._execute(sql)
        resolved = self._resolved(sql)
        if word == "SET":
            self._set(sql)
        elif word == "USE":
            self._use(sql)
        elif word == "PREPARE":
            self._prepare(sql)
        elif word in ("DEALLOCATE", "DROP"):
            if match := _DEALLOCATE.match(plain(sql, self.sql_mode)):
                self.prepared.pop(match.group(1).strip("`").lower(), None)
        else:
            self._forget_assigned(sql, word)
        return resolved

    def _resolved(self, sql: str, problem: str = "") -> Resolved:
        named = {variable_name(name) for name in _VARIABLE.findall(sql)} if "@" in sql else set()
        session = Session(
            schema=self.schema,
            sql_mode=self.sql_mode,
            time_zone=self.time_zone,
            charset=self.charset,
            collation=self.collation,
            variables={name: value for name, value in sorted(self.variables.items()) if name in named},
        )
        notes = tuple(
            f"{setting} is not known: {why}"
            for setting, why in sorted(self.unknown.items())
            if setting != "sql_mode" or _MODE_MATTERS.search(sql)
        )
        return Resolved(sql, session, notes, problem)

    # -- what statements change

    def _use(self, sql: str) -> None:
        if match := _USE.match(plain(sql, self.sql_mode)):
            quoted, ansi, bare = match.groups()
            self.schema = quoted.replace("``", "`") if quoted else ansi.replace('""', '"') if ansi else bare

    def _set(self, sql: str) -> None:
        for change in assignments.parse(sql, self.sql_mode):
            match change:
                case assignments.Names(charset, collation):
                    self._names(charset, collation)
                case assignments.Variable(name, expression):
                    self._assign(name, expression)
                case assignments.Setting(name, expression):
                    self._setting(name, expression)

    def _names(self, charset: str | None, collation: str | None) -> None:
        self.client_charset, self.charset, self.collation = charset, charset, collation
        self._known("charset", "collation")

    def _known(self, *settings: str) -> None:
        for setting in settings:
            self.unknown.pop(setting, None)

    def _evaluate(self, expression: str, *, bare: bool = False) -> Value:
        return assignments.evaluate(expression, self.sql_mode, self._lookup, bare=bare)

    def _lookup(self, name: str) -> Value:
        """The value of `@name` (by its literal) or of `@@name`."""
        if not name.startswith("@@"):
            literal = self.variables.get(variable_name(name))
            return Unknown(f"{name} is not known") if literal is None else assignments.evaluate(literal, None)
        values = {"sql_mode": self.sql_mode, "time_zone": self.time_zone, "character_set_client": self.client_charset}
        setting = name[2:].removeprefix("session.").removeprefix("local.")
        value = values.get(setting)
        if setting == "sql_mode" and value is None and "sql_mode" not in self.unknown:
            # The modes that come with the server change nothing in what a text means, unless it was set up so:
            # with one added or taken, what is known of the mode is what was added.
            return ""
        return Unknown(f"{name} is the server's own") if value is None else value

    def _assign(self, name: str, expression: str) -> None:
        value = self._evaluate(expression)
        if isinstance(value, Unknown):
            self.variables.pop(variable_name(name), None)
        else:
            self.variables[variable_name(name)] = literal(value)

    def _setting(self, name: str, expression: str) -> None:
        if name not in _SETTINGS:
            return
        setting = _SETTINGS[name]
        own = expression.upper() == "DEFAULT" or expression.lower() == f"@@global.{name}"
        value = None if own else self._evaluate(expression, bare=True)
        if isinstance(value, Unknown):
            self.unknown[setting] = f"SET {name} = {expression[:80]} ({value.why})"
            value = None
        else:
            self._known(setting)
        text = value if value is None else str(value)
        if name == "sql_mode" and text is not None:
            text = ",".join(filter(None, text.split(",")))
        if name == "collation_connection":
            self.collation = text
            self.charset = charset_of_name(text) if text else None
        elif name == "character_set_connection":
            self.charset, self.collation = text, None
        else:
            setattr(self, setting, text)

    def noted(self, verb: str, names: str) -> None:
        """A statement whose text was not kept: what it set (variables, a prepared statement) is no longer known."""
        for name in filter(None, (part.strip() for part in names.split(","))):
            if verb == "SET":
                self.variables.pop(variable_name(name), None)
            elif verb == "PREPARE":
                self.prepared.pop(name.strip("`").lower(), None)

    def _forget_assigned(self, sql: str, word: str) -> None:
        """User variables that a statement other than SET gives a value that nobody here can know."""
        if "@" not in sql:
            return
        text = "".join(
            piece if kind not in (TokenKind.STRING, TokenKind.COMMENT) else " "
            for kind, piece in scan(sql, self.sql_mode)
        )
        names = _VARIABLE.findall(text) if word == "CALL" else _ASSIGNED.findall(text)
        for group in _INTO.findall(text):
            names += group.split(",")
        for name in names:
            self.variables.pop(variable_name(name.strip()), None)

    # -- prepared statements of the text protocol

    def _prepare(self, sql: str) -> None:
        match = _PREPARE.match(plain(sql, self.sql_mode).rstrip("; \n\t"))
        if match is None:
            return
        value = self._evaluate(match.group(2))
        name = match.group(1).strip("`").lower()
        self.prepared[name] = value if isinstance(value, Unknown) else str(value)

    def _execute(self, sql: str) -> Resolved:
        text = plain(sql, self.sql_mode).rstrip("; \n\t")
        prepared: Value
        if immediate := _EXECUTE_IMMEDIATE.match(text):
            prepared, using = self._evaluate(immediate.group(1)), immediate.group(2)
        elif match := _EXECUTE.match(text):
            name, using = match.group(1).strip("`").lower(), match.group(2)
            prepared = self.prepared.get(name, Unknown(f"the prepared statement {name} was not seen"))
        else:
            prepared, using = Unknown("the statement cannot be read"), None
        if isinstance(prepared, Unknown):
            return self._resolved(sql, problem=f"the text of the prepared statement is not known: {prepared.why}")
        arguments = tuple(self._argument(part) for part in assignments.comma_list(using or "", self.sql_mode))
        return self._bound(str(prepared), arguments)

    def _argument(self, written: str) -> str:
        """An argument as a literal; as written where its value is not known."""
        value = self._evaluate(written)
        return written if isinstance(value, Unknown) else literal(value)


def literal(value: str | assignments.Verbatim | None) -> str:
    """The SQL literal of a value, the same under any sql_mode."""
    if value is None:
        return "NULL"
    if isinstance(value, assignments.Verbatim):
        return value.text
    return string_literal(value)


#: System variable → attribute of `Context`.
_SETTINGS = {
    "sql_mode": "sql_mode",
    "time_zone": "time_zone",
    "character_set_client": "client_charset",
    "character_set_connection": "charset",
    "collation_connection": "collation",
}
