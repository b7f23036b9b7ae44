from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.transfer import CHUNK_BYTES
from edgesweep_proto.blob import Blob

SIZE = 3 * CHUNK_BYTES + 12_345


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blobs").mkdir()
    return tmp_path / "blobs"


def keep(folder: Path, content: bytes) -> Blob:
    digest = hashlib.sha256(content).hexdigest()
    (folder / digest).write_bytes(content)
    return Blob(digest, len(content))


@pytest.fixture
def big(folder) -> Blob:
    return keep(folder, bytes(range(256)) * (SIZE // 256) + b"!" * (SIZE % 256))


async def test_only_what_is_missing_is_sent_once_and_in_chunks(client, board, folder, big):
    small, empty = keep(folder, b"abc"), keep(folder, b"")
    board.artifacts.whole[small.sha256] = b"abc"
    seen = []
    sent = await client.push(
        [big, small, big, empty], folder.joinpath, 7, on_sent=lambda blob, at: seen.append((blob, at))
    )
    assert sent == SIZE
    assert board.artifacts.whole[big.sha256] == (folder / big.sha256).read_bytes()
    assert board.artifacts.whole[empty.sha256] == b""
    assert board.artifacts.chunk_sizes == [CHUNK_BYTES] * 3 + [SIZE - 3 * CHUNK_BYTES]
    assert [(header.offset, header.fencing_number) for header in board.artifacts.headers] == [(0, 7), (0, 7)]
    assert seen == [(big, position) for position in (CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES, SIZE)]
    assert await client.push([big, small], folder.joinpath, 7) == 0


async def test_a_partial_copy_is_completed(client, board, folder, big):
    content = (folder / big.sha256).read_bytes()
    board.artifacts.partial[big.sha256] = bytearray(content[:2_000_000])
    assert await client.push([big], folder.joinpath, 7) == SIZE - 2_000_000
    assert board.artifacts.whole[big.sha256] == content


async def test_a_cut_stream_goes_on_from_where_the_device_is(client, board, folder, big):
    board.artifacts.cuts = [1_500_000, 2_500_001, 3_000_000]
    await client.push([big], folder.joinpath, 7)
    assert [header.offset for header in board.artifacts.headers] == [0, 1_500_000, 2_500_001, 3_000_000]
    assert board.artifacts.whole[big.sha256] == (folder / big.sha256).read_bytes()


async def test_streams_that_bring_nothing_across_end_the_push(client, board, folder, big):
    board.artifacts.cuts = [0] * 10
    with pytest.raises(EdgesweepError, match=r"the link broke|reason was lost") as caught:
        await client.push([big], folder.joinpath, 7)
    assert caught.value.code == "unreachable"
    assert len(board.artifacts.headers) == 3


async def test_a_measuring_device_is_waited_for(client, board, folder, big):
    board.artifacts.busy = 5
    assert await client.push([big], folder.joinpath, 7) >= SIZE
    assert len(board.artifacts.headers) == 6


async def test_an_earlier_bad_copy_is_replaced_once(client, board, folder, big):
    board.artifacts.partial[big.sha256] = bytearray(b"x" * 1000)
    await client.push([big], folder.joinpath, 7)
    assert [header.offset for header in board.artifacts.headers] == [1000, 0]
    assert board.artifacts.whole[big.sha256] == (folder / big.sha256).read_bytes()


async def test_bytes_that_are_not_the_named_ones_are_told(client, board, folder, big):
    path = folder / big.sha256
    path.write_bytes(b"y" + path.read_bytes()[1:])
    with pytest.raises(EdgesweepError, match="other bytes arrived") as caught:
        await client.push([big], folder.joinpath, 7)
    assert caught.value.code == "digest_mismatch"
    assert len(board.artifacts.headers) == 2


@pytest.mark.parametrize("code", ["disk_full", "lease_lost", "not_authorised"])
async def test_what_another_try_cannot_mend_is_told_at_once(client, board, folder, big, code):
    board.artifacts.code = code
    with pytest.raises(EdgesweepError, match=f"no upload: {code}") as caught:
        await client.push([big], folder.joinpath, 7)
    assert caught.value.code == code
    # grpc.aio may lose the first refusal while a chunk is being written; the second try holds after its header.
    assert len(board.artifacts.headers) <= 2


async def test_a_local_file_that_is_gone_or_cut_is_told_before_anything_is_sent(client, board, folder, big):
    cut = Blob(big.sha256, SIZE + 1)
    with pytest.raises(EdgesweepError, match=f"has {SIZE} bytes instead of {SIZE + 1}"):
        await client.push([cut], folder.joinpath, 7)
    with pytest.raises(EdgesweepError, match=r"cannot be read: .*No such file") as caught:
        await client.push([big, Blob("a" * 64, 3)], folder.joinpath, 7)
    assert caught.value.code == "upload_failed"
    with pytest.raises(EdgesweepError, match="is not a SHA-256 digest"):
        await client.push([Blob("../../etc/passwd", 3)], folder.joinpath, 7)
    assert board.artifacts.headers == []
