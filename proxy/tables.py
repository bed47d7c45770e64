"""The tables of the store."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, UniqueConstraint  # noqa: TID251
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column  # noqa: TID251


class Base(DeclarativeBase):
    """What every table shares."""


class Meta(Base):
    """Facts about the store itself: `format` (version), `generation` (grows whenever rows are removed) and `rules` (the
    version of the rules that classed the statements)."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Paper(Base):
    """What is published."""

    __tablename__ = "papers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Analysis(Base):
    """A named part of a paper's recording; `created` in ns since 1970."""

    __tablename__ = "analyses"
    __table_args__ = (UniqueConstraint("paper_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    paper_id: Mapped[int] = mapped_column(ForeignKey("papers.id", ondelete="CASCADE"))
    name: Mapped[str]
    server: Mapped[str]
    created: Mapped[int]


class Journal(Base):
    """How far a journal was taken; the offset moves in the transaction that stores what came before it."""

    __tablename__ = "journals"
    name: Mapped[str] = mapped_column(primary_key=True)
    offset: Mapped[int]


class Text(Base):
    """A distinct SQL text."""

    __tablename__ = "texts"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    sql: Mapped[str]


class SessionContext(Base):
    """A distinct session context, as JSON."""

    __tablename__ = "sessions"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    context: Mapped[str]


class ReadingRow(Base):
    """What `graph.leaves.read` said of a text under a context: asked once."""

    __tablename__ = "readings"
    __table_args__ = (UniqueConstraint("text_id", "session_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    text_id: Mapped[int] = mapped_column(ForeignKey("texts.id"))
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"))
    verb: Mapped[str]
    statement_class: Mapped[str]
    reason: Mapped[str]
    count_of: Mapped[str | None]
    preview_of: Mapped[str | None]


class OccurrenceRow(Base):
    """A table in a reading."""

    __tablename__ = "occurrences"
    id: Mapped[int] = mapped_column(primary_key=True)
    reading_id: Mapped[int] = mapped_column(ForeignKey("readings.id", ondelete="CASCADE"), index=True)
    schema_name: Mapped[str]
    table_name: Mapped[str]
    restriction: Mapped[str]
    role: Mapped[str]


class StatementRow(Base):
    """One recorded statement; without a reading its text was not kept. `time` in ns since 1970."""

    __tablename__ = "statements"
    __table_args__ = (Index("statements_of_connection", "journal", "connection", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analyses.id", ondelete="CASCADE"), index=True)
    journal: Mapped[str]
    connection: Mapped[int]
    time: Mapped[int]
    reading_id: Mapped[int | None] = mapped_column(ForeignKey("readings.id"), index=True)
    verb: Mapped[str]
    table_name: Mapped[str]
    length: Mapped[int]
    statement_class: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str]


class KeySet(Base):
    """Values of key columns that results showed, packed as `proxy.pins` does; equal ones are kept once."""

    __tablename__ = "key_sets"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    data: Mapped[bytes]


class ResultRow(Base):
    """What is known of the result of a statement; see `proxy.events.Answered`. `key_columns` is JSON."""

    __tablename__ = "results"
    statement_id: Mapped[int] = mapped_column(ForeignKey("statements.id", ondelete="CASCADE"), primary_key=True)
    rows: Mapped[int]
    digest: Mapped[str | None]
    key_columns: Mapped[str | None]
    key_set_id: Mapped[int | None] = mapped_column(ForeignKey("key_sets.id"), index=True)
    dropped: Mapped[str]
    broken: Mapped[str]


class LostRow(Base):
    """A stretch of a recording that is missing; connection 0 stands for all."""

    __tablename__ = "lost"
    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analyses.id", ondelete="CASCADE"), index=True)
    connection: Mapped[int]
    time: Mapped[int]
    reason: Mapped[str]
