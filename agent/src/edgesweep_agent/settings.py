"""What the command line says, checked."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesweep_agent import __version__
from edgesweep_agent.artifacts import DEFAULT_MAX_BLOB_BYTES
from edgesweep_agent.interpreters import Interpreter
from edgesweep_agent.runtimes import PluginFile
from edgesweep_agent.tls import is_loopback

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Settings:
    """How this agent is to run. `tls_dir` is None exactly where TLS is off.

    `max_worker_bytes` is the most private memory that a worker may take; None leaves it to the kernel. `plugins` are
    libraries of execution providers for every runtime, `provider_seconds` how long a provider may be silent in a probe.
    """

    host: str
    port: int
    state_dir: Path
    tls_dir: Path | None
    name: str
    runtimes: tuple[Interpreter, ...]
    max_blob_bytes: int
    sysroot: Path = Path("/")
    max_worker_bytes: int | None = None
    plugins: tuple[PluginFile, ...] = ()
    provider_seconds: float | None = None

    @property
    def address(self) -> str:
        """Host and port as gRPC wants them."""
        return listen_address(self.host, self.port)


def listen_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_arguments(arguments: Sequence[str]) -> Settings:
    """The settings in these arguments.

    Raises:
        SystemExit: with status 2 and one sentence on stderr, or 0 after `--help` and `--version`.
    """
    parser = _parser()
    told = parser.parse_args(arguments)
    serve = told.parser
    host, port = _host_and_port(serve, told.listen)
    if told.insecure:
        _check_loopback(serve, host)
    return Settings(
        host=host,
        port=port,
        state_dir=told.state_dir.absolute(),
        tls_dir=None if told.insecure else told.tls_dir.absolute(),
        name=told.name or os.uname().nodename,
        runtimes=tuple(_interpreter(serve, text) for text in told.runtime),
        max_blob_bytes=told.max_blob_bytes,
        sysroot=told.sysroot,
        max_worker_bytes=told.max_worker_bytes,
        plugins=_plugins(serve, told.plugin),
        provider_seconds=told.provider_seconds,
    )


def _parser() -> argparse.ArgumentParser:
    # A width of its own keeps argparse from loading shutil, which would stay in memory for good.
    layout = functools.partial(argparse.HelpFormatter, width=100)
    parser = argparse.ArgumentParser(
        formatter_class=layout,
        prog="edgesweep-agent",
        description="Measures ONNX models on this board for Edgesweep controllers.",
    )
    parser.add_argument("--version", action="version", version=f"edgesweep-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", formatter_class=layout, help="serve controllers until told to stop")
    serve.set_defaults(parser=serve)
    serve.add_argument("--listen", required=True, metavar="HOST:PORT", help="where to listen; port 0 takes a free one")
    serve.add_argument("--state-dir", required=True, type=Path, metavar="DIR", help="where models and results are kept")
    trust = serve.add_mutually_exclusive_group(required=True)
    trust.add_argument("--tls-dir", type=Path, metavar="DIR", help="holds ca.pem, cert.pem and key.pem")
    trust.add_argument("--insecure", action="store_true", help="no TLS; on a loopback address only")
    serve.add_argument("--name", default="", help="what controllers call this device (default: its host name)")
    serve.add_argument(
        "--runtime", action="append", default=[], metavar="[ID=]PYTHON",
        help="an interpreter whose environment holds an onnxruntime; may be given more than once",
    )  # fmt: skip
    serve.add_argument(
        "--max-blob-bytes", type=int, default=DEFAULT_MAX_BLOB_BYTES, metavar="N", help="largest file that is taken"
    )
    serve.add_argument(
        "--max-worker-bytes", type=_size, metavar="N",
        help="most memory that the process of one trial may take (default: what the kernel lets it)",
    )  # fmt: skip
    serve.add_argument(
        "--plugin", action="append", default=[], metavar="NAME=LIBRARY",
        help="a library of execution providers to register with each runtime, under the provider's full name; "
        "those in a runtime's own packages are found without it",
    )  # fmt: skip
    serve.add_argument(
        "--provider-seconds", type=_seconds, metavar="N",
        help="longest that a provider may be silent when a runtime is probed (default: 60)",
    )  # fmt: skip
    serve.add_argument("--sysroot", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    return parser


def _size(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a size is a number of bytes above 0, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a time is a number of seconds above 0, not {text!r}")
    return seconds


def _plugins(parser: argparse.ArgumentParser, texts: Sequence[str]) -> tuple[PluginFile, ...]:
    found: dict[str, PluginFile] = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator or not name.isidentifier() or not path:
            parser.error(f"--plugin takes NAME=LIBRARY, such as QNNExecutionProvider=/opt/qnn/libqnn.so, not {text!r}")
        library = Path(path).expanduser().absolute()
        if not library.is_file():
            parser.error(f"--plugin: there is no file {str(library)!r}")
        if name in found:
            parser.error(f"--plugin: {name} is given twice")
        found[name] = PluginFile(name, str(library))
    return tuple(found.values())


def _host_and_port(parser: argparse.ArgumentParser, text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isdigit() or int(port) > _MAX_PORT:
        parser.error(f"--listen takes HOST:PORT, such as 127.0.0.1:50051, not {text!r}")
    return host, int(port)


def _check_loopback(parser: argparse.ArgumentParser, host: str) -> None:
    try:
        loopback = is_loopback(host)
    except OSError as error:
        parser.error(f"--listen: {host!r} has no address: {error}")
    if not loopback:
        parser.error(
            f"--insecure serves a loopback address only, and {host} is reachable from outside; "
            "give --tls-dir with certificates from `edgesweep pki issue NAME`"
        )


def _interpreter(parser: argparse.ArgumentParser, text: str) -> Interpreter:
    name, separator, python = text.partition("=")
    if not separator or "/" in name:
        name, python = "", text
    # Late: it pulls three compression libraries into a process that shall stay small.
    from shutil import which

    found = which(os.path.expanduser(python))  # noqa: PTH111 - the text may be a bare command
    if found is None:
        parser.error(f"--runtime: {python!r} is no program that can be run")
    return Interpreter(str(Path(found).absolute()), name)
