"""The plan's `verify`: what is allowed of outputs beyond the defaults, for all models, one model or one provider."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from edgesweep.plan.fields import Section, refusal
from edgesweep.plan.providers import short_name

_Bound = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Allowance(Section):
    """How far outputs may lie from the reference.

    `absolute` and `relative` are for what is compared element by element, `sqnr_db` for quantised variants; by itself
    `sqnr_db` has every variant judged by its ratio of signal to noise.
    """

    absolute: _Bound | None = None
    relative: _Bound | None = None
    sqnr_db: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise refusal("nothing is allowed here; give absolute, relative or sqnr_db")
        return self


class VerifySection(Allowance):
    """`verify`: what is allowed of the outputs, and what of those of single providers."""

    providers: dict[str, Allowance] = Field(default_factory=dict)

    @field_validator("providers", mode="before")
    @classmethod
    def _names_are_short(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        named: dict[Any, Any] = {}
        for name, allowed in value.items():
            try:
                short = short_name(name) if isinstance(name, str) else name
            except ValueError as error:
                raise refusal(str(error)) from None
            if short in named:
                raise refusal(f"verify names the provider {short} twice")
            named[short] = allowed
        return named
