"""Blobs: verified before they count, resumable, and never half there."""

from __future__ import annotations

import errno
import hashlib
import resource
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from edgesweep_agent.artifacts import BlobStore
from edgesweep_agent.faults import Fault
from edgesweep_proto.blob import Blob
from hypothesis import given
from hypothesis import strategies as st

CONTENT = bytes(range(256)) * 1000
BLOB = Blob(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


async def chunks(parts: Iterable[bytes | Exception]) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


def allowed() -> None:
    return None


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", max_blob_bytes=1 << 20)


def files(store: BlobStore) -> list[str]:
    return sorted(path.name for path in store._folder.rglob("*") if path.is_file())


async def test_a_blob_arrives_under_its_digest(store: BlobStore) -> None:
    assert store.missing([BLOB, BLOB]) == [(BLOB, 0)]
    received = await store.receive(BLOB, 0, chunks([CONTENT[:1000], b"", CONTENT[1000:]]), still_allowed=allowed)
    assert received == len(CONTENT)
    assert store.path(BLOB.sha256).read_bytes() == CONTENT
    assert store.missing([BLOB]) == []
    assert files(store) == [BLOB.sha256]


async def test_an_interrupted_upload_goes_on_where_it_ended(store: BlobStore) -> None:
    with pytest.raises(ConnectionError):
        await store.receive(BLOB, 0, chunks([CONTENT[:5000], ConnectionError()]), still_allowed=allowed)
    assert store.missing([BLOB]) == [(BLOB, 5000)]
    received = await store.receive(BLOB, 5000, chunks([CONTENT[5000:]]), still_allowed=allowed)
    assert received == len(CONTENT) - 5000
    assert store.has(BLOB)


async def test_an_upload_that_ends_early_keeps_its_part(store: BlobStore) -> None:
    with pytest.raises(Fault, match="go on from there") as early:
        await store.receive(BLOB, 0, chunks([CONTENT[:7]]), still_allowed=allowed)
    assert early.value.code == "offset_mismatch"
    assert store.offset(BLOB) == 7


async def test_an_offset_that_does_not_fit_is_refused_and_zero_starts_anew(store: BlobStore) -> None:
    with pytest.raises(Fault):
        await store.receive(BLOB, 0, chunks([b"wrong"]), still_allowed=allowed)
    for offset in (3, 6, len(CONTENT)):
        with pytest.raises(Fault) as refused:
            await store.receive(BLOB, offset, chunks([]), still_allowed=allowed)
        assert refused.value.code == "offset_mismatch"
    await store.receive(BLOB, 0, chunks([CONTENT]), still_allowed=allowed)
    assert store.has(BLOB)


async def test_wrong_bytes_leave_nothing_behind(store: BlobStore) -> None:
    with pytest.raises(Fault, match="hash to") as wrong:
        await store.receive(BLOB, 0, chunks([CONTENT[:-1] + b"!"]), still_allowed=allowed)
    assert wrong.value.code == "digest_mismatch"
    assert files(store) == []


async def test_a_part_that_rotted_on_the_disk_is_found_out(store: BlobStore) -> None:
    with pytest.raises(Fault):
        await store.receive(BLOB, 0, chunks([CONTENT[:100]]), still_allowed=allowed)
    part = next(store._folder.rglob("*.part"))
    part.write_bytes(b"?" * 100)
    with pytest.raises(Fault) as wrong:
        await store.receive(BLOB, 100, chunks([CONTENT[100:]]), still_allowed=allowed)
    assert wrong.value.code == "digest_mismatch"
    assert files(store) == []


async def test_more_bytes_than_announced_are_refused(store: BlobStore) -> None:
    with pytest.raises(Fault, match="more bytes") as wrong:
        await store.receive(BLOB, 0, chunks([CONTENT, b"x"]), still_allowed=allowed)
    assert wrong.value.code == "digest_mismatch"
    assert files(store) == []


async def test_a_lease_lost_on_the_way_keeps_the_blob_out_but_its_part(store: BlobStore) -> None:
    def lost() -> None:
        raise Fault("lease_lost", "gone")

    with pytest.raises(Fault, match="gone"):
        await store.receive(BLOB, 0, chunks([CONTENT]), still_allowed=lost)
    assert not store.has(BLOB)
    assert store.offset(BLOB) == len(CONTENT)
    await store.receive(BLOB, len(CONTENT), chunks([]), still_allowed=allowed)
    assert store.has(BLOB)


async def test_a_newer_upload_of_the_same_blob_takes_over(store: BlobStore) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[:10]
        # The client lost its link, came back and pushed the rest while the agent still waited here.
        await store.receive(BLOB, 10, chunks([CONTENT[10:]]), still_allowed=allowed)
        yield CONTENT[10:]

    with pytest.raises(Fault, match="taken over"):
        await store.receive(BLOB, 0, slow(), still_allowed=allowed)
    assert store.path(BLOB.sha256).read_bytes() == CONTENT


async def test_a_blob_too_large_for_the_settings_is_refused(tmp_path: Path) -> None:
    small = BlobStore(tmp_path / "small", max_blob_bytes=10)
    with pytest.raises(Fault, match="--max-blob-bytes") as refused:
        await small.receive(BLOB, 0, chunks([CONTENT]), still_allowed=allowed)
    assert refused.value.code == "invalid_request"


async def test_a_blob_larger_than_the_disk_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", max_blob_bytes=1 << 62)
    with pytest.raises(Fault, match="are free") as refused:
        await store.receive(Blob(BLOB.sha256, 1 << 60), 0, chunks([]), still_allowed=allowed)
    assert refused.value.code == "disk_full"
    assert files(store) == []


async def test_a_disk_that_fills_on_the_way_is_told_and_the_part_stays_resumable(store: BlobStore) -> None:
    """The kernel refuses bytes beyond the limit of a file's size in the middle of a write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Fault, match="no room") as full:
            await store.receive(BLOB, 0, chunks([CONTENT[:60_000], CONTENT[60_000:]]), still_allowed=allowed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert full.value.code == "disk_full"
    assert isinstance(full.value.__cause__, OSError)
    assert full.value.__cause__.errno == errno.EFBIG
    assert files(store) == [BLOB.sha256 + ".part"]
    offset = store.offset(BLOB)
    assert offset == 100_000
    await store.receive(BLOB, offset, chunks([CONTENT[offset:]]), still_allowed=allowed)
    assert store.path(BLOB.sha256).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "g" * 64])
def test_nothing_but_a_digest_names_a_file(store: BlobStore, name: str) -> None:
    for call in (store.path, lambda text: store.missing([Blob(text, 1)]), lambda text: store.remove([text])):
        with pytest.raises(Fault) as refused:
            call(name)
        assert refused.value.code == "invalid_request"


async def test_removal_frees_blobs_and_parts(store: BlobStore) -> None:
    await store.receive(BLOB, 0, chunks([CONTENT]), still_allowed=allowed)
    part = store.path("f" * 64)
    part.parent.mkdir()
    part.with_name("f" * 64 + ".part").write_bytes(b"12345")
    assert store.remove([BLOB.sha256, "f" * 64, "e" * 64]) == len(CONTENT) + 5
    assert files(store) == []


async def test_a_blob_that_is_here_is_not_taken_again(store: BlobStore) -> None:
    await store.receive(BLOB, 0, chunks([CONTENT]), still_allowed=allowed)
    assert await store.receive(BLOB, 0, chunks([AssertionError()]), still_allowed=allowed) == 0  # type: ignore[list-item]


@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=6))
def test_any_cutting_into_uploads_gives_the_same_blob(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    import asyncio

    async def push() -> None:
        store = BlobStore(tmp_path_factory.mktemp("cut") / "blobs")
        at = 0
        for cut in sorted(cuts):
            if cut < len(CONTENT):
                with pytest.raises(Fault):
                    await store.receive(BLOB, at, chunks([CONTENT[at:cut]]), still_allowed=allowed)
                at = store.offset(BLOB)
                assert at == cut
        await store.receive(BLOB, at, chunks([CONTENT[at:]]), still_allowed=allowed)
        assert store.path(BLOB.sha256).read_bytes() == CONTENT

    asyncio.run(push())
