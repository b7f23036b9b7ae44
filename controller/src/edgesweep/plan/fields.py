"""The kinds of value that a plan's keys take, each with its check, its sentence and its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from edgesweep.did_you_mean import hint
from edgesweep.export.registry import EXPORTERS, OPTIMISERS, PRECISIONS

#: The opsets that a plan may ask for: what the two exporters and onnxruntime know between them.
OLDEST_OPSET = 7
NEWEST_OPSET = 26

#: The IR versions that a variant may be capped at: onnxruntime reads none older.
OLDEST_IR, NEWEST_IR = 3, 13
#: The IR version that the exporter writes, whatever that is.
AS_EXPORTED = "asis"

_OPSET_RANGE = re.compile(r"(\d{1,4})\.\.(\d{1,4})")
_DIMENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LABEL_SELECTOR = re.compile(r"[^\s=,!]+=[^\s=,!]*(,[^\s=,!]+=[^\s=,!]*)*")


class Section(BaseModel):
    """A part of the plan file: a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def refusal(sentence: str, at: tuple[str | int, ...] | None = None) -> PydanticCustomError:
    """An error of a value in the plan's own words; `at` overrules the place that pydantic gives."""
    return PydanticCustomError("plan", "{sentence}", {"sentence": sentence, "at": at})


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """`values` without repeats, in order."""
    seen: list[Any] = []
    for value in values:
        if value not in seen:
            seen.append(value)
    return tuple(seen)


class OneOrMany:
    """Lets a list key take a single value without brackets, and drops repeats."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap the list's own schema."""
        listed = core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else [value], handler(source)
        )
        return core_schema.no_info_after_validator_function(distinct, listed)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """One item, or a list of them."""
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


class OpsetList:
    """A list of opsets and opset ranges, read as the distinct whole numbers it stands for."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read every entry by itself, so that an error names the entry."""
        entry = core_schema.no_info_plain_validator_function(read_opsets)
        entries = core_schema.tuple_variable_schema(entry, min_length=1)
        listed = core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else [value], entries
        )
        return core_schema.no_info_after_validator_function(
            lambda groups: distinct(opset for group in groups for opset in group), listed
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A number, a range as text, or a list of both."""
        entry = {
            "anyOf": [
                {"type": "integer", "minimum": OLDEST_OPSET, "maximum": NEWEST_OPSET},
                {"type": "string", "pattern": r"^\d+\.\.\d+$"},
            ]
        }
        return {"anyOf": [entry, {"type": "array", "items": entry, "minItems": 1}]}


def read_opsets(value: Any) -> tuple[int, ...]:
    """The opsets that one entry of `opsets` stands for: a number, or a range such as `18..23` with both ends."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (_known_opset(value),)
    found = _OPSET_RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise refusal(f'an opset is a whole number or a range such as "18..23", not {describe(value)}')
    first, last = (_known_opset(int(end)) for end in found.groups())
    if first > last:
        raise refusal(f'the opset range "{value}" runs backwards; write it as "{last}..{first}"')
    return tuple(range(first, last + 1))


def _known_opset(opset: int) -> int:
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise refusal(f"opset {opset} is not one that Edgesweep asks for; it takes {OLDEST_OPSET} to {NEWEST_OPSET}")
    return opset


def describe(value: Any) -> str:
    """What a YAML value is, in words for the end of a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the word {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text '{value}'"
    return "a list" if isinstance(value, list | tuple) else "a mapping" if isinstance(value, dict) else "other data"


def _one_of(kind: str, known: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise refusal(f"unknown {kind} {_quoted(value)}{hint(str(value), known)}")

    return check


def _check_ir_version(value: Any) -> int | None:
    if value is None or value == AS_EXPORTED:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and OLDEST_IR <= value <= NEWEST_IR:
        return value
    raise refusal(f"an IR version is {AS_EXPORTED} or a number from {OLDEST_IR} to {NEWEST_IR}, not {describe(value)}")


def _check_axes(value: Any) -> str:
    if not isinstance(value, str):
        raise refusal(f"an axes profile is static, full or dimension names joined by +, not {describe(value)}")
    if value in {"static", "full"}:
        return value
    if value == "asis":
        raise refusal("the axes profile 'asis' belongs to onnx: models, which have it by themselves")
    names = value.split("+")
    for name in names:
        if name in {"static", "full"} or not _DIMENSION.fullmatch(name):
            raise refusal(
                f"'{value}' is no axes profile; write static, full or dimension names joined by +, such as batch+height"
            )
    if len(set(names)) != len(names):
        raise refusal(f"the axes profile '{value}' names a dimension twice")
    return value


def axes_dimensions(axes: str, declared: tuple[str, ...]) -> tuple[str, ...]:
    """The dimensions that the profile `axes` makes dynamic for a model that declares `declared`."""
    match axes:
        case "static":
            return ()
        case "full" | "asis":
            return declared
    return tuple(axes.split("+"))


def _check_name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise refusal(
            f"a name is made of letters, digits and . _ - and starts with a letter, a digit or _, so not {describe(value)}"
        )
    return value


def is_name(text: str) -> bool:
    """Whether `text` can be a segment of a cell's name."""
    return _NAME.fullmatch(text) is not None


def _check_dimension(value: Any) -> str:
    if isinstance(value, str) and any(sign in value for sign in "+-*/"):
        raise refusal(
            f"a dimension's name is no sum or product of others, as {describe(value)} seems to be: let the model take the "
            "parts as inputs of their own and join them in forward(), as docs/export-matrix.md shows"
        )
    if not isinstance(value, str) or not _DIMENSION.fullmatch(value) or value in {"static", "full"}:
        raise refusal(f"a dimension's name is letters, digits and _, such as batch, not {describe(value)}")
    return value


def _check_range(value: Any) -> tuple[int, int]:
    whole = isinstance(value, list | tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
    if not whole or len(value) != 2:  # noqa: PLR2004 - a range has two ends
        raise refusal(f"a range is [smallest, largest] in whole numbers, such as [1, 8], not {describe(value)}")
    smallest, largest = value
    if not 1 <= smallest <= largest:
        raise refusal(f"the range [{smallest}, {largest}] must start at 1 or more and not run backwards")
    return smallest, largest


def _check_until(value: Any) -> date:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise refusal(f"a date is written as 2027-01-31, not {describe(value)}") from None


def _check_devices(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str) and (value == "all" or _LABEL_SELECTOR.fullmatch(value)):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) and name for name in value):
        return distinct(value)
    raise refusal(
        f'write all, a list of device names such as [pi5], or labels such as "arch=aarch64,site=lab1", not {describe(value)}'
    )


