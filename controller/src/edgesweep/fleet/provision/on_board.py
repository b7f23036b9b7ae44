"""Runs on the board, by any Python 3.8 or newer there: finds interpreters, makes and removes environments.

The controller sends this text over ssh and runs it as it is, so it imports nothing of ours. Standard input holds one line
of JSON, the job, then the bytes of the job's files one after another. After that it stays open: its end says that the
controller is gone, and whatever was begun is taken back. Standard output holds lines of JSON; the last one is `done` or
`refused`.

An environment is made in `<state>/runtimes/.new`, where no agent looks for runtimes, and renamed into its place when
onnxruntime can be imported in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import glob
import hashlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO, Any, NoReturn

#: Says in an environment's folder that we made it, and of what.
MARKER = "edgesweep-runtime.json"

#: Seconds that one command may take: a slow card needs minutes to unpack 100 MB.
_LONGEST_S = 1800.0
_ASK_S = 30.0
_CHUNK = 1 << 20
_BITS = 64
_PR_SET_PDEATHSIG = 1

_ASK = """
import importlib.util as u, json, os, platform, struct, sys, sysconfig
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (AttributeError, ValueError, OSError):
    libc = ""
print(json.dumps({"version": list(sys.version_info[:3]), "implementation": sys.implementation.name,
    "machine": platform.machine(), "bits": struct.calcsize("P") * 8, "libc": libc,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")), "venv": u.find_spec("venv") is not None,
    "ensurepip": u.find_spec("ensurepip") is not None}))
"""

_CHECK = """
import json, platform, numpy, onnxruntime
print(json.dumps({"onnxruntime": onnxruntime.__version__, "python": platform.python_version()}))
"""


class Refused(Exception):  # noqa: N818 - an answer, not an accident
    """Why the board cannot do the job: a code of the catalogue and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Gone(BaseException):
    """The controller went away, or somebody told us to stop."""


def say(**event: Any) -> None:
    """Tell the controller something."""
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise Gone from None


def main() -> int:
    """Read the job, do it, and say how it ended."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    stream = sys.stdin.buffer
    try:
        job = json.loads(stream.readline())
        doing: dict[str, Callable[[dict[str, Any], IO[bytes]], dict[str, Any]]] = {
            "look": look,
            "install": install,
            "remove": remove,
        }
        say(done=doing[job["do"]](job, stream))
    except Gone:
        # Nobody is left to be told, and the interpreter's own last flush would fail on the broken pipe.
        os._exit(1)
    except Refused as refused:
        say(refused={"code": refused.code, "sentence": str(refused)})
    except OSError as error:
        trouble = _refusal_of(error)
        say(refused={"code": trouble.code, "sentence": str(trouble)})
    return 0


def _stop(number: int, frame: Any) -> NoReturn:
    del number, frame
    raise Gone


def _refusal_of(error: OSError) -> Refused:
    where = error.filename or "the folder"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Refused("disk_full", "no space is left on the board's disk")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        user = os.environ.get("USER") or str(os.geteuid())
        return Refused("state_dir_unusable", f"{where} cannot be written by {user}: {error.strerror}")
    return Refused("state_dir_unusable", f"{where} on the board: {error.strerror or error}")


# Looking


def look(job: dict[str, Any], stream: IO[bytes]) -> dict[str, Any]:
    """The board's interpreters, the runtimes that were installed before, and the room that there is."""
    del stream
    state_dir = _state_dir(job)
    return {
        "state_dir": state_dir,
        "state_dir_exists": os.path.isdir(state_dir),
        "user": os.environ.get("USER") or str(os.geteuid()),
        "interpreters": interpreters(job["python"]),
        "installed": installed(state_dir),
    }


def interpreters(asked: str | None) -> list[dict[str, Any]]:
    """The Pythons here with what they say of themselves, or the asked one; `fault` says why one cannot be used."""
    if asked:
        found = shutil.which(os.path.expanduser(asked))
        if found is None:
            raise Refused("no_interpreter", f"the board has no program {asked!r}")
        return [_ask(os.path.abspath(found))]
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/local/bin", "/usr/bin", "~/.local/bin"]
    patterns = [os.path.join(folder, "python3*") for folder in folders if folder and "shims" not in folder]
    patterns += ["~/.pyenv/versions/*/bin/python3", "~/.local/share/uv/python/cpython-*/bin/python3"]
    if os.environ.get("PYENV_ROOT"):
        patterns.append(os.path.join(os.environ["PYENV_ROOT"], "versions/*/bin/python3"))
    paths: dict[str, None] = {}
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.expanduser(pattern))):
            name = os.path.basename(path)
            if name.replace("python3", "").lstrip(".").isdigit() or name == "python3":
                # The program itself, not the link in some environment that leads to it.
                paths.setdefault(os.path.realpath(path))
    return [_ask(path) for path in paths]


