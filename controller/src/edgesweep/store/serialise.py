"""Records and their JSON: one pair of functions driven by the dataclasses' own annotations.

Unlike the wire codec this one writes for a database: text loses what PostgreSQL cannot hold (NUL and lone
surrogates, both seen in the stderr of crashed workers) and a float that JSON has no number for becomes its word.
Decoders are compiled once per type, since a large run is read back in one go.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")
Decoder = Callable[[Any], Any]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_WORDS = {math.inf: "Infinity", -math.inf: "-Infinity"}


def clean_text(text: str) -> str:
    """`text` as every database can hold it: NUL becomes its symbol, lone surrogates the replacement character."""
    return _UNSTORABLE.sub(lambda found: "\u2400" if found[0] == "\x00" else "\ufffd", text)


def to_data(value: Any) -> Any:
    """`value` as plain JSON data: dataclasses as objects, enums as their value, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {clean_text(str(key)): to_data(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_data(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return _WORDS.get(value, "NaN")
    return value


def from_data(cls: type[T], data: Any) -> T:
    """The object of type `cls` that `to_data` wrote; unknown keys are dropped, missing ones take their default.

    Raises:
        KeyError: a field without a default is missing.
        ValueError: a word is no member of its enum.
    """
    return typing.cast("T", decoder(typing.cast("Hashable", cls))(data))


@functools.cache
def decoder(hint: Any) -> Decoder:
    """The function that turns JSON data into a value of the annotated type `hint`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, types.UnionType) or origin is typing.Union:
        return _optional(args)
    if origin is tuple:
        return _tuple(args)
    if origin is dict:
        return _dict(args)
    if dataclasses.is_dataclass(hint):
        return _dataclass(typing.cast("type[Any]", hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return float if hint is float else _same


def _same(data: Any) -> Any:
    return data


def _optional(args: tuple[Any, ...]) -> Decoder:
    decode = decoder(next(arg for arg in args if arg is not type(None)))
    return lambda data: None if data is None else decode(data)


def _tuple(args: tuple[Any, ...]) -> Decoder:
    if args[-1] is Ellipsis:
        decode = decoder(args[0])
        return tuple if decode is _same else lambda data: tuple(map(decode, data))
    decoders = [decoder(arg) for arg in args]
    return lambda data: tuple(decode(item) for decode, item in zip(decoders, data, strict=True))


def _dict(args: tuple[Any, ...]) -> Decoder:
    key, decode = (int if args[0] is int else _same), decoder(args[1])
    return lambda data: {key(name): decode(item) for name, item in data.items()}


def _dataclass(cls: type[Any]) -> Decoder:
    hints = typing.get_type_hints(cls)
    # Built on the first call: a type may hold itself.
    fields: list[tuple[str, Decoder, bool]] = []

    def decode(data: dict[str, Any]) -> Any:
        if not fields:
            fields.extend(
                (
                    field.name,
                    decoder(hints[field.name]),
                    field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                )
                for field in dataclasses.fields(cls)
            )
        values = {}
        for name, part, required in fields:
            if name in data:
                values[name] = part(data[name])
            elif required:
                raise KeyError(name)
        return cls(**values)

    return decode
