"""Who gets in, and what an agent refuses to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from edgesweep_proto.v1 import lease_pb2

Start = Callable[..., Any]
Connect = Callable[..., Any]
Refused = Callable[[Any], Any]


async def knock(client: Any) -> Any:
    return await client.leases.ListLeases(lease_pb2.ListLeasesRequest(), timeout=10)


async def test_only_a_controller_of_the_same_authority_gets_in(
    start_agent: Start, lab: Any, other_lab: Any, connect: Connect, refused: Refused
) -> None:
    agent = start_agent("--tls-dir", str(lab.tls_dir))
    ca = lab.ca.cert_pem.bytes()
    await knock(connect(agent.address, ca, lab.controller("anna")))
    strangers = {
        "no certificate": connect(agent.address, ca),
        "another authority's": connect(agent.address, ca, other_lab.controller("anna")),
        "no TLS at all": connect(agent.address),
        "an agent of another authority": connect(agent.address, other_lab.ca.cert_pem.bytes(), lab.controller("anna")),
    }
    for who, client in strangers.items():
        status, code, _ = await refused(knock(client))
        assert (status, code) == (grpc.StatusCode.UNAVAILABLE, ""), who


async def test_a_devices_certificate_makes_no_controller(
    start_agent: Start, lab: Any, connect: Connect, refused: Refused
) -> None:
    agent = start_agent("--tls-dir", str(lab.tls_dir))
    status, code, sentence = await refused(knock(connect(agent.address, lab.ca.cert_pem.bytes(), lab.device)))
    assert (status, code) == (grpc.StatusCode.PERMISSION_DENIED, "not_authorised")
    assert "not a controller's" in sentence


def run_to_its_end(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgesweep_agent", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_bind_beyond_loopback_without_tls_ends_with_2(tmp_path: Path) -> None:
    done = run_to_its_end("--listen", "0.0.0.0:0", "--state-dir", str(tmp_path / "s"), "--insecure")
    assert done.returncode == 2
    assert "0.0.0.0 is reachable from outside" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()


def test_two_agents_never_share_a_port(start_agent: Start, tmp_path: Path) -> None:
    agent = start_agent()
    done = run_to_its_end("--listen", agent.address, "--state-dir", str(tmp_path / "second"), "--insecure")
    assert done.returncode == 78
    assert "another process has the port" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_two_agents_never_share_a_state_folder(start_agent: Start) -> None:
    agent = start_agent()
    done = run_to_its_end("--listen", "127.0.0.1:0", "--state-dir", str(agent.state_dir), "--insecure")
    assert done.returncode == 78
    assert "another agent uses the state folder" in done.stderr


def test_an_unusable_certificate_ends_with_78(lab: Any, tmp_path: Path) -> None:
    for rotten, sentence in (
        ("cert.pem", "holds no certificate"),
        ("key.pem", "not a usable pair"),
        ("ca.pem", "holds no certificate"),
    ):
        whole = (lab.tls_dir / rotten).read_bytes()
        (lab.tls_dir / rotten).write_text("rotten")
        done = run_to_its_end(
            "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "s"), "--tls-dir", str(lab.tls_dir)
        )
        (lab.tls_dir / rotten).write_bytes(whole)
        assert done.returncode == 78
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    done = run_to_its_end(
        "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "s"), "--tls-dir", str(tmp_path / "no")
    )
    assert done.returncode == 78
    assert "cannot be read" in done.stderr


def test_a_state_folder_that_cannot_be_made_ends_with_78(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run_to_its_end("--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "file" / "s"), "--insecure")
    assert done.returncode == 78
    assert "cannot be used" in done.stderr
