"""Runtimes put on a board and taken off it again, over ssh or on this very host.

`wanted` reads what is asked for, `wheels` collects it here, `shell` and `ssh` reach the board, `on_board` runs there, and
`service` is the door.
"""
