"""The `edgesweep` command: the group of all nouns, and the one place where errors become words and exit codes."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import edgesweep
from edgesweep.cli.compare import compare
from edgesweep.cli.compat import compat
from edgesweep.cli.device import device
from edgesweep.cli.export import export
from edgesweep.cli.failure import failure
from edgesweep.cli.interrupt import Stopped
from edgesweep.cli.measure import measure
from edgesweep.cli.model import model
from edgesweep.cli.options import Settings
from edgesweep.cli.pki import pki
from edgesweep.cli.plan import plan
from edgesweep.cli.quickstart import quickstart
from edgesweep.cli.report import report, runs
from edgesweep.cli.run import run
from edgesweep.cli.runtime import runtime
from edgesweep.cli.stdout import is_refused_output, send_nowhere
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.home import find_home

_EPILOG = """\b
Examples:
  edgesweep quickstart                     a real sweep on this machine, nothing to prepare
  edgesweep run plans/nightly.yaml -n      what a plan would do
  edgesweep run plans/nightly.yaml         do it
  edgesweep report latest -o html          write report.html of the last run
  edgesweep compat matrix latest           which variants run where, why not, and which to use
  edgesweep compare --nodes CELL CELL      where two cells spend their time, node by node
  edgesweep measure MODEL.onnx             one file on this machine, without an agent
  edgesweep export matrix PLAN             what exports, and why the rest does not; no device
"""


class _ReaderGone(Exception):  # noqa: N818 - no error: nobody wants to read on
    """The reader of stdout went away."""


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Keep a reader that goes away from click, which ends with 1 then; here that stands for findings."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error


@click.group(
    cls=_Group,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "EDGESWEEP"},
)
@click.version_option(edgesweep.__version__, prog_name="edgesweep")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("-v", "--verbose", count=True, help="Say more on stderr; twice for everything.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only results and errors.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours in tables and progress.",
)
@click.pass_context
def cli(ctx: click.Context, *, debug: bool, verbose: int, quiet: bool, color: str) -> None:
    """Benchmark PyTorch models, exported every way, on every board of the lab.

    Results go to stdout, progress and hints to stderr. Exit codes: 0 good, 1 findings, 2 wrong command line or plan,
    3 nothing to do, 4 lab trouble, 5 certificates, 6 store, 70 bug, 130 interrupted.
    """
    ctx.obj = Settings(debug=debug, verbose=verbose, quiet=quiet, color=color)
    ctx.obj.set_up_logging()


_COMMANDS = (
    quickstart, run, runs, report, compat, compare, measure, export, device, runtime, model, pki, plan, failure
)  # fmt: skip

for command in _COMMANDS:
    cli.add_command(command)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: runs the command and exits with the code that its end stands for."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        result: Any = cli.main(args=args, prog_name="edgesweep", standalone_mode=False)
    except EdgesweepError as error:
        _say(error.message, error.remedy)
        if "--debug" in args:
            traceback.print_exc()
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(ExitCode.USAGE)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "edgesweep"
        _say(error.format_message().rstrip("."), f"see {command} --help")
        sys.exit(ExitCode.USAGE)
    except Stopped as stopped:
        click.echo("interrupted", err=True)
        sys.exit(stopped.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except _ReaderGone:
        # As `| head` does; there is nobody left to tell.
        send_nowhere()
        sys.exit(ExitCode.OK)
    except Exception as error:  # noqa: BLE001 - the outermost edge: every defect becomes a saved traceback
        sys.exit(_unexpected(error, debug="--debug" in args))
    sys.exit(result if isinstance(result, int) else ExitCode.OK)


def _unexpected(error: Exception, *, debug: bool) -> ExitCode:
    """Tell of an error that no command expects: a defect, unless it is the system that takes no output."""
    if is_refused_output(error):
        send_nowhere()
        _say(f"the output cannot be written: {error}", "free space where it goes to, or send it elsewhere")
        return ExitCode.USAGE
    path = _save_traceback()
    _say(f"a bug in Edgesweep: {type(error).__name__}: {error}", f"report it with the traceback in {path}")
    if debug:
        traceback.print_exc()
    return ExitCode.BUG


def _say(sentence: str, remedy: str) -> None:
    click.echo(f"error: {sentence}", err=True)
    if remedy:
        click.echo(f"remedy: {remedy}", err=True)


def _save_traceback() -> Path:
    folder = find_home().state / "crashes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}.txt"
    path.write_text(traceback.format_exc())
    return path


if __name__ == "__main__":
    main()
