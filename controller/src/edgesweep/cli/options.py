"""What every command shares: where output goes and how it looks."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

#: Width of tables when nobody's terminal says otherwise (conventions C5).
PLAIN_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options of one call."""

    debug: bool = False
    verbose: int = 0
    quiet: bool = False
    color: str = "auto"

    def console(self, *, stderr: bool = False) -> Console:
        """A rich console for stdout (data) or stderr (progress)."""
        from rich.console import Console

        forced = {"always": True, "never": False}.get(self.color)
        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() else PLAIN_WIDTH
        return Console(
            stderr=stderr, force_terminal=forced, no_color=self.color == "never" or None, width=width, highlight=False
        )

    def set_up_logging(self) -> None:
        """Library logs stay quiet unless they are asked for; they never mix with data."""
        import structlog

        level = (logging.ERROR, logging.INFO, logging.DEBUG)[min(self.verbose, 2)]
        logging.basicConfig(level=level, stream=sys.stderr, format="%(name)s: %(message)s")
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        )


pass_settings = click.make_pass_decorator(Settings, ensure=True)

progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "live", "plain", "none"]),
    default="auto",
    show_default=True,
    help="How progress is shown on stderr: auto is live on a terminal and plain lines elsewhere.",
)


def print_json(data: Any) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(data, indent=2, sort_keys=False, allow_nan=False))
