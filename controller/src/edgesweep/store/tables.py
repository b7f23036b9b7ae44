"""The tables: what is asked about is a column, figure trees are JSON beside them.

A change here needs a revision in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, MetaData, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The base of all tables: text without a length, 64-bit floats, JSON that knows SQL's NULL."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own interface
        str: Text,
        float: Double,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class RunRow(Base):
    """One execution of a plan; `started` and `finished` are Unix time. A run of kind `matrix` has exports and no cells."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    plan_digest: Mapped[str]
    plan_text: Mapped[str]
    plan: Mapped[dict[str, Any]]
    base_dir: Mapped[str]
    started: Mapped[float] = mapped_column(index=True)
    finished: Mapped[float | None]
    state: Mapped[str]
    controller_version: Mapped[str]
    host: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]

    __table_args__ = (Index(None, "name", "started"),)


class DeviceRow(Base):
    """A device as it was when the run used it."""

    __tablename__ = "run_devices"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    name: Mapped[str]
    address: Mapped[str]
    labels: Mapped[dict[str, Any]]
    device: Mapped[dict[str, Any] | None]
    runtimes: Mapped[list[Any]]
    reading: Mapped[dict[str, Any] | None]
    colocated: Mapped[bool]

    __table_args__ = (UniqueConstraint("run_id", "name"),)


class ExportRow(Base):
    """How one variant of a run ended. `figures` holds manifest, produced facts, payloads and numerics."""

    __tablename__ = "exports"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    model: Mapped[str]
    exporter: Mapped[str]
    opset: Mapped[int]
    axes: Mapped[str]
    precision: Mapped[str]
    ir_version: Mapped[int | None]
    optimiser: Mapped[str]
    slug: Mapped[str]
    stage: Mapped[str]
    cause: Mapped[str]
    message: Mapped[str]
    detail: Mapped[str]
    digest: Mapped[str | None] = mapped_column(index=True)
    seconds: Mapped[float]
    cached: Mapped[bool]
    figures: Mapped[dict[str, Any]]

    __table_args__ = (UniqueConstraint("run_id", "model", "slug"),)


class CellRow(Base):
    """A planned cell and, from `outcome` on, how it ended; `position` is its place in the plan."""

    __tablename__ = "cells"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    position: Mapped[int]
    name: Mapped[str]
    key: Mapped[str] = mapped_column(index=True)
    model: Mapped[str]
    exporter: Mapped[str]
    opset: Mapped[int]
    axes: Mapped[str]
    precision: Mapped[str]
    ir_version: Mapped[int | None]
    optimiser: Mapped[str]
    device: Mapped[str]
    runtime: Mapped[str]
    providers: Mapped[str]
    asked: Mapped[dict[str, Any]]

    outcome: Mapped[str | None]
    stage: Mapped[str | None]
    cause: Mapped[str | None]
    verdict: Mapped[str | None]
    median_s: Mapped[float | None]
    message: Mapped[str | None]
    remedy: Mapped[str | None]
    detail: Mapped[str | None]
    same_as: Mapped[str | None]
    see: Mapped[str | None]
    figures: Mapped[dict[str, Any] | None]

    __table_args__ = (UniqueConstraint("run_id", "name"), Index(None, "run_id", "outcome"))


class TrialRow(Base):
    """One trial, written once. `figures` holds everything measured that is not a column."""

    __tablename__ = "trials"

    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    cell_id: Mapped[int] = mapped_column(ForeignKey("cells.id", ondelete="CASCADE"), index=True)
    round: Mapped[int]
    attempt: Mapped[int]
    outcome: Mapped[str]
    stage: Mapped[str]
    cause: Mapped[str]
    message: Mapped[str]
    evidence: Mapped[str]
    started: Mapped[float]
    finished: Mapped[float]
    boot_id: Mapped[str]
    median_s: Mapped[float | None]
    samples_digest: Mapped[str | None]
    figures: Mapped[dict[str, Any]]
