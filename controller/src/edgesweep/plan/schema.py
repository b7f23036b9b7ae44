"""The plan file as pydantic models: every key, its default and its check.

Unknown keys are errors. Sentences for the user are made in `complaints`; this module only says what is right.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from edgesweep.did_you_mean import hint
from edgesweep.export.registry import NONE
from edgesweep.models.source import SourceKind
from edgesweep.plan.fields import (
    AxesProfile,
    Devices,
    Dimension,
    Exporter,
    IrVersion,
    Name,
    OneOrMany,
    Opsets,
    Optimiser,
    PositiveSeconds,
    PositiveWhole,
    Precision,
    Runtimes,
    Section,
    SizeRange,
    Until,
    describe,
    is_name,
    refusal,
)
from edgesweep.plan.measuring import MeasureSection, SessionSection
from edgesweep.plan.placement import PlacementSection
from edgesweep.plan.provider_options import refused_option
from edgesweep.plan.providers import parse_chain
from edgesweep.plan.verify import VerifySection
from edgesweep.stats.placement import FallbackPolicy

#: The version of the plan format that this Edgesweep reads.
PLAN_VERSION = 1

FailWord = Literal["failure", "fallback", "new-failure", "regression", "untrusted", "none"]


class ExportOverride(Section):
    """`models[].export`: what one model is exported with instead of the plan's own lists."""

    exporters: Annotated[tuple[Exporter, ...], Field(min_length=1), OneOrMany()] | None = None
    opsets: Opsets | None = None
    axes: Annotated[tuple[AxesProfile, ...], Field(min_length=1), OneOrMany()] | None = None
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1), OneOrMany()] | None = None
    optimisers: Annotated[tuple[Optimiser, ...], Field(min_length=1), OneOrMany()] | None = None
    ir_version: Annotated[tuple[IrVersion, ...], Field(min_length=1), OneOrMany()] | None = None


class ExportSection(Section):
    """`export`: the variants of every model, and what one export may cost."""

    exporters: Annotated[tuple[Exporter, ...], Field(min_length=1), OneOrMany()] = ("dynamo", "torchscript")
    opsets: Opsets = (17,)
    axes: Annotated[tuple[AxesProfile, ...], Field(min_length=1), OneOrMany()] = ("static", "full")
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1), OneOrMany()] = ("fp32",)
    optimisers: Annotated[tuple[Optimiser, ...], Field(min_length=1), OneOrMany()] = (NONE,)
    ir_version: Annotated[tuple[IrVersion, ...], Field(min_length=1), OneOrMany()] = (None,)
    executor: Literal["local", "dask"] = "local"
    address: str | None = None
    slots: PositiveWhole | None = None
    timeout_s: PositiveSeconds = 300.0
    memory_bytes: Annotated[int, Field(strict=True, ge=1)] | None = None

    @model_validator(mode="after")
    def _address_fits_executor(self) -> Self:
        if self.executor == "dask" and not self.address:
            raise refusal("executor: dask needs the scheduler's address, such as address: tcp://host:8786")
        if self.executor == "local" and self.address is not None:
            raise refusal("address belongs to executor: dask", at=("export", "address"))
        return self