def _check_runtimes(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str):
        if value in {"newest", "all"}:
            return value
        raise refusal(f'write newest, all or a list of runtimes such as ["1.23.2"], not {describe(value)}')
    if not isinstance(value, list | tuple) or not value:
        raise refusal(f'write newest, all or a list of runtimes such as ["1.23.2"], not {describe(value)}')
    for runtime in value:
        if isinstance(runtime, int | float):
            raise refusal(f"a runtime is text: put the version {runtime} in quotes")
        if not isinstance(runtime, str) or not runtime or "/" in runtime or runtime.split() != [runtime]:
            raise refusal(f'a runtime is text such as "1.23.2" or "openvino-1.24.1", not {describe(runtime)}')
    return distinct(value)


def _quoted(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else describe(value)


def _checked(check: Callable[[Any], Any], **schema: Any) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(check), WithJsonSchema(schema)


_INT32_MAX = 2**31 - 1
_text_list = {"type": "array", "items": {"type": "string"}, "minItems": 1}

PositiveWhole = Annotated[int, Field(strict=True, ge=1, le=_INT32_MAX)]
NaturalNumber = Annotated[int, Field(strict=True, ge=0, le=_INT32_MAX)]
PositiveSeconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Opsets = Annotated[tuple[int, ...], OpsetList()]
Exporter = Annotated[str, *_checked(_one_of("exporter", EXPORTERS), type="string", enum=list(EXPORTERS))]
Precision = Annotated[str, *_checked(_one_of("precision", PRECISIONS), type="string", enum=list(PRECISIONS))]
Optimiser = Annotated[str, *_checked(_one_of("optimiser", OPTIMISERS), type="string", enum=list(OPTIMISERS))]
IrVersion = Annotated[
    int | None,
    *_checked(
        _check_ir_version,
        anyOf=[{"const": AS_EXPORTED}, {"type": "integer", "minimum": OLDEST_IR, "maximum": NEWEST_IR}],
    ),
]
AxesProfile = Annotated[
    str, *_checked(_check_axes, type="string", examples=["static", "full", "batch", "batch+height"])
]
Name = Annotated[str, *_checked(_check_name, type="string", pattern=f"^{_NAME.pattern}$")]
Dimension = Annotated[str, *_checked(_check_dimension, type="string", pattern=f"^{_DIMENSION.pattern}$")]
SizeRange = Annotated[
    tuple[int, int],
    *_checked(_check_range, type="array", items={"type": "integer", "minimum": 1}, minItems=2, maxItems=2),
]
Until = Annotated[date, *_checked(_check_until, type="string", format="date")]
Devices = Annotated[str | tuple[str, ...], *_checked(_check_devices, anyOf=[{"type": "string"}, _text_list])]
Runtimes = Annotated[str | tuple[str, ...], *_checked(_check_runtimes, anyOf=[{"enum": ["newest", "all"]}, _text_list])]
