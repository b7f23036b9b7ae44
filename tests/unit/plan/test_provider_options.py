"""Options of a chain: what names a thing on the board is refused, what nobody knows is pointed at and passed on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.plan.load import LoadedPlan
from edgesweep.plan.provider_options import unknown_options
from edgesweep_worker.providers import SHORT_NAMES, all_facts

Read = Callable[[str], LoadedPlan]

PLAN = "version: 1\nmodels: [{zoo: mobile-cnn}]\n"


def with_options(name: str, options: str) -> str:
    return f"{PLAN}providers: [{{chain: {name}, options: {{{name}: {options}}}}}]\n"


def test_an_option_that_nobody_knows_is_pointed_at_and_kept(read: Read) -> None:
    plan = read(with_options("tensorrt", "{trt_fp16_enabel: '1', max_workspace: '2', trt_int8_enable: '1'}")).plan
    assert unknown_options(plan) == [
        "providers[0]: tensorrt is not known to have an option 'trt_fp16_enabel': did you mean 'trt_fp16_enable'?",
        "providers[0]: tensorrt is not known to have an option 'max_workspace': did you mean 'trt_max_workspace_size'?",
    ]
    assert list(plan.providers[0].options["tensorrt"]) == ["trt_fp16_enabel", "max_workspace", "trt_int8_enable"]


def test_of_a_provider_that_nobody_knows_every_option_passes(read: Read) -> None:
    assert unknown_options(read(with_options("FutureExecutionProvider", "{speed: ludicrous}")).plan) == []


def test_without_options_there_is_nothing_to_say(read: Read) -> None:
    assert unknown_options(read(PLAN).plan) == []
    assert unknown_options(read(PLAN + "providers: [cpu, cuda]\n").plan) == []


@pytest.mark.parametrize(
    ("name", "option"),
    [(facts.short, option) for facts in all_facts() for option in sorted(facts.local_options)],
)
def test_no_plan_names_a_file_or_an_address_on_a_board(read: Read, name: str, option: str) -> None:
    with pytest.raises(EdgesweepError, match=f"the option '{option}' of {name} names something on the board"):
        read(with_options(name, f"{{{option}: x}}"))


@pytest.mark.parametrize("name", [*SHORT_NAMES, "FutureExecutionProvider"])
def test_no_plan_gives_a_path_to_a_provider_either(read: Read, name: str) -> None:
    with pytest.raises(EdgesweepError, match=r"the option 'library' of .* is a path"):
        read(with_options(name, "{library: /tmp/evil.so}"))
