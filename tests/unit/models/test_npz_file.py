from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from edgesweep.models import npz_file
from edgesweep.models.npz_file import read_npz


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def npy(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.save(target, array, allow_pickle=True)
    return target.getvalue()


def pack(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(tmp_path, write):
    arrays = {
        "x": np.arange(12, dtype=np.float16).reshape(3, 4),
        "past.0.key": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "scalar": np.array(3.5),
        "empty": np.empty((2, 0), np.int8),
        "big": np.arange(4, dtype=">i4"),
    }
    write(tmp_path / "in.npz", **arrays)
    found = read_npz(tmp_path / "in.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([{"a": 1}], dtype=object), "in.npz holds Python objects in 'x'"),
        (np.array([b"text"]), r"in.npz holds values of type .S4 in 'x'"),
        (np.array(["2026-01-01"], dtype="M8[D]"), "in.npz holds values of type datetime64"),
        (np.zeros(2, dtype=[("a", "f4")]), "in.npz holds values of type"),
    ],
)
def test_what_no_tensor_can_be_is_refused(tmp_path, array, words):
    pack(tmp_path / "in.npz", {"x.npy": npy(array)})
    with pytest.raises(ValueError, match=words.replace("<", "<").replace("(", r"\(")):
        read_npz(tmp_path / "in.npz")


class Bait:
    def __reduce__(self):
        return (open, ("/nonexistent-folder/bait", "w"))


def test_a_pickle_is_never_loaded(tmp_path):
    pack(tmp_path / "in.npz", {"x.npy": npy(np.array([1])), "y": pickle.dumps(Bait())})
    with pytest.raises(ValueError, match=r"^in\.npz holds 'y', which is no array"):
        read_npz(tmp_path / "in.npz")
    pack(tmp_path / "in.npz", {"x.npy": pickle.dumps(Bait())})
    with pytest.raises(ValueError, match=r"^in\.npz cannot be read: "):
        read_npz(tmp_path / "in.npz")


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    bomb = save(tmp_path / "small.npz", x=np.zeros(4))
    np.savez_compressed(bomb, x=np.zeros(1 << 20))
    assert bomb.stat().st_size < 20_000
    monkeypatch.setattr(npz_file, "ARRAYS_MAX_BYTES", 1 << 20)
    monkeypatch.setattr(npz_file, "_read_member", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(
        ValueError, match=r"^small\.npz would unpack from \d+ to 8388736 bytes, and 1048576 are the most"
    ):
        read_npz(bomb)


def test_a_header_that_claims_more_than_there_is_makes_no_room_for_it(tmp_path, monkeypatch):
    data = bytearray(npy(np.zeros(10, np.float32)))
    claimed = data.replace(b"(10,), }    ", b"(9999999999,), }")
    assert len(claimed) - len(data) == 4
    pack(tmp_path / "in.npz", {"x.npy": bytes(data.replace(b"(10,), }         ", b"(9999999999,), } "))})
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("numpy made room for it"))
    with pytest.raises(ValueError, match=r"^in\.npz holds 40 bytes of 'x', whose header claims 39999999996"):
        read_npz(tmp_path / "in.npz")


def test_files_that_are_none_and_damage_are_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"^there is no file .*gone\.npz"):
        read_npz(tmp_path / "gone.npz")
    (tmp_path / "text.npz").write_text("x: 1")
    with pytest.raises(ValueError, match=r"^text\.npz is no \.npz file; write it with numpy\.savez"):
        read_npz(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"^one\.npy is no \.npz file"):
        read_npz(tmp_path / "one.npy")
    with pytest.raises(ValueError, match=r"^none\.npz holds no array"):
        read_npz(pack(tmp_path / "none.npz", {}))


@pytest.mark.filterwarnings("ignore::UserWarning")  # zipfile's own, of the name that stands there twice
def test_two_arrays_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.writestr("x.npy", npy(np.ones(1)))
        archive.writestr("x.npy", npy(np.zeros(1)))
    with pytest.raises(ValueError, match=r"^in\.npz holds two arrays called 'x'"):
        read_npz(tmp_path / "in.npz")


def test_every_truncation_and_flipped_byte_is_one_sentence_or_the_array(tmp_path):
    whole = save(tmp_path / "in.npz", x=np.arange(5, dtype=np.int16)).read_bytes()
    broken = tmp_path / "broken.npz"
    for data in [whole[:length] for length in range(0, len(whole), 3)] + [
        whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(len(whole))
    ]:
        broken.write_bytes(data)
        assert re.fullmatch(r"|broken\.npz [^\n]+", what_is_wrong_with(broken))


def what_is_wrong_with(path: Path) -> str:
    try:
        read_npz(path)
    except ValueError as error:
        return str(error)
    return ""
