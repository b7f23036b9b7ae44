"""The system's OpenSSH as a way to a board: one connection for all that a command does, by the user's own configuration.

Nothing is asked for: no password, no passphrase and no unknown host key. What is missing is said in one sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.provision.shell import LINE_LIMIT, remote_command
from edgesweep.fleet.ssh_target import target_fault

#: What ssh itself ends with when the connection is the trouble.
_SSH_FAILED = 255
_READY = b"edgesweep-ready"

#: Seconds until a silent host counts as dead, and a silent connection too.
_CONNECT_S = 15
_ALIVE_S = 15
_OPTIONS = (
    "-T",
    "-oBatchMode=yes",
    f"-oConnectTimeout={_CONNECT_S}",
    f"-oServerAliveInterval={_ALIVE_S}",
    "-oServerAliveCountMax=4",
    # What the user's configuration may hold for sessions of their own.
    "-oRemoteCommand=none",
    "-oClearAllForwardings=yes",
)
#: Longest path of a control socket; ssh adds to it, and the kernel ends at 108.
_LONGEST_SOCKET = 80

#: ssh's words, the code they stand for, and what to do; `{}` is the target. The first that fits is told.
_FAULTS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "ssh_refused",
        "its host key is not the one that is known",
        "make sure that it is the board (a new system gets a new key), then: ssh-keygen -R HOST, and ssh {} once",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "ssh_refused",
        "its host key is not known here yet",
        "connect once by hand and compare the key: ssh {}",
    ),
    (
        r"Permission denied|Too many authentication failures|No supported authentication methods",
        "ssh_refused",
        "it takes none of this user's keys",
        "put your key there (ssh-copy-id {}), and an encrypted one into the agent (ssh-add); passwords are not asked for",
    ),
    (
        r"Could not resolve hostname|Name or service not known",
        "ssh_unreachable",
        "its name has no address",
        "correct the host, or name it in ~/.ssh/config",
    ),
    (
        r"Connection refused",
        "ssh_unreachable",
        "no ssh server listens there",
        "start sshd on the board: systemctl start ssh",
    ),
    (
        r"timed out|No route to host|Network is unreachable",
        "ssh_unreachable",
        "it does not answer",
        "check that the board is on and on the network",
    ),
    (
        r"Bad configuration option|bad configuration options|Bad owner or permissions",
        "usage",
        "ssh's own configuration is not valid",
        "correct ~/.ssh/config; `ssh {} true` must work",
    ),
)


class SshShell:
    """An ssh connection to `target`, made on entering and ended on leaving; use it as an async context manager.

    Args:
        target: `[USER@]HOST` or `ssh://[USER@]HOST[:PORT]`, as ssh itself takes it.

    Raises:
        EdgesweepError: `usage`, or on entering `ssh_unreachable` or `ssh_refused`.
    """

    def __init__(self, target: str) -> None:
        if fault := target_fault(target):
            raise EdgesweepError("usage", fault, remedy="write [USER@]HOST, as for ssh itself")
        self.place = self._target = target
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._master: asyncio.subprocess.Process | None = None
        self._sharing: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        if shutil.which("ssh") is None:
            raise EdgesweepError("usage", "there is no ssh here", remedy="install OpenSSH's client, or use --local")
        if await self._users_own_master():
            # A connection that the user has opened, with a second factor perhaps, is the best there is.
            return self
        base = tempfile.gettempdir()
        self._folder = tempfile.TemporaryDirectory(
            prefix="edgesweep-ssh-",
            dir=base if len(base) <= _LONGEST_SOCKET // 2 else "/tmp",  # noqa: S108 - mode 0700
        )
        try:
            await self._open_master(Path(self._folder.name) / "socket")
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def spawn(self, python: str, arguments: Sequence[str]) -> asyncio.subprocess.Process:
        """Start the board's `python` over the connection."""
        return await self._ssh(*self._sharing, "--", self._target, remote_command(python, arguments))

    def failure(self, code: int, last_words: str) -> EdgesweepError | None:
        """What ssh's own end means."""
        return ssh_fault(self._target, last_words) if code == _SSH_FAILED else None

    async def _ssh(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "ssh",
            *_OPTIONS,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Ctrl-C is for us: the board's side is let go in order.
            start_new_session=True,
            limit=LINE_LIMIT,
        )

    async def _users_own_master(self) -> bool:
        process = await self._ssh("-O", "check", "--", self._target)
        await process.communicate()
        return process.returncode == 0

    async def _open_master(self, socket: Path) -> None:
        """Open the connection that the others share. It lives for as long as we hold its input, and no longer."""
        share = ("-oControlPersist=no", f"-oControlPath={socket}")
        process = self._master = await self._ssh(
            "-oControlMaster=yes", *share, "--", self._target, f"echo {_READY.decode()}; exec cat"
        )
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - pipes, as asked for
        while line := await process.stdout.readline():
            if line.strip() == _READY:
                self._sharing = ("-oControlMaster=no", share[1])
                return
        words = (await process.stderr.read()).decode("utf-8", "replace")
        code = await process.wait()
        if code == _SSH_FAILED:
            raise ssh_fault(self._target, words)
        # A login shell that knows neither echo nor cat, or ends at once: some are meant to.
        raise EdgesweepError(
            "ssh_refused",
            f"{self._target} lets nobody run a command: its login shell ended with status {code}",
            remedy="log in as a user with a login shell",
        )

    async def _close(self) -> None:
        process, self._master = self._master, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._folder is not None:
            self._folder.cleanup()


def ssh_fault(target: str, words: str) -> EdgesweepError:
    """What ssh's last words mean."""
    for pattern, code, sentence, remedy in _FAULTS:
        if re.search(pattern, words):
            return EdgesweepError(
                code, f"{target} cannot be reached over ssh: {sentence}", remedy=remedy.format(target)
            )
    last = next((line.strip() for line in reversed(words.splitlines()) if line.strip()), "it said nothing")
    return EdgesweepError("ssh_unreachable", f"{target} cannot be reached over ssh: {last}")
