"""Which of an agent's runtimes is the one that was installed: told by its folder, or found out."""

from __future__ import annotations

from dataclasses import replace

from edgesweep.fleet.provision.service import Outcome
from edgesweep.fleet.provision.visit import _seen
from edgesweep.fleet.provision.wanted import parse_wanted
from edgesweep_proto.device import Runtime

OWN = Runtime("1.32.0", "", "1.32.0", "", "3.11.7", "2.1", (), ())
MADE = replace(OWN, installed_as="1.32.0")
NEW = Outcome(parse_wanted("1.32.0"), "installed", "1.32.0", "/s/runtimes/1.32.0", "", "1.32.0", "3.11.7")
OLD = replace(NEW, state="present")


def test_the_folder_tells_it() -> None:
    renamed = replace(OWN, id="1.32.0@py311")
    assert _seen(NEW, (OWN,), (MADE, renamed)) == MADE
    assert _seen(OLD, (MADE, renamed), (MADE, renamed)) == MADE
    broken = replace(MADE, id="broken-1", version="", fault="no libcudart.so.12")
    assert _seen(NEW, (OWN,), (OWN, broken)) == broken


def test_one_of_that_name_that_was_there_before_is_another() -> None:
    assert _seen(NEW, (MADE,), (MADE,)) is None


def test_an_agent_that_tells_no_folders_must_have_one_more() -> None:
    assert _seen(NEW, (OWN,), (OWN,)) is None
    assert _seen(NEW, (), ()) is None
    second = replace(OWN, id="1.32.0@py311")
    assert _seen(NEW, (OWN,), (OWN, second)) == second
    assert _seen(OLD, (OWN,), (OWN,)) == OWN
    assert _seen(NEW, (), (replace(OWN, python_version="3.12.1"), replace(OWN, flavour="gpu"))) is None
