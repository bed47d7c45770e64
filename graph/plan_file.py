"""The plan as a YAML file that people edit and give back: decisions on top, below them what was found.

Scalars are taken as they are written, so that a table may be called `no` or `2024`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from graph.decisions import Decisions, ExtraKey, Named, written
from graph.errors import InputError
from graph.exclusion import ALL, pattern
from graph.files import FileRule, parse_rule
from graph.hints import Hint
from graph.limits import Within, parse_within
from graph.masks import Masked, MaskKind
from graph.names import TableName
from graph.other_parts import OtherPart
from graph.paths import written as written_path
from graph.plan import Plan
from graph.structure import Structure
from graph.visible import hides, visible, written_in_yaml
from graph.words import counted

VERSION: Final = 1

_HEAD: Final = """\
# A plan of djproxy. Change the decisions and give the file back:
#   djproxy export … --use-plan FILE (with --plan: to see what they change)
"""
#: What stands above each decision.
_COMMENTS: Final = {
    "foreign_keys": "Foreign keys that the database does not declare; they are followed like declared ones.",
    "whole": "Tables to take whole, whatever the recorded statements read of them.",
    "leave_out": "Tables to leave out: the structure stays, no row does, and what refers to their rows dangles.",
    "with_parts": "Part tables whose rows come with their masters' rows, beside those of merge tables.",
    "within": "Only rows that descend from these rows, or are these rows: SCHEMA.TABLE: WHERE.",
    "exclude": "Leave out the statements that read these tables: SCHEMA.TABLE, or SCHEMA.* for a whole schema.",
    "blank": "Columns whose values do not go out: SCHEMA.TABLE: [COLUMN, …]. NULL, or what says nothing, stands there.",
    "hash": "Columns of which a hash goes out, so that equal values stay equal: SCHEMA.TABLE: [COLUMN, …].",
    "structure": "Tables without rows: needed, or schemas for all tables of the schemas that the slice touches.",
    "files": "Columns that hold paths of files: SCHEMA.TABLE.COLUMN: NAME=FOLDER.",
}
_FOUND: Final = "What was found. Nothing below is read again."


def plan_text(plan: Plan, paper: str, decisions: Decisions) -> str:
    """The file for a plan that was made with these decisions."""
    parts = [_HEAD, _dump({"version": VERSION, "paper": paper}, flow=False)]
    for key, value in decisions.document().items():
        parts += ["\n# ", _COMMENTS[key], "\n"]
        if key == "foreign_keys" and plan.hints:
            # An empty value, so that a suggestion need but lose its comment signs.
            parts += ["foreign_keys:\n", _dump(value) if value else "", *_suggested(plan.hints)]
        elif key == "with_parts" and plan.other_parts:
            parts += ["with_parts:\n", _dump(value, flow=False) if value else "", *_suggested_parts(plan.other_parts)]
        else:
            parts.append(_dump({key: value}, flow=False if isinstance(value, str) else None))
    parts += ["\n# ", _FOUND, "\n", _dump({"found": _found(plan)})]
    return "".join(parts)


def require_new(path: Path) -> None:
    """Raises InputError when there is a file: it may hold decisions."""
    if path.exists():
        raise InputError(f"{path} exists and may hold decisions; move it away, or choose another name")


def write_plan(path: Path, text: str) -> None:
    """Writes a new file, readable by us alone. Raises InputError when there is one, or none can be written."""
    require_new(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            path.chmod(0o600)
            file.write(text)
    except OSError as error:
        raise InputError(f"cannot write the plan to {path}: {error.strerror or error}") from error


def read_plan(path: Path, paper: str) -> Decisions:
    """The decisions of a plan. Raises InputError, with the line, for anything that it does not understand."""
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise InputError(f"cannot read the plan {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise InputError(f"{path} is no plan: it is not UTF-8") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {_one_line(error)}") from None
    reader = _Reader(path.name)
    parts = reader.mapping(node, {"version", "paper", "found", *_COMMENTS}, needed={"version", "paper"})
    version = reader.text(parts["version"])
    if version != str(VERSION):
        newer = version.isdigit() and int(version) > VERSION
        why = "it was written by a newer djproxy" if newer else f"this djproxy knows version {VERSION}"
        raise InputError(f"{reader.at(parts['version'])}: the plan has version {version}; {why}")
    if (planned := reader.text(parts["paper"])) != paper:
        raise InputError(f"{reader.at(parts['paper'])}: this is the plan of paper {planned!r}, not of {paper!r}")
    return Decisions(
        tuple(reader.foreign_key(each) for each in reader.list(parts.get("foreign_keys"))),
        tuple(Named(reader.table(each), reader.at(each)) for each in reader.list(parts.get("whole"))),
        tuple(Named(reader.table(each), reader.at(each)) for each in reader.list(parts.get("leave_out"))),
        tuple(reader.within(each) for each in reader.list(parts.get("within"))),
        tuple(reader.table(each, all_tables=True) for each in reader.list(parts.get("exclude"))),
        tuple(reader.masked(each, kind) for kind in MaskKind for each in reader.list(parts.get(kind.value))),
        reader.structure(parts.get("structure")),
        tuple(reader.files(each) for each in reader.list(parts.get("files"))),
        tuple(Named(reader.table(each), reader.at(each)) for each in reader.list(parts.get("with_parts"))),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes nodes apart; what is not as it must be raises InputError with its line."""

    file: str

    def at(self, node: yaml.Node) -> str:
        """Where a node stands."""
        return f"{self.file}, line {node.start_mark.line + 1}"

    def mapping(
        self, node: yaml.Node | None, known: set[str], needed: set[str] | None = None
    ) -> Mapping[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            where = self.file if node is None else self.at(node)
            raise InputError(f"{where}: here must be a mapping with {', '.join(sorted(needed or known))}")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self.text(key)
            if name not in known:
                raise InputError(f"{self.at(key)}: {name!r} is none of {', '.join(sorted(known))}")
            if name in found:
                raise InputError(f"{self.at(key)}: {name!r} stands here twice")
            found[name] = value
        if missing := sorted((needed or set()) - found.keys()):
            raise InputError(f"{self.at(node)}: {', '.join(missing)} is missing")
        return found

    def list(self, node: yaml.Node | None) -> Sequence[yaml.Node]:
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null") and not node.style):
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise InputError(f"{self.at(node)}: here must be a list: one entry a line, each after '- '")
        return list(node.value)

    def text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise InputError(f"{self.at(node)}: here must be a single value")
        return str(node.value)

    def table(self, node: yaml.Node, *, all_tables: bool = False) -> TableName:
        try:
            name = pattern(self.text(node))
        except InputError as error:
            raise InputError(f"{self.at(node)}: {error}") from None
        if name.name == ALL and not all_tables:
            raise InputError(f"{self.at(node)}: here must be one table, not all of a schema")
        return name

    def within(self, node: yaml.Node) -> Within:
        """`table: where`, which YAML takes for a mapping unless it is quoted."""
        if _is_pair(node):
            key, value = node.value[0]
            return Within(self.table(key), self.text(value).strip() or self._no_limit(node))
        try:
            return parse_within(self.text(node))
        except InputError as error:
            raise InputError(f"{self.at(node)}: {error}") from None

    def structure(self, node: yaml.Node | None) -> Structure:
        if node is None or self.text(node) in ("", "~"):
            return Structure.NEEDED
        try:
            return Structure(self.text(node))
        except ValueError:
            words = " or ".join(each.value for each in Structure)
            raise InputError(f"{self.at(node)}: here must be {words}, not {self.text(node)!r}") from None

    def files(self, node: yaml.Node) -> FileRule:
        """`column: folder`, which YAML takes for a mapping unless it is quoted."""
        text = ": ".join(map(self.text, node.value[0])) if _is_pair(node) else self.text(node)
        try:
            return parse_rule(text)
        except InputError as error:
            raise InputError(f"{self.at(node)}: {error}") from None

    def _no_limit(self, node: yaml.Node) -> str:
        raise InputError(f"{self.at(node)}: a limit is 'SCHEMA.TABLE: WHERE'; the condition is missing")

    def foreign_key(self, node: yaml.Node) -> ExtraKey:
        names = {"child", "child_columns", "parent", "parent_columns"}
        parts = self.mapping(node, names, needed=names)
        return ExtraKey(
            self.table(parts["child"]),
            self._columns(parts["child_columns"]),
            self.table(parts["parent"]),
            self._columns(parts["parent_columns"]),
            self.at(node),
        )

    def masked(self, node: yaml.Node, kind: MaskKind) -> Masked:
        """`table: [columns]`."""
        if not isinstance(node, yaml.MappingNode) or len(node.value) != 1:
            raise InputError(f"{self.at(node)}: here must be 'SCHEMA.TABLE: [COLUMN, …]'")
        ((table, columns),) = node.value
        names = tuple(self.text(each) for each in self.list(columns))
        if not names:
            raise InputError(f"{self.at(node)}: the columns to {kind.value} are missing")
        return Masked(self.table(table), names, kind, self.at(node))

    def _columns(self, node: yaml.Node) -> tuple[str, ...]:
        found = tuple(self.text(each) for each in self.list(node))
        if not found:
            raise InputError(f"{self.at(node)}: a foreign key needs columns")
        return found


def _is_pair(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode) and len(node.value) == 1


def _dump(value: object, *, flow: bool | None = None) -> str:
    """YAML; unless told otherwise, what holds nothing but scalars is one line."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=10_000
    )
    return written_in_yaml(text)


class _Dumper(yaml.SafeDumper):
    """Texts with hidden characters stand in double quotes, in which these can be written out."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if hides(data) else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def _suggested(hints: Sequence[Hint]) -> Iterator[str]:
    """Foreign keys that the recording suggests, as comments in the form of entries."""
    for hint in hints:
        joined = "1 statement joins" if hint.statements == 1 else f"{hint.statements} statements join"
        yield f"## {joined} by this one; to follow it, take its '# ' away:\n"
        entry = {
            "child": written(hint.child),
            "child_columns": list(hint.child_columns),
            "parent": written(hint.parent),
            "parent_columns": list(hint.parent_columns),
        }
        yield "".join(f"# {line}\n" for line in _dump([entry]).splitlines())


def _suggested_parts(others: Sequence[OtherPart]) -> Iterator[str]:
    """Parts that are left out, as comments in the form of entries."""
    for other in others:
        yield f"## Not included: {visible(part_text(other))}. To include it, remove the '# ':\n"
        yield "".join(f"# {line}\n" for line in _dump([written(other.part)], flow=False).splitlines())


def part_text(other: OtherPart) -> str:
    """A part and what it would bring, in words."""
    rows = "rows that this account may not read" if other.rows is None else counted(other.rows)
    leads = f", leading to {', '.join(map(str, other.leads_to))}" if other.leads_to else ""
    return f"{other.part}, a part of {other.master} ({rows}{leads})"


def _found(plan: Plan) -> dict[str, Any]:
    made = plan.computed
    return {
        "rows": plan.slice.rows,
        "bytes": plan.size,
        "tables": [
            {
                "table": written(name),
                "rows": sliced.rows,
                **({} if sliced.total is None else {"of": sliced.total}),
                "bytes": plan.sizes.get(name, 0),
                "by": written_path(plan.paths.get(name, ())) or ("asked for" if sliced.rows else "structure only"),
            }
            for name, sliced in plan.slice.tables.items()
            if sliced.table.view is None
        ],
        "unrestricted": [{"table": written(name), "statement": id_} for name, id_ in made.unrestricted.items()],
        "missing": list(made.missing.values()),
        "warnings": list(plan.slice.warnings),
    }


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
