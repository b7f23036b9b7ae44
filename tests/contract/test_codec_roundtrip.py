"""Every wire type survives the wire and JSON, and nothing that a newer peer sends can crash this side."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import types
import typing
from typing import Any

import pytest
from edgesweep_proto import blob, device, evidence, execution, lease, trial
from edgesweep_proto.codec import MESSAGES, enum_from_proto, enum_to_proto, from_json, from_proto, to_json, to_proto
from edgesweep_proto.trial import Stage, TrialOutcome, TrialResult, TrialState, WireEnum
from edgesweep_proto.v1 import trial_pb2
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TYPES = sorted(MESSAGES, key=lambda cls: cls.__name__)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = {
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
}
#: Field 18999 as a varint, and field 18998 as bytes: what a newer peer may add to any message.
UNKNOWN_FIELDS = bytes([0xB8, 0xA3, 0x09, 0x07]) + bytes([0xB2, 0xA3, 0x09, 0x03]) + b"new"

relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def bare(hint: Any) -> Any:
    """`hint` without its `| None`."""
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def value_of(kind: Any, field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Values of the Python type `kind` within what the message's `field` can hold."""
    if typing.get_origin(kind) is tuple:
        return st.lists(value_of(typing.get_args(kind)[0], field), max_size=3).map(tuple)
    if typing.get_origin(kind) is dict:
        item = field.message_type.fields_by_name["value"]
        return st.dictionaries(TEXT, value_of(typing.get_args(kind)[1], item), max_size=3)
    if dataclasses.is_dataclass(kind):
        return instances(kind)
    if issubclass(kind, WireEnum):
        return st.sampled_from(list(kind))
    return INTEGERS[field.type] if kind is int else {bool: st.booleans(), float: FINITE, str: TEXT}[kind]


@functools.cache
def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    fields = MESSAGES[cls].DESCRIPTOR.fields_by_name
    values = {}
    for name, hint in hints(cls).items():
        present = value_of(bare(hint), fields[name])
        values[name] = st.none() | present if optional(hint) else present
    return st.builds(cls, **values)


def test_every_domain_type_is_registered():
    defined = {
        cls
        for module in (blob, device, evidence, execution, lease, trial)
        for _, cls in inspect.getmembers(module, dataclasses.is_dataclass)
        if cls.__module__ == module.__name__
    }
    assert set(MESSAGES) == defined


@pytest.mark.parametrize("cls", TYPES)
def test_a_type_and_its_message_have_the_same_fields(cls):
    descriptor = MESSAGES[cls].DESCRIPTOR
    assert descriptor.name == cls.__name__
    assert {field.name for field in descriptor.fields} == set(hints(cls))
    for name, hint in hints(cls).items():
        field = descriptor.fields_by_name[name]
        many = typing.get_origin(bare(hint)) in (tuple, dict)
        assert field.is_repeated == many, f"{name}: one or many"
        if not many:
            submessage = field.type == FieldDescriptor.TYPE_MESSAGE
            assert submessage or field.has_presence == optional(hint), f"{name}: optional on one side only"


@pytest.mark.parametrize("enum", [Stage, TrialState, TrialOutcome])
def test_an_enum_has_the_same_words_on_both_sides(enum):
    numbers = [enum_to_proto(member) for member in enum]
    assert sorted(numbers) == sorted(getattr(trial_pb2, enum.__name__).values())
    assert [enum_from_proto(enum, number) for number in numbers] == list(enum)


@pytest.mark.parametrize("cls", TYPES)
def test_through_bytes(cls):
    @relaxed
    @given(instances(cls))
    def check(value):
        message = MESSAGES[cls].FromString(to_proto(value).SerializeToString())
        assert from_proto(cls, message) == value

    check()


@pytest.mark.parametrize("cls", TYPES)
def test_through_json(cls):
    @relaxed
    @given(instances(cls))
    def check(value):
        assert from_json(cls, json.loads(json.dumps(to_json(value), allow_nan=False))) == value

    check()


@pytest.mark.parametrize("cls", TYPES)
def test_fields_of_a_newer_peer_are_dropped(cls):
    @settings(relaxed, max_examples=10)
    @given(instances(cls))
    def check(value):
        message = MESSAGES[cls].FromString(to_proto(value).SerializeToString() + UNKNOWN_FIELDS)
        assert message.ByteSize() > to_proto(value).ByteSize(), "the unknown fields were not there to be dropped"
        assert from_proto(cls, message) == value
        assert from_json(cls, {**to_json(value), "invented_tomorrow": {"deep": [1]}}) == value

    check()


@pytest.mark.parametrize("cls", TYPES)
def test_an_empty_message_of_another_peer_is_read(cls):
    value = from_proto(cls, MESSAGES[cls]())
    assert isinstance(value, cls)
    for name, hint in hints(cls).items():
        if optional(hint):
            assert getattr(value, name) is None


@pytest.mark.parametrize("cls", TYPES)
def test_json_without_the_defaulted_fields_is_read(cls):
    @settings(relaxed, max_examples=5)
    @given(instances(cls))
    def check(value):
        needed = {
            field.name
            for field in dataclasses.fields(cls)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        data = to_json(value)
        read = from_json(cls, {name: data[name] for name in needed})
        assert all(getattr(read, name) == getattr(value, name) for name in needed)
        for name in needed:
            with pytest.raises(KeyError):
                from_json(cls, {key: item for key, item in data.items() if key != name})

    check()


@pytest.mark.parametrize("number", [99, 2**31 - 1, -1, -(2**31)])
@pytest.mark.parametrize("enum", [Stage, TrialState, TrialOutcome])
def test_an_enum_number_of_a_newer_peer_is_unknown(enum, number):
    assert enum_from_proto(enum, number) is enum.UNKNOWN


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_a_result_with_any_enum_numbers_is_read(outcome, stage):
    sent = trial_pb2.TrialResult(trial_id="t")
    sent.outcome, sent.stage = outcome, stage  # type: ignore[assignment] - any number may come over the wire
    result = from_proto(TrialResult, trial_pb2.TrialResult.FromString(sent.SerializeToString()))
    assert isinstance(result.outcome, TrialOutcome)
    assert isinstance(result.stage, Stage)
    assert from_json(TrialResult, {"trial_id": "t", "outcome": "exploded", "stage": "orbit"}).stage is Stage.UNKNOWN
