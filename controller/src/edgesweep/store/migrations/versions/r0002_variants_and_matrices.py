"""Variants with an IR cap and an optimiser, and runs that only export."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OLD_KEY = "uq_exports_run_id_model_exporter_opset_axes_precision"


def upgrade() -> None:
    """An export is known by its model and slug, which holds whatever a variant may come to have."""
    for table, column, value in (
        ("runs", "kind", "sweep"),
        ("exports", "optimiser", ""),
        ("exports", "slug", ""),
        ("cells", "optimiser", ""),
    ):
        # The default is for the rows that are there; new ones are always written whole.
        with op.batch_alter_table(table) as rows:
            rows.add_column(sa.Column(column, sa.Text(), nullable=False, server_default=value))
        with op.batch_alter_table(table) as rows:
            rows.alter_column(column, server_default=None)
    for table in ("exports", "cells"):
        op.add_column(table, sa.Column("ir_version", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE exports SET slug = exporter || '-opset' || CAST(opset AS TEXT) || '-' || axes || '-' || precision"
    )
    with op.batch_alter_table("exports") as exports:
        exports.drop_constraint(_OLD_KEY, type_="unique")
        exports.create_unique_constraint(op.f("uq_exports_run_id_model_slug"), ["run_id", "model", "slug"])
