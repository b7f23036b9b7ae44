"""The system's OpenSSH against a real sshd on loopback: one connection, and one sentence for each way to fail."""

from __future__ import annotations

import asyncio
import subprocess

import psutil
import pytest
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.fleet.provision.ssh import SshShell, ssh_fault
from edgesweep.fleet.ssh_target import target_fault


async def reach(target: str = "board") -> None:
    async with SshShell(target):
        pass


async def test_all_of_a_visit_goes_over_one_connection(board, wheel, sshd) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0")
    wheel(board.wheels, "onnxruntime", "1.21.0")
    async with SshShell("board") as shell:
        outcomes = await board.install("1.20.0", "1.21.0", shell=shell)
        assert [each.state for each in outcomes] == ["installed"] * 2
        await board.provisioner(shell=shell).remove("1.20.0")
    assert board.there() == ["1.21.0"]
    assert sshd.logins() == 1


async def test_a_connection_of_the_users_own_is_used(board, sshd, tmp_path) -> None:
    sshd.configure(f"ControlPath {tmp_path}/own", "ControlMaster auto")
    own = await asyncio.create_subprocess_exec(
        "ssh", "board", "echo up; exec cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert await own.stdout.readline() == b"up\n"
    async with SshShell("board") as shell:
        await board.provisioner(shell=shell).look()
    own.stdin.close()
    await own.wait()
    assert sshd.logins() == 1


async def test_a_link_that_breaks_in_the_middle_leaves_nothing_on_the_board(board, wheel, sshd, gate) -> None:
    wheel(board.wheels, "onnxruntime", "1.20.0", body=gate.body)
    async with SshShell("board") as shell:
        work = asyncio.create_task(board.install("1.20.0", shell=shell))
        await asyncio.to_thread(gate.wait)
        sessions = psutil.Process(sshd.process.pid).children(recursive=True)
        ours = [process for process in sessions if "python" in process.name() and process.pid]
        assert len(board.left_over()) == 2
        for process in psutil.Process(sshd.process.pid).children():
            process.kill()
        with pytest.raises(EdgesweepError) as caught:
            await work
    assert (caught.value.code, caught.value.exit_code) == ("ssh_unreachable", ExitCode.LAB)
    # The board's side is told nothing: it sees that its input has ended.
    await asyncio.to_thread(psutil.wait_procs, ours, 20)
    assert board.left_over() == []
    assert board.there() == []


async def test_a_host_whose_key_is_not_known(sshd) -> None:
    (sshd.folder / "known").write_text("")
    with pytest.raises(EdgesweepError, match="host key is not known here yet") as caught:
        await reach()
    assert caught.value.exit_code == ExitCode.CREDENTIALS
    assert caught.value.remedy == "connect once by hand and compare the key: ssh board"


async def test_a_host_whose_key_has_changed(sshd) -> None:
    sshd.know(sshd.folder / "id.pub")
    with pytest.raises(EdgesweepError, match="not the one that is known") as caught:
        await reach()
    assert caught.value.exit_code == ExitCode.CREDENTIALS


async def test_a_host_that_takes_none_of_our_keys(sshd) -> None:
    (sshd.folder / "authorized").write_text("")
    with pytest.raises(EdgesweepError, match="takes none of this user's keys") as caught:
        await reach()
    assert "ssh-copy-id board" in caught.value.remedy


async def test_a_host_without_an_ssh_server(sshd) -> None:
    sshd.stop()
    with pytest.raises(EdgesweepError, match="no ssh server listens there") as caught:
        await reach()
    assert caught.value.exit_code == ExitCode.LAB
    sshd.process = None


async def test_a_host_that_is_not_there(sshd) -> None:
    with pytest.raises(EdgesweepError, match="its name has no address"):
        await reach("nobody.invalid")


async def test_a_configuration_that_is_wrong(sshd) -> None:
    sshd.configure("NoSuchWord yes")
    with pytest.raises(EdgesweepError, match="configuration is not valid") as caught:
        await reach()
    assert caught.value.exit_code == ExitCode.USAGE


async def test_a_board_without_python(board, sshd) -> None:
    async with SshShell("board") as shell:
        with pytest.raises(EdgesweepError, match="there is no /opt/none/python on board") as caught:
            await board.provisioner("/opt/none/python", shell).look()
    assert caught.value.code == "no_interpreter"


async def test_a_board_that_lets_nobody_run_a_command(sshd) -> None:
    key = (sshd.folder / "id.pub").read_text()
    (sshd.folder / "authorized").write_text(f'command="exit 7" {key}')
    with pytest.raises(EdgesweepError, match="lets nobody run a command") as caught:
        await reach()
    assert caught.value.code == "ssh_refused"


async def test_nobody_is_asked_for_anything(sshd, monkeypatch) -> None:
    """An encrypted key without an agent is a refusal, not a prompt."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    command = ["ssh-keygen", "-q", "-p", "-N", "a passphrase", "-f", str(sshd.folder / "id")]
    await asyncio.to_thread(subprocess.run, command, check=True)
    with pytest.raises(EdgesweepError, match="takes none of this user's keys"):
        await reach()


async def test_options_of_the_users_sessions_do_not_matter(board, sshd) -> None:
    sshd.configure("RemoteCommand echo hello", "RequestTTY force", f"LocalForward 127.0.0.1:1 127.0.0.1:{sshd.port}")
    async with SshShell("board") as shell:
        assert (await board.provisioner(shell=shell).look()).state_dir == str(board.state)


@pytest.mark.parametrize("target", ["-oProxyCommand=touch x", "", "a b", "me@", "a\nb"])
def test_what_ssh_would_read_as_an_option_is_no_host(target) -> None:
    assert target_fault(target)
    with pytest.raises(EdgesweepError) as caught:
        SshShell(target)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("target", ["board", "me@10.0.0.1", "ssh://me@board:2222", "fe80::1%eth0"])
def test_what_ssh_takes_is_a_host(target) -> None:
    assert not target_fault(target)


def test_words_that_are_not_known_are_passed_on() -> None:
    error = ssh_fault("board", "debug: hello\nkex_exchange_identification: something new\n")
    assert error.message == "board cannot be reached over ssh: kex_exchange_identification: something new"
