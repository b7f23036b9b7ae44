from __future__ import annotations

import pytest
from native import loops


def test_no_compiler_is_said_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(FileNotFoundError, match="no C compiler: install gcc or clang, or name one in CC"):
        loops.compile_c_loop(tmp_path)


def test_what_the_compiler_refuses_is_told_in_its_own_words(tmp_path, monkeypatch):
    refusing = tmp_path / "cc"
    refusing.write_text("#!/bin/sh\necho it has no libc >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("CC", str(refusing))
    with pytest.raises(RuntimeError, match=r"could not compile c_loop.c: it has no libc"):
        loops.compile_c_loop(tmp_path)
