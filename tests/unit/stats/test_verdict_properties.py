"""Whatever a board or a newer peer tells, a verdict comes out, and every reason says what to do."""

from __future__ import annotations

from edgesweep.stats.facts import TrialFacts
from edgesweep.stats.modes import Mode
from edgesweep.stats.series import Course, Series
from edgesweep.stats.verdict import Verdict, judge
from edgesweep_proto.device import Reading
from edgesweep_proto.evidence import DeviceTrace, Gate, ThreadFacts
from edgesweep_proto.trial import Accounting, Protocol, SessionFacts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: What a counter or a sensor may say: mostly sense, now and then none.
NUMBERS = st.one_of(st.floats(0, 10), st.sampled_from([0.0, -1.0, 1e12, float("inf"), float("nan")]))
MAYBE = st.none() | NUMBERS
COUNTS = st.integers(0, 10**9)
WORDS = st.text(max_size=6)
POLICIES = st.sampled_from(["policy0", "policy4", "policy", "cpu0", "policy²", "other-policy1"])
CLOCKS = st.dictionaries(POLICIES, NUMBERS, max_size=3)
TAGS = st.sampled_from(
    [
        "busy_host",
        "hot_start",
        "not_pinned",
        "call_fallback",
        "no_steady_state",
        "shared_host",
        "emulated",
        "partial",
        "threads_started:3",
        "threads_started:",
        "threads_started:many",
        "all_nan:y",
        "all_nan:",
    ]
)
CPUS = st.lists(st.integers(0, 7), max_size=3).map(tuple)
MODES = st.just(()) | st.tuples(st.builds(Mode, st.floats(1e-9, 10), st.floats(0, 1)), st.just(Mode(1.0, 0.5)))
READINGS = st.builds(
    Reading,
    NUMBERS,
    frequencies_hz=CLOCKS,
    governors=st.dictionaries(POLICIES, st.sampled_from(["performance", "ondemand"])),
    throttle=st.lists(WORDS, max_size=2).map(tuple),
)
TRIALS = st.builds(
    TrialFacts,
    n=st.integers(0, 20_000),
    accounting=st.none()
    | st.builds(Accounting, NUMBERS, NUMBERS, MAYBE, COUNTS, COUNTS, COUNTS, COUNTS, MAYBE, MAYBE, MAYBE, st.none() | COUNTS),
    stop_reason=st.sampled_from(["interval_met", "max_duration", "max_inferences", "new_reason", ""]),
    before=st.none() | READINGS,
    after=st.none() | READINGS,
    tags=st.lists(TAGS, max_size=4).map(tuple),
    median_s=st.none() | st.floats(0, 10),
    batch=st.integers(1, 1000),
    half_width=st.none() | st.floats(0, 10),
    late=COUNTS,
    protocol=st.builds(
        Protocol, min_inferences=st.integers(1, 1000), target_half_width=st.floats(0, 1), period_s=st.floats(0, 10)
    ),
    threads_asked=st.integers(1, 8),
    session=st.none()
    | st.builds(SessionFacts, WORDS, st.just(("CPUExecutionProvider",)), COUNTS, WORDS, WORDS, WORDS, MAYBE),
    threads=st.none() | st.builds(ThreadFacts, CPUS, CPUS, st.lists(WORDS, max_size=2).map(tuple), st.booleans(), WORDS),
    gates=st.lists(
        st.builds(Gate, st.sampled_from(["idle", "thermal", "new"]), st.booleans(), NUMBERS, MAYBE, MAYBE, WORDS), max_size=3
    ).map(tuple),
    trace=st.none()
    | st.builds(
        DeviceTrace, COUNTS, NUMBERS, NUMBERS, CLOCKS, CLOCKS, CLOCKS, throttle=st.lists(WORDS, max_size=2).map(tuple),
        changes=st.lists(WORDS, max_size=2).map(tuple), sampler_cpu_s=NUMBERS, agent_cpu_s=NUMBERS,
    ),
    harness_floor_s=MAYBE,
    series=st.builds(
        Series, st.none() | st.sampled_from(Course), st.integers(0, 100), st.none() | st.floats(-1, 10), MODES, MAYBE
    ),
)  # fmt: skip


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(TRIALS, max_size=5), st.integers(1, 5))
def test_every_reason_has_a_name_and_a_remedy(trials, planned):
    verdict, reasons = judge(trials, planned=planned)
    assert (verdict is Verdict.TRUSTED) == (not reasons)
    assert len(set(reasons)) == len(reasons)
    for reason in reasons:
        name, colon, _ = reason.partition(": ")
        assert colon
        assert len(name) < 40
        assert reason.rpartition("; ")[2]
        assert "; " in reason
