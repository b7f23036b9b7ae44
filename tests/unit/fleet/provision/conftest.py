"""Boards made of folders: tiny wheels, a state folder, this machine's shell or a real sshd on loopback."""

from __future__ import annotations

import ensurepip
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from edgesweep.fleet.provision.service import Outcome, Provisioner
from edgesweep.fleet.provision.shell import LocalShell, Shell
from edgesweep.fleet.provision.wanted import parse_wanted
from edgesweep.fleet.provision.wheels import Source

SSHD = "/usr/sbin/sshd"


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    body: str = "",
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    ballast: int = 0,
) -> Path:
    """A wheel of one package with this body; `ballast` bytes of zeros take nearly no room in it, and all of theirs on a disk."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-{tag}.whl"
    package = "onnxruntime" if name.startswith("onnxruntime") else name
    files = {
        f"{package}/__init__.py": f"__version__ = {version!r}\n{body}",
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {each}\n" for each in requires),
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{stem}.dist-info/entry_points.txt": f"[console_scripts]\n{package}_test = {package}:__name__\n",
    }
    if ballast:
        files[f"{package}/ballast.bin"] = "\0" * ballast
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(f"{each},,\n" for each in [*files, record])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    return path


@pytest.fixture
def wheel() -> Callable[..., Path]:
    return make_wheel


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with a tiny numpy and a wheel of pip, where this Python brings one along: environments are made quicker with it."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "numpy", "1.24.4")
    for bundled in (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"):
        shutil.copy(bundled, folder)
    return folder


@dataclass
class Lab:
    """One board: a state folder, a folder of wheels, and a way to it."""

    state: Path
    wheels: Path
    cache: Path
    shell: Shell

    @property
    def runtimes(self) -> Path:
        return self.state / "runtimes"

    def provisioner(self, python: str | None = sys.executable, shell: Shell | None = None) -> Provisioner:
        return Provisioner(shell or self.shell, str(self.state), python, lambda _: None)

    async def install(
        self, *texts: str, shell: Shell | None = None, python: str | None = sys.executable
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        wanted = [parse_wanted(text) for text in texts]
        provisioner = self.provisioner(python, shell)
        await provisioner.install(wanted, Source(self.wheels), self.cache, online=False, done=outcomes.append)
        return outcomes

    def there(self) -> list[str]:
        """What an agent would find."""
        return sorted(path.parent.parent.name for path in self.runtimes.glob("*/bin/python"))

    def left_over(self) -> list[str]:
        """What lies where environments are made."""
        draft = self.runtimes / ".new"
        return sorted(path.name for path in draft.iterdir()) if draft.exists() else []


@pytest.fixture
def board(tmp_path: Path, wheels: Path) -> Lab:
    state = tmp_path / "state"
    state.mkdir()
    return Lab(state, wheels, tmp_path / "cache", LocalShell())


@dataclass
class Gate:
    """A module body that stops at its import until it is killed or let through, and says that it got there."""

    path: Path

    @property
    def body(self) -> str:
        return f"open({str(self.path)!r}, 'w').close(); open({str(self.path)!r}).close()\n"

    def wait(self) -> None:
        """Return when the import has come to the gate."""
        self.path.open().close()

    def open(self) -> None:
        """Let it through."""
        self.path.open("w").close()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    path = tmp_path / "gate"
    os.mkfifo(path)
    return Gate(path)


@dataclass
class Sshd:
    """A real ssh server on loopback with keys of its own, which `ssh board` reaches by a configuration of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        for name in ("hostkey", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True)
        shutil.copy(self.folder / "id.pub", self.folder / "authorized")
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/hostkey",
            f"AuthorizedKeysFile {self.folder}/authorized",
            f"PidFile {self.folder}/pid",
            "UsePAM no",
            "PasswordAuthentication no",
            "StrictModes no",
        ]
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")
        self.know(self.folder / "hostkey.pub")
        self.configure()
        command = [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if b"Server listening" in line:
                break
        else:
            pytest.fail("sshd did not come up")
        # From here on its words go to nobody: a full pipe would stop it.
        os.set_blocking(self.process.stderr.fileno(), False)

    def know(self, public_key: Path) -> None:
        kind, key = public_key.read_text().split()[:2]
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def configure(self, *more: str) -> None:
        lines = [
            "Host board",
            "  HostName 127.0.0.1",
            f"  Port {self.port}",
            f"  IdentityFile {self.folder}/id",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {self.folder}/known",
            "  GlobalKnownHostsFile /dev/null",
            *(f"  {line}" for line in more),
        ]
        (self.folder / "config").write_text("\n".join(lines) + "\n")

    def logins(self) -> int:
        assert self.process is not None
        assert self.process.stderr is not None
        said = self.process.stderr.read() or b""
        return said.count(b"Accepted publickey")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            assert self.process.stderr is not None
            self.process.stderr.close()


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """The system's own ssh, told by a script in front of it to read another configuration than the user's."""
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        pytest.skip("NO SSHD HERE: installing over ssh was NOT tested (Debian: apt-get install openssh-server)")
    real = shutil.which("ssh")
    folder = tmp_path / "sshd"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Sshd(folder, port)
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {real} -F {folder}/config "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    try:
        server.start()
        yield server
    finally:
        server.stop()