def _ask(path: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [path, "-I", "-c", _ASK], stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_S, check=False
        )
        facts: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return {"path": path, "fault": f"it is no working Python 3.8 or newer ({type(error).__name__})"}
    fault = ""
    if facts["implementation"] != "cpython":
        fault = f"it is {facts['implementation']}, and onnxruntime is built for CPython"
    elif facts["version"] < [3, 8]:
        fault = "it is older than 3.8"
    elif facts["free_threaded"]:
        fault = "it is a free-threaded build"
    elif facts["bits"] != _BITS:
        fault = "it is a 32-bit program, for which there is no onnxruntime"
    elif not facts["libc"].startswith("glibc "):
        fault = "its C library is not glibc, for which onnxruntime is built"
    elif not facts["venv"]:
        fault = "it has no venv module (Debian: apt-get install python3-venv)"
    return {**facts, "path": path, "fault": fault}


def installed(state_dir: str) -> list[dict[str, Any]]:
    """The environments under the state folder with their folder's name; what we did not make has no `version`."""
    found = []
    for python in sorted(glob.glob(os.path.join(glob.escape(state_dir), "runtimes", "*", "bin", "python"))):
        folder = os.path.dirname(os.path.dirname(python))
        row: dict[str, Any] = {"name": os.path.basename(folder), "path": folder}
        try:
            with open(os.path.join(folder, MARKER), encoding="utf-8") as file:
                row.update(json.load(file))
        except (OSError, ValueError):
            pass
        found.append(row)
    return found


# Installing


def install(job: dict[str, Any], stream: IO[bytes]) -> dict[str, Any]:
    """Make the environment `job["name"]` of the files that follow, or of what the board's own pip finds.

    Without a name it gets that of the version that was found.

    Raises:
        Refused: the environment cannot be made, or onnxruntime cannot be imported in it; nothing of it is left.
    """
    runtimes = os.path.join(_state_dir(job), "runtimes")
    os.makedirs(runtimes, exist_ok=True)
    if job["name"] and os.path.exists(_place(job)):
        return {"path": _place(job), "present": True}
    with _Draft(runtimes) as draft:
        _check_room(draft, job["needs_bytes"])
        wheels = os.path.join(draft, "wheels")
        os.mkdir(wheels)
        _receive(job["files"], stream, wheels)
        env = os.path.join(draft, "env")
        python = os.path.join(env, "bin", "python")
        pip_wheel = next((file["name"] for file in job["files"] if file["name"].startswith("pip-")), None)
        say(step="environment")
        _run([job["python"], "-I", "-m", "venv", *(["--without-pip"] if pip_wheel else []), env], draft)
        pip = [python, os.path.join(wheels, pip_wheel, "pip")] if pip_wheel else [python, "-m", "pip"]
        say(step="install")
        _pip_install(pip, job, wheels, draft)
        say(step="check")
        told = _check(python, draft)
        marker = {"flavour": job["flavour"], "version": job["version"] or told["onnxruntime"], **told}
        final = _place({**job, "name": job["name"] or "-".join(filter(None, (job["flavour"], marker["version"])))})
        with open(os.path.join(env, MARKER), "w", encoding="utf-8") as file:
            json.dump(marker, file)
        _move_scripts(env, final)
        # A board may lose its power at any time: what is renamed is on the disk.
        os.sync()
        try:
            os.rename(env, final)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            # Somebody else was faster.
            return {"path": final, "present": True}
        return {"path": final, "present": False, **marker}


class _Draft:
    """A folder to work in that is removed whatever happens; what a killed call has left is removed first."""

    def __init__(self, runtimes: str) -> None:
        self._root = os.path.join(runtimes, ".new")
        self._path = os.path.join(self._root, secrets.token_hex(6))
        self._lock_path = self._path + ".lock"

    def __enter__(self) -> str:
        os.makedirs(self._root, exist_ok=True)
        self._sweep()
        while True:
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if os.path.exists(self._lock_path):
                break
            # Another's sweep took it for a dead one's before it was locked.
            os.close(self._lock)
        os.mkdir(self._path)
        return self._path

    def __exit__(self, *reason: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        _unlink(self._lock_path)
        os.close(self._lock)

    def _sweep(self) -> None:
        """Remove what lies under a lock that nobody holds any more: its owner has died."""
        for name in os.listdir(self._root):
            if not name.endswith(".lock"):
                continue
            path = os.path.join(self._root, name)
            try:
                lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path[: -len(".lock")], ignore_errors=True)
                _unlink(path)
            except OSError:
                pass
            finally:
                os.close(lock)


def _check_room(folder: str, needed: int) -> None:
    stat = os.statvfs(folder)
    free = stat.f_bavail * stat.f_frsize
    if free < needed:
        sentence = f"the board has {free / 1e6:.0f} MB left for it, and it takes about {needed / 1e6:.0f} MB"
        raise Refused("disk_full", sentence)


def _receive(files: list[dict[str, Any]], stream: IO[bytes], folder: str) -> None:
    for file in files:
        digest, left = hashlib.sha256(), file["size"]
        # Names only: a path in it would lead out of the folder.
        with open(os.path.join(folder, os.path.basename(file["name"])), "wb") as out:
            while left:
                chunk = stream.read(min(left, _CHUNK))
                if not chunk:
                    raise Gone
                out.write(chunk)
                digest.update(chunk)
                left -= len(chunk)
        if digest.hexdigest() != file["sha256"]:
            raise Refused("digest_mismatch", f"other bytes of {file['name']} arrived than were sent")


