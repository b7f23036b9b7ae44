"""Who may speak with whom: every refused handshake names its reason."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.fleet import pki
from edgesweep.fleet.channel import LinkTimings
from edgesweep.fleet.client import DeviceClient
from edgesweep.fleet.identity import load_identity
from edgesweep.fleet.inventory import DeviceEntry
from edgesweep.fleet.tls_probe import explain

NOW = datetime.now(UTC)
PAST = pki.Validity(NOW - timedelta(days=9), NOW - timedelta(days=2))
FUTURE = pki.Validity(NOW + timedelta(days=2), NOW + timedelta(days=9))


async def reason(client) -> EdgesweepError:
    with pytest.raises(EdgesweepError) as caught:
        async with client:
            await client.describe()
    assert caught.value.remedy
    return caught.value


async def test_one_ca_on_both_sides_is_enough(client):
    assert (await client.describe()).device.name == "pi-1"


async def test_without_a_client_certificate_the_device_says_no(board, lab):
    credentials = grpc.ssl_channel_credentials((lab.controller / "ca.pem").read_bytes())
    options = [("grpc.ssl_target_name_override", "pi-1.edgesweep")]
    async with grpc.aio.secure_channel(board.address, credentials, options) as channel:
        describe = channel.unary_unary("/edgesweep_proto.v1.DeviceService/Describe")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await describe(b"", timeout=5.0)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert board.devices.asked == []


async def test_a_secure_entry_without_certificates_is_told_before_dialling(board, dial):
    error = await reason(dial(board.entry(), None))
    assert (error.code, error.exit_code) == ("certificate_unusable", ExitCode.CREDENTIALS)
    assert "pki init" in error.remedy


async def test_another_ca_on_the_device(start_board, dial, other_lab):
    board = await start_board(other_lab.device)
    error = await reason(dial(board.entry()))
    assert (error.code, error.exit_code) == ("handshake_refused", ExitCode.CREDENTIALS)
    assert "no such CA is known here" in error.message
    assert "edgesweep pki issue pi-1" in error.remedy


async def test_a_device_that_trusts_another_ca(start_board, dial, lab, other_lab):
    (lab.device / "ca.pem").write_bytes((other_lab.device / "ca.pem").read_bytes())
    board = await start_board(lab.device)
    error = await reason(dial(board.entry()))
    assert error.code == "handshake_refused"
    assert "or the board trusts another CA" in error.message


async def test_another_devices_name(start_board, dial, lab):
    board = await start_board(pki.issue_device(lab.pki_dir, "pi-2"))
    error = await reason(dial(board.entry("pi-1")))
    assert error.code == "handshake_refused"
    assert "is not for pi-1.edgesweep: another device answers there" in error.message


async def test_an_expired_device_certificate(start_board, dial, lab):
    board = await start_board(pki.issue_device(lab.pki_dir, "pi-1", validity=PAST))
    error = await reason(dial(board.entry()))
    assert error.code == "handshake_refused"
    assert "the certificate of device 'pi-1'" in error.message
    assert "has expired" in error.message


async def test_a_device_certificate_that_is_not_yet_valid(start_board, dial, lab):
    board = await start_board(pki.issue_device(lab.pki_dir, "pi-1", validity=FUTURE))
    error = await reason(dial(board.entry()))
    assert error.code == "handshake_refused"
    assert "not yet valid" in error.message
    assert "clock" in error.remedy


@pytest.mark.parametrize("validity", [PAST, FUTURE])
async def test_a_board_whose_clock_is_wrong_refuses_us(board, dial, lab, monkeypatch, validity):
    # A certificate that is bad by the board's clock and good by ours: our own check is what is left out here.
    folder = pki.issue_controller(lab.pki_dir, validity=validity)
    monkeypatch.setattr("edgesweep.fleet.identity._check_dates", lambda path, certificate: None)
    error = await reason(dial(board.entry(), folder))
    assert error.code == "handshake_refused"
    assert "by the clock of the board it is not yet valid (or no longer)" in error.message
    assert "set the clock of the board" in error.remedy


@pytest.mark.parametrize(
    ("validity", "sentence"),
    [(PAST, "the clock of the board may be ahead"), (FUTURE, "by the clock of the board it is not yet valid")],
)
async def test_a_tls_end_that_gives_its_reason_is_quoted(lab, monkeypatch, validity, sentence):
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=lab.device / "ca.pem")
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.load_cert_chain(lab.device / "cert.pem", lab.device / "key.pem")
    server_side.set_alpn_protocols(["h2"])
    folder = pki.issue_controller(lab.pki_dir, validity=validity)
    monkeypatch.setattr("edgesweep.fleet.identity._check_dates", lambda path, certificate: None)

    def refuse_one(listener: socket.socket) -> None:
        # A blocking handshake: asyncio's closes before its alert is out.
        with contextlib.suppress(ssl.SSLError), listener.accept()[0] as connection:
            server_side.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        refusing = asyncio.create_task(asyncio.to_thread(refuse_one, listener))
        entry = DeviceEntry("pi-1", f"127.0.0.1:{listener.getsockname()[1]}")
        error = await explain(entry, load_identity(folder), 5.0)
        await refusing
    assert error.code == "handshake_refused"
    assert sentence in error.message


async def test_an_agent_without_tls(start_board, dial):
    board = await start_board(None)
    error = await reason(dial(board.entry()))
    assert error.code == "handshake_refused"
    assert "speaks no TLS" in error.message


async def test_insecure_works_on_loopback_and_nowhere_else(start_board, dial):
    board = await start_board(None)
    async with dial(board.entry(insecure=True), None) as client:
        assert (await client.describe()).device.name == "pi-1"
    error = await reason(dial(DeviceEntry("pi-1", "192.0.2.7:50051", {}, insecure=True), None))
    assert error.code == "config_invalid"
    assert "not a loopback address" in error.message


async def test_an_insecure_entry_for_an_agent_with_tls(board, dial):
    error = await reason(dial(board.entry(insecure=True), None))
    assert error.code == "handshake_refused"
    assert "speaks TLS, but the inventory marks it insecure" in error.message


async def test_nobody_listens(dial):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    error = await reason(dial(DeviceEntry("pi-1", address)))
    assert (error.code, error.exit_code) == ("unreachable", ExitCode.LAB)
    assert f"device 'pi-1' at {address} does not answer: the connection is refused" in error.message


async def test_an_unknown_host_name(dial):
    error = await reason(dial(DeviceEntry("pi-1", "no-such-board.invalid:50051")))
    assert error.code == "unreachable"


async def test_a_silent_address_is_unreachable_within_its_deadline(lab):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It takes connections (the kernel does) and never says a word.
        entry = DeviceEntry("pi-1", f"127.0.0.1:{silent.getsockname()[1]}")
        timings = LinkTimings(connect_s=0.5)
        error = await reason(DeviceClient(entry, lab.controller, controller_version="0.1.0", timings=timings))
    assert error.code == "unreachable"
    assert "no answer within 0.5 s" in error.message


async def test_a_method_that_hangs_is_over_at_its_deadline(board, lab):
    timings = LinkTimings(connect_s=5.0, call_s=0.5)
    async with DeviceClient(board.entry(), lab.controller, controller_version="0.1.0", timings=timings) as client:
        await client.describe()
        board.leases.hangs = True
        with pytest.raises(EdgesweepError, match="does not answer: its time ran out") as caught:
            await client.list_leases()
        assert caught.value.code == "unreachable"
        # A method that hangs says nothing about the link: only the call is over.
        assert (await client.describe()).device.name == "pi-1"


def test_an_identity_is_checked_before_it_is_used(lab, other_lab, tmp_path):
    assert load_identity(lab.controller).context().verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(EdgesweepError, match=r"ca\.pem cannot be read: No such file"):
        load_identity(tmp_path)
    with pytest.raises(EdgesweepError, match="expired on"):
        load_identity(pki.issue_controller(lab.pki_dir, "late", validity=PAST))
    with pytest.raises(EdgesweepError, match=r"valid only from .* this host's clock says") as caught:
        load_identity(pki.issue_controller(lab.pki_dir, "early", validity=FUTURE))
    assert caught.value.remedy == "set this host's clock"
    with pytest.raises(EdgesweepError, match="is a device's certificate, not a controller's"):
        load_identity(lab.device)
    mixed = pki.issue_controller(lab.pki_dir, "mixed")
    (mixed / "ca.pem").write_bytes((other_lab.controller / "ca.pem").read_bytes())
    with pytest.raises(EdgesweepError, match="was not issued by the authority in"):
        load_identity(mixed)
    (lab.controller / "key.pem").write_bytes((other_lab.controller / "key.pem").read_bytes())
    with pytest.raises(EdgesweepError, match="is not the key of") as caught:
        load_identity(lab.controller)
    assert caught.value.code == "certificate_unusable"
    (lab.controller / "cert.pem").write_text("nothing")
    with pytest.raises(EdgesweepError, match="holds no certificate"):
        load_identity(lab.controller)