class ModelEntry(Section):
    """One entry of `models`: exactly one of `zoo`, `factory` and `onnx`, and what is to be known of it."""

    zoo: str | None = None
    factory: str | None = None
    onnx: str | None = None
    name: Name | None = None
    args: dict[str, JsonValue] = Field(default_factory=dict)
    dynamic: dict[str, dict[Annotated[int, Field(ge=0)], Dimension]] = Field(default_factory=dict)
    ranges: dict[Dimension, SizeRange] = Field(default_factory=dict)
    references: str | None = None
    inputs: str | None = None
    export: ExportOverride | None = None
    verify: VerifySection | None = None

    @field_validator("zoo")
    @classmethod
    def _zoo_has_it(cls, value: str | None) -> str | None:
        from edgesweep.models.zoo import ZOO

        if value is not None and value not in ZOO:
            raise refusal(f"the zoo has no model '{value}'{hint(value, ZOO)}")
        return value

    @field_validator("args")
    @classmethod
    def _args_are_plain_data(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            raise refusal("args holds a number that is not finite, which cannot be handed on") from None
        return value

    @field_validator("factory")
    @classmethod
    def _factory_names_a_callable(cls, value: str | None) -> str | None:
        if value is None:
            return value
        module, _, callable_name = value.rpartition(":")
        if not module or not all(part.isidentifier() for part in callable_name.split(".")):
            raise refusal(f"'{value}' names no callable; write file.py:callable or package.module:callable")
        return value

    @model_validator(mode="after")
    def _is_one_model(self) -> Self:
        given = [kind.value for kind in SourceKind if getattr(self, kind.value) is not None]
        if len(given) != 1:
            found = f"this one has {' and '.join(given)}" if given else "this one has none of them"
            raise refusal(f"a model has exactly one of zoo, factory and onnx; {found}")
        if self.onnx is not None and self.args:
            raise refusal("an onnx: model takes no args: nothing is called to make it")
        if self.onnx is not None and self.export is not None:
            raise refusal("an onnx: model takes no export: it is measured as it is")
        if self.onnx is None and self.references is not None:
            raise refusal("references belongs to onnx: models; the others are held against torch")
        if self.zoo is not None and self.inputs is not None:
            raise refusal("inputs belongs to onnx: and factory: models; a model of the zoo has its own")
        if not is_name(self.model_name):
            raise refusal(f"'{self.model_name}' cannot stand in a cell's name; give the model another one with name:")
        self._check_ranges()
        return self

    def _check_ranges(self) -> None:
        declared = [name for axes in self.dynamic.values() for name in axes.values()]
        for name in self.ranges:
            if self.dynamic and name not in declared:
                raise refusal(f"ranges names '{name}', which dynamic does not declare{hint(name, declared)}")

    @property
    def kind(self) -> SourceKind:
        """Where the model comes from."""
        return next(kind for kind in SourceKind if getattr(self, kind.value) is not None)

    @property
    def ref(self) -> str:
        """The zoo name, the factory or the path, as the plan has it."""
        return str(getattr(self, self.kind.value))

    @property
    def model_name(self) -> str:
        """`name`, or the zoo's name, the callable's name or the file's stem."""
        if self.name is not None:
            return self.name
        match self.kind:
            case SourceKind.ZOO:
                return self.ref
            case SourceKind.FACTORY:
                return self.ref.rpartition(":")[2].rpartition(".")[2]
            case SourceKind.ONNX:
                return self.ref.replace("\\", "/").rpartition("/")[2].removesuffix(".onnx")


def _read_chain(value: Any) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        value = ",".join(value)
    if not isinstance(value, str):
        raise refusal(f'a provider chain is text such as cpu or "tensorrt,cuda", not {describe(value)}')
    try:
        return parse_chain(value)
    except ValueError as error:
        raise refusal(str(error)) from None


_CHAIN_TEXT: dict[str, Any] = {"type": "string", "examples": ["cpu", "tensorrt,cuda"]}


class Chain(Section):
    """A provider chain: `chain` holds short names in order, `options` onnxruntime's options per provider.

    In a plan a chain is mostly just text, `tensorrt,cuda`.
    """

    chain: Annotated[
        tuple[str, ...],
        BeforeValidator(_read_chain),
        WithJsonSchema(_CHAIN_TEXT),
    ]
    options: dict[str, dict[str, str]] = Field(default_factory=dict)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Text, or the mapping."""
        return {"anyOf": [_CHAIN_TEXT, handler(schema)]}

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_chain(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"chain": value}

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        for name in self.options:
            if name not in self.chain:
                raise refusal(f"options names '{name}', which is not in the chain{hint(name, self.chain)}")
        if refused := refused_option(self.options):
            raise refusal(refused)
        return self


ShapeEntry = Annotated[
    Annotated[Literal["example"], Tag("word")]
    | Annotated[dict[Dimension, PositiveWhole], Field(min_length=1), Tag("sizes")],
    Discriminator(lambda value: "sizes" if isinstance(value, dict) else "word"),
]


class Trouble(Section):
    """An entry of `exclude` or `known_failures`: cells are meant whose parts all match.

    Texts may hold `*` and `?`; `until` is the last day on which the entry counts.
    """

    model: Annotated[tuple[str, ...], Field(min_length=1), OneOrMany()] | None = None
    exporter: Annotated[tuple[str, ...], Field(min_length=1), OneOrMany()] | None = None
    opset: Opsets | None = None
    axes: Annotated[tuple[str, ...], Field(min_length=1), OneOrMany()] | None = None
    precision: Annotated[tuple[str, ...], Field(min_length=1), OneOrMany()] | None = None
    optimiser: Annotated[tuple[str, ...], Field(min_length=1), OneOrMany()] | None = None
    ir_version: Annotated[tuple[IrVersion, ...], Field(min_length=1), OneOrMany()] | None = None
    device: Annotated[tuple[str, ...], Field(min_length=1), OneOrMany()] | None = None
    runtime: Annotated[tuple[str, ...], Field(min_length=1), OneOrMany()] | None = None
    providers: Annotated[tuple[Chain, ...], Field(min_length=1), OneOrMany()] | None = None
    shape: Annotated[tuple[str, ...], Field(min_length=1), OneOrMany()] | None = None
    threads: Annotated[tuple[PositiveWhole, ...], Field(min_length=1), OneOrMany()] | None = None
    reason: str = ""
    until: Until | None = None

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if not self.matched_keys:
            raise refusal("this entry would match every cell; name at least a model, an opset or a device")
        return self

    @property
    def matched_keys(self) -> tuple[str, ...]:
        """The keys that the entry sets, without `reason` and `until`."""
        keys = (name for name in type(self).model_fields if name not in {"reason", "until"})
        return tuple(name for name in keys if getattr(self, name) is not None)


def _read_version(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise refusal(f"the version is a whole number, {PLAN_VERSION}, not {describe(value)}")
    if value > PLAN_VERSION:
        raise refusal(
            f"this plan has version {value}, and this Edgesweep reads {PLAN_VERSION}; install a newer Edgesweep"
        )
    if value != PLAN_VERSION:
        raise refusal(f"there is no plan version {value}; write version: {PLAN_VERSION}")
    return value


class PlanFile(Section):
    """A plan: which cells to measure, how, and what counts as a failure."""

    version: Annotated[int, BeforeValidator(_read_version), WithJsonSchema({"const": PLAN_VERSION})]
    name: Name = "plan"
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1)]
    export: ExportSection = ExportSection()
    devices: Devices = "all"
    runtimes: Runtimes = "newest"
    providers: Annotated[
        Annotated[Literal["available"], Tag("word")] | Annotated[tuple[Chain, ...], Field(min_length=1), Tag("chains")],
        Discriminator(lambda value: "word" if value == "available" else "chains"),
    ] = "available"
    shapes: Annotated[tuple[ShapeEntry, ...], Field(min_length=1), OneOrMany()] = ("example",)
    session: SessionSection = SessionSection()
    measure: MeasureSection = MeasureSection()
    verify: VerifySection | None = None
    fallback: Literal["allow", "warn", "fail"] = "warn"
    placement: PlacementSection | None = None
    skip: Literal["predicted", "proven", "nothing"] = "proven"
    exclude: tuple[Trouble, ...] = ()
    known_failures: tuple[Trouble, ...] = ()
    fail_on: Annotated[tuple[FailWord, ...], Field(min_length=1), OneOrMany()] = ("regression", "new-failure")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        seen: dict[str, int] = {}
        for index, model in enumerate(self.models):
            first = seen.setdefault(model.model_name, index)
            if first != index:
                raise refusal(
                    f"two models are named '{model.model_name}'; give one of them another name with name:",
                    at=("models", index, "name"),
                )
        return self

    @model_validator(mode="after")
    def _chains_differ(self) -> Self:
        # A cell's name holds the chain without its options: two that differ in these alone would have one name.
        options: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
        for index, entry in enumerate(self.providers if self.providers != "available" else ()):
            if options.setdefault(entry.chain, entry.options) != entry.options:
                raise refusal(
                    f"the chain '{','.join(entry.chain)}' is listed with other options before; give each a plan of its own",
                    at=("providers", index),
                )
        return self

    @model_validator(mode="after")
    def _troubles_name_models(self) -> Self:
        names = [model.model_name for model in self.models]
        for key in ("exclude", "known_failures"):
            for index, entry in enumerate(getattr(self, key)):
                for word in entry.model or ():
                    if word not in names and not set("*?[") & set(word):
                        raise refusal(f"the plan has no model '{word}'{hint(word, names)}", at=(key, index, "model"))
        return self

    @model_validator(mode="after")
    def _limits_are_not_moot(self) -> Self:
        if self.placement is not None and self.fallback == "fail":
            raise refusal(
                "fallback: fail refuses any node elsewhere, so placement has no say; take one of the two out",
                at=("placement",),
            )
        return self

    @property
    def fallback_policy(self) -> FallbackPolicy:
        """What becomes of cells of which some nodes land outside the chain's first provider."""
        return FallbackPolicy(self.fallback) if self.placement is None else self.placement.policy(self.fallback)

    @model_validator(mode="after")
    def _none_stands_alone(self) -> Self:
        if "none" in self.fail_on and len(self.fail_on) > 1:
            raise refusal("none cannot stand beside other words", at=("fail_on",))
        return self