def _pip_install(pip: list[str], job: dict[str, Any], wheels: str, draft: str) -> None:
    command = [*pip, "install", "--quiet", "--no-input", "--disable-pip-version-check", "--only-binary=:all:"]
    if job["online"]:
        constraints = os.path.join(draft, "constraints.txt")
        with open(constraints, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in job["constraints"])
        command += ["--constraint", constraints, "--log", os.path.join(draft, "pip.log")]
    else:
        command += ["--no-index", "--no-cache-dir", "--find-links", wheels]
    requirement = job["requirement"]
    command.append(os.path.join(wheels, requirement) if requirement.endswith(".whl") else requirement)
    # What the worker needs besides, whether the runtime's own wheel says so or not.
    command.append("numpy")
    try:
        _run(command, draft, isolated=not job["online"])
    except Refused as refused:
        if refused.code == "runtime_unfit" and job["online"]:
            _blame_the_index(os.path.join(draft, "pip.log"))
        raise


def _blame_the_index(log: str) -> None:
    """Tell an index that did not answer from one that has nothing: only pip's log does."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            failed = [line.split(": ", 1)[1] for line in file if "Could not fetch URL" in line and ": 404 " not in line]
    except OSError:
        return
    if failed:
        raise Refused("index_unreachable", f"the board cannot reach its package index: {failed[0].strip()}")


def _check(python: str, draft: str) -> dict[str, Any]:
    try:
        out = _run([python, "-I", "-c", _CHECK], draft, env={"ORT_DISABLE_TELEMETRY": "1"})
    except Refused as refused:
        raise Refused("runtime_broken", f"onnxruntime cannot be imported on the board: {refused}") from None
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


def _run(argv: list[str], draft: str, *, isolated: bool = True, env: dict[str, str] | None = None) -> str:
    """What a command says on both its streams; it is killed with all that it started when the controller goes away."""
    environ = {key: value for key, value in os.environ.items() if not (isolated and key.startswith(("PIP_", "PYTHON")))}
    if isolated:
        environ["PIP_CONFIG_FILE"] = os.devnull
    environ.update(env or {}, TMPDIR=draft)
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=draft, env=environ,
        start_new_session=True, preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
    )  # fmt: skip
    assert child.stdout is not None  # noqa: S101 - it was asked for as a pipe above
    said: list[bytes] = []
    deadline = time.monotonic() + _LONGEST_S
    try:
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([0, child.stdout.fileno()], [], [], left)
            if not ready:
                raise Refused("install_failed", f"{os.path.basename(argv[0])} took longer than {_LONGEST_S:.0f} s")
            if 0 in ready:
                # The job and its files are read: all that can come is the end.
                raise Gone
            chunk = os.read(child.stdout.fileno(), _CHUNK)
            if not chunk:
                break
            said.append(chunk)
        code = child.wait()
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        child.stdout.close()
    text = b"".join(said).decode("utf-8", "replace")
    if code:
        raise _failure(code, text)
    return text


def _failure(code: int, text: str) -> Refused:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any("No space left on device" in line or "Disk quota exceeded" in line for line in lines):
        return Refused("disk_full", "no space is left on the board's disk")
    if code < 0:
        return Refused("install_failed", f"it died of {signal.Signals(-code).name}")
    errors = [line[len("ERROR:") :].strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or [f"it ended with status {code}"])[-1]
    return Refused("runtime_unfit" if "No matching distribution" in text else "install_failed", last)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _move_scripts(env: str, final: str) -> None:
    """Write the environment's coming place where its scripts name the present one."""
    before, after = os.fsencode(env), os.fsencode(final)
    paths = [os.path.join(env, "pyvenv.cfg"), *glob.glob(os.path.join(glob.escape(env), "bin", "*"))]
    for path in paths:
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb+") as file:
            text = file.read()
            if before in text and b"\0" not in text:
                file.seek(0)
                file.write(text.replace(before, after))
                file.truncate()


# Removing


def remove(job: dict[str, Any], stream: IO[bytes]) -> dict[str, Any]:
    """Take the environment `job["name"]` away: at once for every reader, then its files."""
    del stream
    final = _place(job)
    if os.path.islink(final) or not os.path.isfile(os.path.join(final, "pyvenv.cfg")):
        raise Refused("unknown_runtime", f"{final} is no environment that can be removed")
    with _Draft(os.path.dirname(final)) as draft:
        os.rename(final, os.path.join(draft, "env"))
        # Not by the context's end, which passes over what cannot be removed.
        shutil.rmtree(os.path.join(draft, "env"))
    return {"path": final}


def _state_dir(job: dict[str, Any]) -> str:
    asked: str = job["state_dir"]
    return os.path.abspath(os.path.expanduser(asked))


def _place(job: dict[str, Any]) -> str:
    name = job["name"]
    if not name or name.startswith(".") or os.sep in name:
        raise Refused("usage", f"{name!r} is no name of a runtime")
    return os.path.join(_state_dir(job), "runtimes", name)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


if __name__ == "__main__":
    sys.exit(main())
