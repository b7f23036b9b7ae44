"""The export worker's main: requests in and answers out as JSON lines on one socket, torch warm in between.

Started by `pool`. Whatever the model's factory or an exporter prints goes to stderr, which the pool keeps as evidence.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

from edgesweep_proto.codec import from_json, to_json
from edgesweep_proto.trial import Stage, Tolerance

from edgesweep.errors import EdgesweepError
from edgesweep.export.artifacts.blobs import Blobs
from edgesweep.export.artifacts.cache import ExportCache
from edgesweep.export.artifacts.layout import Layout
from edgesweep.export.failures.classify import shorten
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import (
    diagnosis,
    failure_of_host,
    file_failure,
    host_failure,
    host_trouble,
    is_out_of_memory,
    text_of,
)
from edgesweep.export.memory import limit_to_host
from edgesweep.export.result import ExportResult
from edgesweep.export.workers.orphan import die_with_parent
from edgesweep.export.workers.pipeline import Bench, failed
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant

#: What a host lacks says nothing of the model: another one, or this one tomorrow, may have it.
_NOT_INSTALLED = frozenset({"missing_extra", "package_missing"})


def source_from_json(data: dict[str, Any]) -> ModelSource:
    """The source that `to_json` wrote; JSON turned its axes into text and its kind into a word."""
    return ModelSource(
        kind=SourceKind(data["kind"]),
        ref=data["ref"],
        name=data["name"],
        args=data["args"],
        dynamic={path: {int(axis): name for axis, name in axes.items()} for path, axes in data["dynamic"].items()},
        ranges={name: (int(low), int(high)) for name, (low, high) in data["ranges"].items()},
        references=data["references"],
        inputs=data["inputs"],
        seed=int(data["seed"]),
        tolerances={precision: from_json(Tolerance, asked) for precision, asked in data["tolerances"].items()},
    )


class _Worker:
    """Serves one request after the other."""

    def __init__(
        self,
        bench: Bench,
        cache: ExportCache,
        send: Callable[[dict[str, Any]], None],
        await_leave: Callable[[], None],
    ) -> None:
        from edgesweep.export.workers.workshop import Workshop

        self._bench = bench
        self._cache = cache
        self._send = send
        self._await_leave = await_leave
        self._workshop = Workshop(bench, cache, lambda step: send({"step": step}), self._ask_leave)

    def _ask_leave(self, weight_bytes: int) -> None:
        self._send({"weights": weight_bytes})
        self._await_leave()

    def serve(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "warm":
            return self._warm_up()
        source = source_from_json(request["source"])
        if request["op"] == "describe":
            return self._describe(source)
        variant = from_json(Variant, request["variant"])
        shapes = tuple(from_json(Shape, shape) for shape in request["shapes"])
        return {"result": to_json(self._export(source, variant, shapes))}

    def _warm_up(self) -> dict[str, Any]:
        from edgesweep.export.workers.workshop import warm_up

        self._send({"step": "import"})
        warm_up()
        return {"warm": True}

    def _describe(self, source: ModelSource) -> dict[str, Any]:
        from edgesweep.models.describe import facts_of

        try:
            return {"facts": to_json(facts_of(self._workshop.model_of(source), source))}
        except (EdgesweepError, OSError) as error:
            if words := host_trouble(error):
                sentence = f"model '{source.name}': the host could not load it: {words}"
                return {"error": {"code": "export_host_trouble", "message": sentence, "remedy": ""}}
            if not isinstance(error, EdgesweepError):
                raise
            return {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
        except MemoryError:
            sentence = f"model '{source.name}': loading it needs more memory than export.memory_bytes allows"
            return {"error": {"code": "model_unusable", "message": sentence, "remedy": ""}}

    def _export(self, source: ModelSource, variant: Variant, shapes: tuple[Shape, ...]) -> ExportResult:
        try:
            return self._result(source, variant, shapes)
        except EdgesweepError as error:
            return failed(variant, host_failure(error) or _factory_failure(error))
        except Exception as error:  # noqa: BLE001 - a bug of ours is this variant's result, not the end of the others
            if is_out_of_memory(error):
                return failed(variant, _out_of_memory(diagnosis(traceback.format_exc())))
            # An exporter's and a model's own errors were judged where they were raised: these files are ours.
            trouble = file_failure(error) if isinstance(error, OSError) else host_failure(error)
            if trouble is not None:
                return failed(variant, trouble)
            message = shorten(f"an error that the catalogue does not know: {type(error).__name__}: {text_of(error)}")
            return failed(variant, Failure(Stage.EXPORT, "unknown", message, diagnosis(traceback.format_exc())))

    def _result(self, source: ModelSource, variant: Variant, shapes: tuple[Shape, ...]) -> ExportResult:
        if source.kind is SourceKind.ONNX:
            from edgesweep.export.onnx_files.source import take_file

            self._send({"step": "export"})
            return take_file(source, variant, shapes, self._bench, self._cache)
        return self._workshop.export(source, variant, shapes)


def _factory_failure(error: EdgesweepError) -> Failure:
    reason = error.__cause__ or error
    detail = diagnosis("".join(traceback.format_exception(reason)))
    if is_out_of_memory(error):
        return _out_of_memory(detail)
    if error.code in _NOT_INSTALLED:
        return failure_of_host(error.message, detail)
    if error.code == "inputs_unusable":
        return Failure(Stage.EXPORT, error.code, error.message)
    return Failure(Stage.EXPORT, "factory_failed", error.message, detail)


def _out_of_memory(detail: str) -> Failure:
    return Failure(Stage.EXPORT, "export_oom", "the export ran out of the memory it was given", detail)


def _quieten() -> None:
    """Exporters warn by the page; what matters of it is in the results."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ["TORCH_LOGS_OUT"] = os.devnull
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _converse(channel: IO[bytes], answers: IO[bytes], options: argparse.Namespace) -> None:
    layout = Layout(options.root)
    blobs = Blobs(layout.blobs)
    current = 0

    def send(message: dict[str, Any]) -> None:
        answers.write(json.dumps({"id": current} | message).encode() + b"\n")
        answers.flush()

    def await_leave() -> None:
        if not channel.readline():
            # Nobody is left to export for.
            os._exit(1)

    bench = Bench(
        blobs,
        layout.originals,
        options.scratch,
        options.proof_timeout,
        proven=not options.no_proof,
        announce=lambda step: send({"step": step}),
    )
    worker = _Worker(bench, ExportCache(layout.cache, blobs), send, await_leave)
    for line in channel:
        request = json.loads(line)
        current = request["id"]
        if not options.memory_bytes:
            limit_to_host()
        send(worker.serve(request))


def main() -> int:
    """Serve until the socket closes."""
    parser = argparse.ArgumentParser(prog="edgesweep export worker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--proof-timeout", type=float, required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--memory-bytes", type=int, default=0)
    parser.add_argument("--no-proof", action="store_true")
    options = parser.parse_args()
    die_with_parent(options.parent)
    if options.memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (options.memory_bytes, options.memory_bytes))
    # Last, so that a file of the user's that is called like a package does not hide it.
    sys.path.append(str(Path.cwd()))
    os.set_inheritable(options.fd, False)  # noqa: FBT003 - the function takes it by position only
    os.dup2(2, 1)
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    _quieten()
    with os.fdopen(options.fd, "rb") as channel, os.fdopen(os.dup(options.fd), "wb") as answers:
        try:
            _converse(channel, answers, options)
        except BaseException as error:  # noqa: BLE001 - a model may raise SystemExit in the middle of an export
            _fall(error)
    return 0


def _fall(error: BaseException) -> NoReturn:
    """End at once with the status that `error` stands for: torch takes seconds to leave, and is then killed instead."""
    traceback.print_exception(error)
    sys.stderr.flush()
    status = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
    os._exit(status & 0xFF)


if __name__ == "__main__":
    sys.exit(main())
