"""How a store came to its present tables, one revision after the other (Alembic).

To add one: change `tables.py`, then `upgrade` a scratch store and run `alembic revision --autogenerate` against
it with this folder as `script_location`. A released revision is never edited.
"""
