"""The one seam between domain types, protobuf messages and JSON.

A domain type and its message have the same name and the same field names, so one mapper driven by the
dataclass's own annotations serves all of them: a field added to both sides is carried at once, and the
round-trip property tests fail when it is added to one side only (docs/adr/0001).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

from google.protobuf.message import Message

from edgesweep_proto import blob, device, evidence, execution, lease, trial
from edgesweep_proto.v1 import blob_pb2, device_pb2, evidence_pb2, execution_pb2, lease_pb2, runtime_pb2, trial_pb2

T = TypeVar("T")

#: Domain type to message type. Every wire type stands here once.
MESSAGES: dict[type[Any], type[Message]] = {
    blob.Blob: blob_pb2.Blob,
    blob.Manifest: blob_pb2.Manifest,
    blob.Tensor: blob_pb2.Tensor,
    device.CpuCluster: device_pb2.CpuCluster,
    device.Device: device_pb2.Device,
    device.Plugin: runtime_pb2.Plugin,
    device.ProviderProbe: runtime_pb2.ProviderProbe,
    device.Reading: device_pb2.Reading,
    device.Runtime: runtime_pb2.Runtime,
    evidence.ArenaMemory: evidence_pb2.ArenaMemory,
    evidence.DeviceTrace: evidence_pb2.DeviceTrace,
    evidence.Energy: evidence_pb2.Energy,
    evidence.Gate: evidence_pb2.Gate,
    evidence.ThreadFacts: evidence_pb2.ThreadFacts,
    execution.Compile: execution_pb2.Compile,
    execution.Diagnosis: execution_pb2.Diagnosis,
    execution.NodeProfile: execution_pb2.NodeProfile,
    execution.NodeTime: execution_pb2.NodeTime,
    execution.OperatorFault: execution_pb2.OperatorFault,
    execution.OutputSummary: execution_pb2.OutputSummary,
    execution.ShapeChange: execution_pb2.ShapeChange,
    lease.Lease: lease_pb2.Lease,
    trial.Accounting: trial_pb2.Accounting,
    trial.ColdStart: trial_pb2.ColdStart,
    trial.MemoryPhase: trial_pb2.MemoryPhase,
    trial.NamedInputs: trial_pb2.NamedInputs,
    trial.Numerics: trial_pb2.Numerics,
    trial.Placement: trial_pb2.Placement,
    trial.Protocol: trial_pb2.Protocol,
    trial.Provider: trial_pb2.Provider,
    trial.ProviderShare: trial_pb2.ProviderShare,
    trial.Samples: trial_pb2.Samples,
    trial.SessionFacts: trial_pb2.SessionFacts,
    trial.SessionOptions: trial_pb2.SessionOptions,
    trial.Tolerance: trial_pb2.Tolerance,
    trial.Trial: trial_pb2.Trial,
    trial.TrialEvent: trial_pb2.TrialEvent,
    trial.TrialResult: trial_pb2.TrialResult,
}

_ENUM_PREFIX: dict[type[trial.WireEnum], str] = {
    trial.Stage: "STAGE",
    trial.TrialState: "TRIAL_STATE",
    trial.TrialOutcome: "TRIAL_OUTCOME",
}


_HINTS: dict[Any, dict[str, Any]] = {}


def _hints(cls: Any) -> dict[str, Any]:
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def _is_domain(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


def _strip_optional(hint: Any) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _is_optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def enum_to_proto(value: trial.WireEnum) -> int:
    """The number of `value` on the wire; UNKNOWN is the unspecified 0."""
    if value.name == "UNKNOWN":
        return 0
    name = f"{_ENUM_PREFIX[type(value)]}_{value.name}"
    enum = getattr(trial_pb2, type(value).__name__)
    return int(enum.Value(name))


def enum_from_proto(cls: type[T], number: int) -> T:
    """The word for `number`; a number that only a newer peer knows becomes UNKNOWN."""
    enum = getattr(trial_pb2, cls.__name__)
    prefix = _ENUM_PREFIX[typing.cast("type[trial.WireEnum]", cls)]
    known = number != 0 and number in enum.values()
    name = enum.Name(number).removeprefix(f"{prefix}_") if known else "UNKNOWN"
    return typing.cast("T", getattr(cls, name))


def to_proto(value: Any) -> Any:
    """The message that carries the domain object `value`.

    Returns:
        A new message of the type registered in `MESSAGES`; `None` fields are left unset.
    """
    message = MESSAGES[type(value)]()
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if item is None:
            continue
        if dataclasses.is_dataclass(item):
            getattr(message, field.name).CopyFrom(to_proto(item))
        elif isinstance(item, tuple):
            target = getattr(message, field.name)
            target.extend(to_proto(part) if dataclasses.is_dataclass(part) else part for part in item)
        elif isinstance(item, dict):
            getattr(message, field.name).update(item)
        elif isinstance(item, trial.WireEnum):
            setattr(message, field.name, enum_to_proto(item))
        else:
            setattr(message, field.name, item)
    return message


def from_proto(cls: type[T], message: Any) -> T:
    """The domain object of type `cls` that `message` carries.

    Unset optional fields become `None`, unknown enum numbers `UNKNOWN`, unknown fields are dropped: a newer
    peer never makes this side fail.
    """
    values: dict[str, Any] = {}
    for name, hint in _hints(cls).items():
        kind = _strip_optional(hint)
        if _is_optional(hint) and not message.HasField(name):
            values[name] = None
            continue
        raw = getattr(message, name)
        if typing.get_origin(kind) is tuple:
            part = typing.get_args(kind)[0]
            values[name] = tuple(from_proto(part, item) if _is_domain(part) else item for item in raw)
        elif typing.get_origin(kind) is dict:
            values[name] = dict(raw)
        elif _is_domain(kind):
            values[name] = from_proto(kind, raw)
        elif isinstance(kind, type) and issubclass(kind, trial.WireEnum):
            values[name] = enum_from_proto(kind, raw)
        else:
            values[name] = raw
    return cls(**values)


def to_json(value: Any) -> Any:
    """`value` as plain JSON data: enums as their word, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, trial.WireEnum):
        return value.value
    return value


def from_json(cls: Any, data: Any) -> Any:
    """The object of type `cls` that `to_json` wrote; unknown keys are dropped, missing ones take their default.

    Raises:
        KeyError: a field without default is missing.
    """
    kind = _strip_optional(cls)
    if data is None and _is_optional(cls):
        return None
    if typing.get_origin(kind) is tuple:
        return tuple(from_json(typing.get_args(kind)[0], item) for item in data)
    if typing.get_origin(kind) is dict:
        return {key: from_json(typing.get_args(kind)[1], item) for key, item in data.items()}
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast("type[Any]", kind))
        values = {}
        for field in dataclasses.fields(kind):
            if field.name in data:
                values[field.name] = from_json(hints[field.name], data[field.name])
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise KeyError(field.name)
        return typing.cast("Any", kind)(**values)
    if isinstance(kind, type) and issubclass(kind, trial.WireEnum):
        return next((member for member in kind if member.value == data), kind("unknown"))
    return float(data) if kind is float else data
