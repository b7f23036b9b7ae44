"""Puts what a trial needs into one folder, under the names that the model uses, without copying bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgesweep_proto.blob import Manifest, Tensor
from edgesweep_proto.codec import to_json
from edgesweep_proto.device import Runtime
from edgesweep_proto.trial import Trial

from edgesweep_agent.artifacts import BlobStore
from edgesweep_agent.durable import remove_tree
from edgesweep_agent.faults import Fault

_CPU = "CPUExecutionProvider"


def check_locations(manifest: Manifest, blobs: BlobStore) -> None:
    """Refuse a model that names any external file but its manifest's blobs.

    onnxruntime opens whatever path the model names: this check keeps every read inside the agent's own folder.

    Raises:
        Fault: `invalid_request`.
    """
    # Late: an idle agent has no model to read.
    from edgesweep_agent.onnx_header import read_header

    try:
        named = set(read_header(blobs.path(manifest.model.sha256)).external_locations)
    except ValueError as error:
        raise Fault("invalid_request", f"blob {manifest.model.sha256[:12]} is no ONNX model: {error}") from error
    allowed = {f"{blob.sha256}.bin" for blob in manifest.external}
    if strangers := sorted(named - allowed):
        raise Fault(
            "invalid_request",
            f"model {manifest.model.sha256[:12]} names the external file {strangers[0][:200]!r}, which its manifest "
            "does not hold; external data must be called <sha256>.bin",
        )


def stage(trial: Trial, blobs: BlobStore, folder: Path) -> Path:
    """Fill `folder` with the model and its external data.

    Returns:
        The model's path; its external data lie beside it.

    Raises:
        OSError: a blob is gone or the disk refuses.
    """
    remove_tree(folder)
    folder.mkdir()
    model = folder / "model.onnx"
    _link(blobs.path(trial.artifact.model.sha256), model)
    for blob in trial.artifact.external:
        _link(blobs.path(blob.sha256), folder / f"{blob.sha256}.bin")
    return model


def job(
    trial: Trial,
    model: Path,
    blobs: BlobStore,
    samples_path: Path,
    max_bytes: int | None = None,
    *,
    runtime: Runtime | None = None,
    plugins: Sequence[dict[str, Any]] = (),
    cpus: tuple[int, ...] = (),
    unified_memory: bool = False,
) -> dict[str, Any]:
    """What the worker is told: paths instead of digests, the rest as the trial says it.

    `max_bytes` is the most private memory that it may take. The `runtime`, as it was probed, tells the cheapest call of
    a session and what that costs; `plugins` are its libraries of providers, with their paths on this board. `cpus` are
    those that its threads are held to, the calling thread's first; empty holds them to none. With `unified_memory` the
    whole board's memory is looked at too.

    `place_apart` tells it to end when it is timed, since another process reads the placement: what a provider leaves in
    the process that it ran in must not decide how it takes the model again.
    """
    return {
        "kind": "trial",
        "model_path": str(model),
        "inputs": [_tensor(tensor, blobs) for tensor in trial.inputs],
        "references": [{**_tensor(tensor, blobs), "shape": list(tensor.shape)} for tensor in trial.references],
        "other_inputs": [
            {"shape": other.shape, "inputs": [_tensor(tensor, blobs) for tensor in other.inputs]}
            for other in trial.other_inputs
        ],
        "tolerance": to_json(trial.tolerance),
        "providers": to_json(trial.providers),
        "session": to_json(trial.session),
        "protocol": to_json(trial.protocol),
        "samples_path": str(samples_path),
        "call": runtime.call if runtime else "",
        "call_cost_s": _call_cost(runtime) if runtime else None,
        "cpus": list(cpus),
        "memory_limit_bytes": max_bytes,
        "plugins": list(plugins),
        "unified_memory": unified_memory,
        "place_apart": not trial.protocol.untimed and any(provider.name != _CPU for provider in trial.providers),
    }


def _call_cost(runtime: Runtime) -> float | None:
    """What the probed call costs above the cheapest one, in seconds; None where it was not timed."""
    costs = runtime.call_costs_s
    return max(0.0, costs[runtime.call] - min(costs.values())) if runtime.call in costs else None


def _tensor(tensor: Tensor, blobs: BlobStore) -> dict[str, str]:
    return {"name": tensor.name, "path": str(blobs.path(tensor.blob.sha256))}


def _link(source: Path, target: Path) -> None:
    # A hard link first: newer onnxruntimes refuse external data that a symbolic link leads out of the folder.
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source)
        target.stat()
