"""The lease: one holder, numbers that only grow, and time that a wall clock cannot bend."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from edgesweep_agent.faults import Fault
from edgesweep_agent.leases import LeaseBook
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> LeaseBook:
    return LeaseBook(tmp_path / "lease.json", now=clock, boot=lambda: "boot-1")


def test_a_second_owner_is_told_who_holds_it_and_for_how_long(book: LeaseBook) -> None:
    book.acquire("anna@lab", "anna", ttl_s=60, purpose="nightly")
    with pytest.raises(Fault, match=r"anna@lab holds the device for nightly for another 60 s") as refused:
        book.acquire("ben@lab", "ben", ttl_s=60)
    assert refused.value.code == "lease_held"


def test_an_expired_lease_is_free_for_others_and_dead_for_its_holder(book: LeaseBook, clock: Clock) -> None:
    lease, _ = book.acquire("anna", "anna", ttl_s=60)
    clock.time += 60
    assert book.current() == ()
    assert not book.holds(lease.fencing_number)
    with pytest.raises(Fault, match="expired"):
        book.renew(lease.fencing_number, "anna", ttl_s=60)
    other, superseded = book.acquire("ben", "ben", ttl_s=60)
    assert other.fencing_number > lease.fencing_number
    assert superseded is None


def test_a_higher_priority_takes_the_lease_and_an_equal_one_does_not(book: LeaseBook) -> None:
    low, _ = book.acquire("anna", "anna", ttl_s=60, priority=1)
    with pytest.raises(Fault):
        book.acquire("ben", "ben", ttl_s=60, priority=1)
    high, _ = book.acquire("ben", "ben", ttl_s=60, priority=2)
    with pytest.raises(Fault) as lost:
        book.check(low.fencing_number, "anna")
    assert lost.value.code == "lease_lost"
    book.check(high.fencing_number, "ben")


def test_the_number_alone_opens_nothing(book: LeaseBook) -> None:
    lease, _ = book.acquire("anna", "anna", ttl_s=60)
    for call in (book.check, book.release):
        with pytest.raises(Fault, match="belongs to anna"):
            call(lease.fencing_number, "ben")
    with pytest.raises(Fault, match="belongs to anna"):
        book.renew(lease.fencing_number, "ben", ttl_s=60)


def test_a_holder_who_comes_back_supersedes_itself(book: LeaseBook) -> None:
    first, _ = book.acquire("anna", "anna", ttl_s=60)
    second, superseded = book.acquire("anna", "anna", ttl_s=60)
    assert superseded == first.fencing_number
    assert not book.holds(first.fencing_number)
    assert book.holds(second.fencing_number)


def test_a_lease_survives_the_agent_but_not_the_boot(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "lease.json"
    lease, _ = LeaseBook(path, now=clock, boot=lambda: "boot-1").acquire("anna", "anna", ttl_s=60)
    again = LeaseBook(path, now=clock, boot=lambda: "boot-1")
    assert again.holds(lease.fencing_number)
    assert again.renew(lease.fencing_number, "anna", ttl_s=90).expires_in_s == 90
    rebooted = LeaseBook(path, now=clock, boot=lambda: "boot-2")
    assert rebooted.current() == ()
    assert rebooted.acquire("ben", "ben", ttl_s=1)[0].fencing_number > lease.fencing_number


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"last": "many"}', b'{"last": 3, "held": {"owner": 1}, "boot_id": "boot-1"}']
)
def test_a_corrupt_file_is_set_aside_and_numbers_still_grow(tmp_path: Path, clock: Clock, content: bytes) -> None:
    path = tmp_path / "lease.json"
    path.write_bytes(content)
    lease, _ = LeaseBook(path, now=clock, boot=lambda: "boot-1").acquire("anna", "anna", ttl_s=60)
    assert lease.fencing_number > 3
    assert path.with_suffix(".corrupt").read_bytes() == content


@given(ttl=st.floats().filter(lambda ttl: not 0 < ttl <= 24 * 3600))
def test_a_senseless_ttl_is_refused(ttl: float) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.raises(Fault) as refused:
        LeaseBook(Path(folder) / "lease.json").acquire("anna", "anna", ttl_s=ttl)
    assert refused.value.code == "invalid_request"


def test_an_owner_is_needed(book: LeaseBook) -> None:
    with pytest.raises(Fault, match="needs an owner"):
        book.acquire("", "anna", ttl_s=1)


class Leases(RuleBasedStateMachine):
    """Any order of calls, crashes and reboots: at most one living lease, and no number twice."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.boot = 0
        self.numbers: list[int] = []
        self.open()

    def open(self) -> None:
        path = Path(self.folder.name) / "lease.json"
        self.book = LeaseBook(path, now=self.clock, boot=lambda: str(self.boot))

    @rule(who=st.sampled_from("ab"), ttl=st.integers(1, 5), priority=st.integers(0, 2))
    def acquire(self, who: str, ttl: int, priority: int) -> None:
        held = self.book.current()
        try:
            lease, _ = self.book.acquire(who, who, ttl_s=ttl, priority=priority)
        except Fault as refused:
            assert refused.code == "lease_held"  # noqa: PT017 - both endings are right, each in its place
            assert held
            assert held[0].owner != who
            assert held[0].priority >= priority
        else:
            self.numbers.append(lease.fencing_number)

    @rule(who=st.sampled_from("ab"), back=st.integers(1, 3), ttl=st.integers(1, 5))
    def renew(self, who: str, back: int, ttl: int) -> None:
        number = self.numbers[-back] if len(self.numbers) >= back else 0
        alive = self.book.holds(number)
        try:
            self.book.renew(number, who, ttl_s=ttl)
        except Fault as refused:
            assert refused.code == "lease_lost"  # noqa: PT017 - both endings are right, each in its place
        else:
            assert alive

    @rule(who=st.sampled_from("ab"))
    def release(self, who: str) -> None:
        for lease in self.book.current():
            try:
                self.book.release(lease.fencing_number, who)
            except Fault:
                assert lease.owner != who
            else:
                assert self.book.current() == ()

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds: int) -> None:
        self.clock.time += seconds

    @rule()
    def restart(self) -> None:
        before = [(lease.fencing_number, lease.owner) for lease in self.book.current()]
        self.open()
        assert [(lease.fencing_number, lease.owner) for lease in self.book.current()] == before

    @rule()
    def reboot(self) -> None:
        self.boot += 1
        self.clock.time = 1.0
        self.open()
        assert self.book.current() == ()

    @invariant()
    def numbers_only_grow(self) -> None:
        assert self.numbers == sorted(set(self.numbers))

    @invariant()
    def only_the_newest_lives(self) -> None:
        assert not any(self.book.holds(number) for number in self.numbers[:-1])

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestLeases = Leases.TestCase
# Every step writes a file and waits for the disk.
TestLeases.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
