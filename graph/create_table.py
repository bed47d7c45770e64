"""What SHOW CREATE TABLE says, cut into its parts, and edited into the statement that goes out.

Only table options that are known to be harmless go out: others name servers with passwords, folders, tablespaces,
encryption keys, other tables. The same holds for attributes of columns and indexes, and for options of partitions. A
table of an engine that keeps its rows elsewhere becomes an InnoDB table. Everything else stays as the server writes it,
byte by byte: `restore.sh` looks for lines of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from graph.pieces import (
    Piece,
    UnknownFormError,
    after_spaces,
    closing,
    comment_end,
    find_sign,
    is_sign,
    operand_end,
    pieces_of,
    split,
    text_of,
    unquoted,
    value_end,
    words_of,
)
from graph.scan import TokenKind

#: Engines that keep a table's rows themselves, in upper case.
PLAIN_ENGINES: Final = frozenset({"INNODB", "MYISAM", "ARIA", "MEMORY", "ARCHIVE", "CSV"})
#: Other engines of which it is known that a table's comment is a text for people.
_COMMENTED: Final = frozenset({"FEDERATED", "CONNECT", "MRG_MYISAM", "MERGE", "S3", "BLACKHOLE", "ROCKSDB"})
_INSTEAD: Final = "InnoDB"

_TEXTS: Final = frozenset({"DEFAULT CHARSET", "CHARSET", "DEFAULT CHARACTER SET", "COLLATE", "COMMENT"})
#: What only tells an engine how to lay its rows out.
_LAYOUT: Final = frozenset(
    {
        *("ROW_FORMAT", "KEY_BLOCK_SIZE", "PACK_KEYS", "CHECKSUM", "PAGE_CHECKSUM", "TRANSACTIONAL", "DELAY_KEY_WRITE"),
        *("STATS_PERSISTENT", "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "MAX_ROWS", "MIN_ROWS", "AVG_ROW_LENGTH"),
    }
)
_VERSIONED: Final = "WITH SYSTEM VERSIONING"
#: Options that are written without a value.
_BARE: Final = (("WITH", "SYSTEM", "VERSIONING"), ("START", "TRANSACTION"))
#: How the names of options begin that are more than one word.
_SEVERAL_WORDS: Final = frozenset({"DEFAULT", "CHARACTER", "DATA", "INDEX"})
_COUNTER: Final = "AUTO_INCREMENT"

#: How the executable comments begin that stay in columns and indexes.
_ATTRIBUTES: Final = ("INVISIBLE", "SRID", "NOT ENFORCED", "WITH PARSER", "COMPRESSED")
#: Attributes of columns and indexes that are written without `=`.
_WITHOUT_SIGN: Final = frozenset({"STORAGE", "COLUMN_FORMAT", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"})
#: Functions of a sequence, as MariaDB shows them.
_SEQUENCES: Final = frozenset({"NEXTVAL", "LASTVAL", "SETVAL"})
_PARTITIONS: Final = frozenset({"PARTITION", "SUBPARTITION"})


@dataclass(frozen=True, slots=True)
class CreateTable:
    """A table as it goes out: the statement, without `;`.

    `columns` are names and types, in order. `engine` is the source's. `withheld` names what does not go out, except
    for the counter, and `elsewhere` says whether the engine keeps the rows elsewhere.
    """

    statement: str
    columns: tuple[tuple[str, str], ...]
    engine: str
    withheld: tuple[str, ...]
    elsewhere: bool


def create_table(shown: str) -> CreateTable:
    """Edits what SHOW CREATE TABLE says under an empty sql_mode. Raises UnknownFormError."""
    pieces = list(pieces_of(shown))
    start = find_sign(pieces, "(")
    if start is None or pieces[0].word != "CREATE" or "TABLE" not in {piece.word for piece in pieces[:start]}:
        raise UnknownFormError(shown)
    end = closing(pieces, start)
    elements = list(split(pieces[start + 1 : end]))
    tail = list(pieces[end + 1 :])
    engine = _engine(tail)
    elsewhere = bool(engine) and engine.upper() not in PLAIN_ENGINES
    editor = _Editor(elsewhere, commented=engine.upper() in _COMMENTED)
    body = ",".join(editor.element(element) for element in elements)
    options, partitions = editor.tail(tail)
    statement = f"{text_of(pieces[: start + 1])}{body}){''.join(f' {option}' for option in options)}{partitions}"
    return CreateTable(statement, tuple(_columns(elements)), engine, tuple(dict.fromkeys(editor.withheld)), elsewhere)


def _columns(elements: Sequence[Sequence[Piece]]) -> Iterator[tuple[str, str]]:
    for element in elements:
        seen = [piece for piece in element if piece.kind != "space"]
        if len(seen) > 1 and seen[0].kind == TokenKind.NAME:
            yield unquoted(seen[0].text), seen[1].text.lower()


@dataclass(frozen=True, slots=True)
class _Option:
    """A table option: its name in upper case, and where it ends."""

    name: str
    end: int


def _option(pieces: Sequence[Piece], start: int) -> _Option:
    """The option that begins at `start`, with a word or a name in backticks."""
    for bare in _BARE:
        found = [index for index in range(start, len(pieces)) if pieces[index].kind != "space"][: len(bare)]
        if tuple(pieces[index].word for index in found) == bare:
            return _Option(" ".join(bare), found[-1] + 1)
    index, names = start, list[str]()
    while index < len(pieces) and pieces[index].word:
        names.append(pieces[index].word)
        end = value_end(pieces, index + 1)
        if end is None and names[0] in ("TABLESPACE", "STORAGE"):
            end = operand_end(pieces, index + 1)
        if end is not None:
            return _Option(" ".join(names), end)
        if names[0] not in _SEVERAL_WORDS:
            break
        index = after_spaces(pieces, index + 1)
    return _Option(names[0], start + 1)


def _options(pieces: Sequence[Piece]) -> Iterator[tuple[_Option, Sequence[Piece]]]:
    """Table options and their pieces; whatever else stands there is left out."""
    index = 0
    while (index := after_spaces(pieces, index)) < len(pieces):
        if not pieces[index].word:
            index += 1
            continue
        option = _option(pieces, index)
        yield option, pieces[index : option.end]
        index = option.end


def _tail_items(tail: Sequence[Piece]) -> Iterator[tuple[str, Sequence[Piece]]]:
    """What follows the columns: `options` in a row, options in an executable `comment`, and `partitions`, the last."""
    index = begin = 0
    while index < len(tail):
        piece = tail[index]
        inside = after_spaces(tail, index + 1)
        partitioned = index if piece.word == "PARTITION" else inside if piece.kind == TokenKind.OPEN else None
        if partitioned is not None and words_of(tail[partitioned : partitioned + 3]) == "PARTITION BY":
            spaces = index - 1 if index > begin and tail[index - 1].kind == "space" else index
            yield "options", tail[begin:spaces]
            yield "partitions", tail[spaces:]
            return
        if piece.kind in (TokenKind.OPEN, TokenKind.COMMENT):
            end = comment_end(tail, index) if piece.kind == TokenKind.OPEN else index + 1
            yield "options", tail[begin:index]
            if piece.kind == TokenKind.OPEN:
                yield "comment", tail[index:end]
            index = begin = end
        else:
            index += 1
    yield "options", tail[begin:]


def _engine(tail: Sequence[Piece]) -> str:
    """The engine that the table, or one of its partitions, has; one that is not plain goes before others."""
    found = [""]
    for index, piece in enumerate(tail):
        if piece.kind == "word" and piece.word == "ENGINE" and (end := value_end(tail, index + 1)) is not None:
            found.append(unquoted(tail[end - 1].text) if tail[end - 1].kind == TokenKind.NAME else tail[end - 1].text)
    return next((name for name in found if name and name.upper() not in PLAIN_ENGINES), found[-1])


def _sequence_end(pieces: Sequence[Piece], index: int) -> int | None:
    """Where a default ends that begins at or after `index` and asks a sequence, which is not part of a slice; None for
    any other default."""
    start = after_spaces(pieces, index)
    if start == len(pieces):
        return None
    opening = start if is_sign(pieces[start], "(") else after_spaces(pieces, start + 1)
    if opening == len(pieces) or not is_sign(pieces[opening], "("):
        return None
    end = closing(pieces, opening) + 1
    return end if _SEQUENCES.intersection(piece.word for piece in pieces[start:end]) else None


@dataclass(slots=True)
class _Editor:
    """Leaves out what does not go out, and notes it. `commented`: a table elsewhere has a comment for people."""

    elsewhere: bool
    commented: bool
    withheld: list[str] = field(default_factory=list)

    def element(self, pieces: Sequence[Piece]) -> str:
        """A column, index or constraint."""
        kept: list[Piece] = []
        index = after_spaces(pieces, 0)
        # The name of a column is no attribute.
        index += 1
        kept += pieces[:index]
        while index < len(pieces):
            if (dropped := self._dropped(pieces, index)) is not None:
                if kept and kept[-1].kind == "space":
                    kept.pop()
                index = dropped
                continue
            end = closing(pieces, index) + 1 if is_sign(pieces[index], "(") else index + 1
            if pieces[index].kind == TokenKind.OPEN:
                end = comment_end(pieces, index)
            kept += pieces[index:end]
            index = end
        return text_of(kept)

    def tail(self, pieces: Sequence[Piece]) -> tuple[list[str], str]:
        """The table options that go out, and what says how the table is partitioned."""
        kept: list[str] = []
        for kind, part in _tail_items(pieces):
            if kind == "partitions":
                return kept, self._partitions(part)
            found = [(self._table_option(option, text), option) for option, text in _options(part)]
            if kind == "options":
                kept += [text for text, _ in found if text is not None]
            elif found and all(text is not None for text, _ in found):
                kept.append(text_of(part))
        return kept, ""

    def _table_option(self, option: _Option, pieces: Sequence[Piece]) -> str | None:
        if option.name == "ENGINE":
            if not self.elsewhere:
                return text_of(pieces)
            self.withheld.append(text_of(pieces))
            return f"ENGINE={_INSTEAD}"
        if option.name in _TEXTS or option.name == _VERSIONED:
            keeps = option.name != "COMMENT" or not self.elsewhere or self.commented
        else:
            keeps = option.name in _LAYOUT and not self.elsewhere
        if keeps:
            return text_of(pieces)
        if option.name != _COUNTER:
            self.withheld.append(option.name.strip("`"))
        return None

    def _dropped(self, pieces: Sequence[Piece], index: int) -> int | None:
        """Where what begins there ends, if it is left out of a column or an index."""
        piece = pieces[index]
        if piece.kind == TokenKind.COMMENT:
            self.withheld.append("a comment of the server")
            return index + 1
        if piece.kind == TokenKind.OPEN:
            end = comment_end(pieces, index)
            words = words_of(pieces[index:end])
            if words.startswith(_ATTRIBUTES):
                return None
            self.withheld.append(words.split(" ")[0] if words else "a comment of the server")
            return end
        if piece.word == "DEFAULT" and (default_end := _sequence_end(pieces, index + 1)) is not None:
            self.withheld.append("a default from a sequence")
            return default_end
        end_of_value = value_end(pieces, index + 1) if piece.word else None
        if end_of_value is None and piece.word in _WITHOUT_SIGN:
            end_of_value = operand_end(pieces, index + 1)
        if end_of_value is None or piece.word == "KEY_BLOCK_SIZE":
            return None
        self.withheld.append(piece.word.strip("`"))
        return end_of_value

    def _partitions(self, pieces: Sequence[Piece]) -> str:
        """`PARTITION BY …`, with what goes out of each definition in the lists of these."""
        kept: list[str] = []
        index = 0
        while index < len(pieces):
            if is_sign(pieces[index], "("):
                end = closing(pieces, index)
                inside = pieces[index + 1 : end]
                first = after_spaces(inside, 0)
                if first < len(inside) and inside[first].kind == "word" and inside[first].word in _PARTITIONS:
                    definitions = ",".join(self._partition(each) for each in split(inside))
                    kept.append(f"({definitions})")
                else:
                    kept.append(text_of(pieces[index : end + 1]))
                index = end + 1
            elif pieces[index].kind == TokenKind.COMMENT:
                index += 1
            else:
                kept.append(pieces[index].text)
                index += 1
        return "".join(kept)

    def _partition(self, pieces: Sequence[Piece]) -> str:
        kept: list[Piece] = []
        index = 0
        while index < len(pieces):
            piece = pieces[index]
            end = value_end(pieces, index + 1) if piece.word else None
            if end is None:
                end = closing(pieces, index) + 1 if is_sign(piece, "(") else index + 1
                kept += [Piece("sign", self._partitions(pieces[index:end]))]
            elif piece.word == "ENGINE":
                kept += [Piece("sign", f"ENGINE = {_INSTEAD}" if self.elsewhere else text_of(pieces[index:end]))]
            elif piece.word in ("MAX_ROWS", "MIN_ROWS") or (piece.word == "COMMENT" and not self.elsewhere):
                kept += pieces[index:end]
            else:
                self._drop_partition_option(piece.word, kept)
            index = end
        return text_of(kept)

    def _drop_partition_option(self, name: str, kept: list[Piece]) -> None:
        """Takes off what was kept of an option's name and the space before it."""
        if name == "DIRECTORY":
            while kept and kept[-1].text.isspace():
                kept.pop()
            if kept and kept[-1].text.upper() in ("DATA", "INDEX"):
                name = f"{kept.pop().text.upper()} {name}"
        if kept and kept[-1].text.isspace():
            kept.pop()
        self.withheld.append(f"{name} of a partition")
