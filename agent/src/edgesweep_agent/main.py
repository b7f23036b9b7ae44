"""The command `edgesweep-agent`. Exit codes: 0 done, 2 wrong arguments, 70 a bug, 78 cannot serve as configured."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence

from edgesweep_agent.settings import Settings, parse_arguments

EXIT_OK = 0
EXIT_BUG = 70
#: EX_CONFIG of sysexits.h: a service manager should not try again.
EXIT_CONFIG = 78


class JsonLines(logging.Formatter):
    """One JSON object a line, for journald and friends."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line = {"at": round(record.created, 3), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent and give its exit status.

    Raises:
        SystemExit: with status 2 for arguments that are wrong.
    """
    settings = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Late: a wrong command line is answered before gRPC is loaded.
    from edgesweep_agent.server import StartError, serve

    def announce(address: str) -> None:
        sys.stdout.write(json.dumps({"listening": address, "name": settings.name, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()

    try:
        asyncio.run(serve(settings, announce))
    except StartError as error:
        sys.stderr.write(f"edgesweep-agent: {error}\n")
        return EXIT_CONFIG
    except Exception:  # noqa: BLE001 - the last line of defence
        sys.stderr.write(f"edgesweep-agent: a bug in the agent; its traceback is in {_save_traceback(settings)}\n")
        return EXIT_BUG
    return EXIT_OK


def _save_traceback(settings: Settings) -> str:
    text = traceback.format_exc()
    path = settings.state_dir / f"bug-{time.time():.0f}.txt"
    try:
        path.write_text(text)
    except OSError:
        sys.stderr.write(text)
        return "the lines above"
    return str(path)
