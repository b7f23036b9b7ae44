"""What the kernel says of the measured part: waiting for a CPU, other work, memory that was not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edgesweep_proto.trial import Accounting

from edgesweep.stats.facts import Finding, TrialFacts, Verdict, doubt

#: Share of the wall time that the worker waited for a CPU, or a hypervisor kept one: clean up to the first, useless
#: beyond the second.
CLEAN_SHARE = 0.01
USELESS_SHARE = 0.05
#: Cores that other processes may use meanwhile: an idle system uses some hundredths of one.
FOREIGN_CORES = 0.25
#: Share of the wall time in which any task of the machine waited for a CPU. Our own threads make others wait as well.
PRESSURE = 0.10
#: Involuntary switches a second that count as a crowded CPU where the kernel tells no run-queue wait.
SWITCHES_PER_S = 50.0
#: Major faults per sample that cannot be the odd stray page, and pages back from swap that cannot be another's.
FAULTS_PER_SAMPLE = 0.01
SWAPPED_PAGES = 32
#: The samples of a trial may last longer than its wall time by so much: clocks are read at two places.
CLOCK_SLACK = 1.05


def runqueue_share(accounting: Accounting | None) -> float | None:
    """The share (0 to 1) of the measured wall time in which the worker waited for a CPU; None when not known.

    Threads that wait at the same time add up, to the whole of the time at most.
    """
    share = _per_wall(accounting, lambda account: account.runqueue_wait_s)
    return None if share is None else min(1.0, share)


def foreign_cores(accounting: Accounting | None) -> float | None:
    """How many cores everything else on the machine used meanwhile; None when not known."""
    return _per_wall(accounting, lambda account: account.foreign_cpu_s)


def steal_share(accounting: Accounting | None) -> float | None:
    """CPU time that a hypervisor took, over the wall time; None when not known."""
    return _per_wall(accounting, lambda account: account.steal_s)


def pressure_share(accounting: Accounting | None) -> float | None:
    """The share (0 to 1) of the wall time in which some task of the machine waited for a CPU; None when not known.

    The kernel brings its count up to date now and then, so that a short trial may be told some time from before it.
    """
    share = _per_wall(accounting, lambda account: account.pressure_s)
    return None if share is None else min(1.0, share)


def is_crowded(trial: TrialFacts) -> bool:
    """Whether the trial waited so much for a CPU that its times say nothing of the model."""
    shares = (runqueue_share(trial.accounting), steal_share(trial.accounting))
    return any(share is not None and share > USELESS_SHARE for share in shares)


def from_waiting(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """The worker waited for a CPU, or the machine under it was taken away."""
    waits = _shares(trials, runqueue_share)
    yield from _share_finding(
        waits,
        trials,
        "noisy: the worker waited for a CPU {worst:.1%} of the time (clean up to {clean:.0%}); "
        "stop other work on the device and repeat the run",
    )
    yield from _share_finding(
        _shares(trials, steal_share),
        trials,
        "stolen: the hypervisor took the CPU for {worst:.1%} of the time (clean up to {clean:.0%}); "
        "measure on a machine of its own",
    )
    rates = [
        trial.accounting.involuntary_switches / trial.accounting.wall_s
        for trial in trials
        if trial.accounting is not None and trial.accounting.wall_s > 0 and trial.accounting.runqueue_wait_s is None
    ]
    if rates and max(rates) > SWITCHES_PER_S:
        yield doubt(f"interrupted: {max(rates):.0f} involuntary switches a second; stop other work on the device")


def from_others(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """Other work used the machine, even where it left the worker's own cores alone."""
    foreign = _shares(trials, foreign_cores)
    if foreign and max(foreign) > FOREIGN_CORES:
        yield doubt(
            f"other work: it used {max(foreign):.2f} cores meanwhile ({FOREIGN_CORES:g} at most); "
            "stop it, for it shares memory, caches and heat"
        )
    pressed = _shares(trials, pressure_share)
    if pressed and max(pressed) > PRESSURE:
        yield doubt(
            f"crowded: some task waited for a CPU {max(pressed):.0%} of the time ({PRESSURE:.0%} at most); "
            "stop other work on the device, or leave it a core"
        )


def from_memory(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """Pages came from the disk while it measured."""
    known = [(trial.accounting, trial.n) for trial in trials if trial.accounting is not None]
    faults = max(
        (account.major_faults for account, n in known if account.major_faults > FAULTS_PER_SAMPLE * n), default=0
    )
    if faults:
        yield doubt(
            f"memory pressure: {faults} page faults went to the disk while it measured; free memory on the device"
        )
    swapped = max((account.swapped_in_pages or 0 for account, _ in known), default=0)
    if swapped > SWAPPED_PAGES:
        yield doubt(f"swapping: {swapped} pages came back from swap while it measured; free memory on the device")


def from_gaps(trials: Sequence[TrialFacts]) -> Iterable[Finding]:
    """The kernel's account is not there, or contradicts itself: nobody knows what else went on."""
    measured = [trial for trial in trials if trial.n]
    missing = sum(trial.accounting is None for trial in measured)
    if missing:
        yield doubt(
            f"no kernel accounting: {missing} of {len(trials)} trials have none, so what disturbed them is unknown; "
            "give the agent a readable /proc"
        )
    wrong = sum(_contradicts(trial) for trial in measured)
    if wrong:
        yield doubt(
            f"noisy kernel accounting: the counters of {wrong} of {len(trials)} trials contradict their samples; "
            "check the clock source of the device"
        )


def _contradicts(trial: TrialFacts) -> bool:
    account = trial.accounting
    if account is None:
        return False
    counts = (account.cpu_s, account.runqueue_wait_s or 0.0, account.steal_s or 0.0, account.foreign_cpu_s or 0.0)
    if account.wall_s <= 0 or min(counts) < 0:
        return True
    # Half of the samples last the median or longer, so all of them last half of this at least.
    least = (trial.median_s or 0.0) * trial.batch * trial.n / 2
    return least > CLOCK_SLACK * account.wall_s * max(1, trial.protocol.concurrency)


def _per_wall(account: Accounting | None, figure: Callable[[Accounting], float | None]) -> float | None:
    if account is None or account.wall_s <= 0:
        return None
    value = figure(account)
    return None if value is None else value / account.wall_s


def _shares(trials: Sequence[TrialFacts], share_of: Callable[[Accounting | None], float | None]) -> list[float]:
    return [share for trial in trials if (share := share_of(trial.accounting)) is not None]


def _share_finding(shares: Sequence[float], trials: Sequence[TrialFacts], sentence: str) -> Iterable[Finding]:
    if not shares or max(shares) <= CLEAN_SHARE:
        return
    useless = sum(share > USELESS_SHARE for share in shares)
    # The median over processes outlives a noisy minority of them.
    verdict = Verdict.INVALID if 2 * useless >= len(trials) else Verdict.DOUBTFUL
    yield Finding(verdict, sentence.format(worst=max(shares), clean=CLEAN_SHARE))
