"""A cell that ends is told by the rules at once: what is announced and stored has the rule's cause."""

from __future__ import annotations

import pytest
from edgesweep.failures.rules import NO_RULES, Rule, RuleBook
from edgesweep.store.records import Outcome
from edgesweep.store.store import Store
from edgesweep.store.writer import StoreWriter
from edgesweep.sweep.ledger import Ledger

from tests.unit.failures.conftest import HASH, RUN


@pytest.mark.parametrize(
    ("rules", "outcome", "cause", "rule"),
    [
        (NO_RULES, Outcome.FAILED, "unknown", ""),
        (RuleBook((Rule("unsupported_op", hash=HASH),)), Outcome.FAILED, "unsupported_op", f"hash {HASH[:12]}"),
        (RuleBook((Rule("interrupted", pattern="frob", stable=False),)), Outcome.LOST, "interrupted", "pattern frob"),
    ],
)
async def test_an_end_is_stored_and_announced_as_the_rules_tell_it(home, view, rules, outcome, cause, rule) -> None:
    first = view.cells[0]
    told: list = []
    with Store.open(home.store_url, home.samples) as store:
        store.create_run(RUN, [record.cell for record in view.cells])
        writer = StoreWriter(store)
        try:
            ledger = Ledger(
                RUN.id,
                [record.cell for record in view.cells],
                store,
                writer,
                told.append,
                trials={first.cell.name: first.trials},
                rules=rules,
            )
            await ledger.end([first.end, view.cells[2].end])
        finally:
            await writer.close()
        stored = store.load_run(RUN.id)
    for place in (0, 2):
        end = stored.cells[place].end
        assert (end.outcome, end.cause, end.rule) == (outcome, cause, rule), "one shares the measurement of the other"
    assert [(event.outcome, event.cause) for event in told] == [(outcome.value, cause)] * 2


@pytest.mark.parametrize(("stable", "attempt"), [(True, None), (False, 1)])
async def test_only_what_a_rule_calls_trouble_of_the_lab_is_tried_again(home, view, stable, attempt) -> None:
    first = view.cells[0]
    with Store.open(home.store_url, home.samples) as store:
        writer = StoreWriter(store)
        try:
            rules = RuleBook((Rule("local:frob", hash=HASH, text="loose", remedy="fasten it", stable=stable),))
            trials = {first.cell.name: first.trials}
            ledger = Ledger(RUN.id, [first.cell], store, writer, lambda _: None, trials=trials, rules=rules)
            assert ledger.history(first.cell.name).next_attempt(0) == attempt
        finally:
            await writer.close()
