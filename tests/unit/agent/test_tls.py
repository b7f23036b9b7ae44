"""The agent's own certificate, and who a peer is."""

from __future__ import annotations

from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme
from edgesweep_agent import tls
from edgesweep_agent.faults import Fault
from edgesweep_agent.services.peer import tls_identity


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_dir(tmp_path: Path, authority: trustme.CA) -> Path:
    issued = authority.issue_cert("board.edgesweep")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return tmp_path


def test_a_good_folder_gives_credentials(tls_dir: Path) -> None:
    assert tls.server_credentials(tls_dir) is not None


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("ca.pem", None, "ca.pem cannot be read: No such file"),
        ("key.pem", None, "key.pem cannot be read"),
        ("ca.pem", b"", "ca.pem holds no certificate"),
        ("ca.pem", b"rubbish", "ca.pem holds no certificate"),
        ("cert.pem", b"rubbish", "cert.pem holds no certificate"),
        (
            "cert.pem",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cert.pem holds no certificate",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(tls_dir: Path, name: str, content: bytes | None, sentence: str) -> None:
    (tls_dir / name).unlink()
    if content is not None:
        (tls_dir / name).write_bytes(content)
    with pytest.raises(tls.CertificateError, match=sentence):
        tls.server_credentials(tls_dir)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("key.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "are not a usable pair"),
        ("key.pem", b"another", "are not a usable pair"),
    ],
)
async def test_what_grpc_refuses_is_diagnosed(
    tls_dir: Path, authority: trustme.CA, name: str, content: bytes, sentence: str
) -> None:
    assert tls.diagnose(tls_dir) == ""
    if content == b"another":
        content = authority.issue_cert("other").private_key_pem.bytes()
    (tls_dir / name).write_bytes(content)
    server = grpc.aio.server()
    with pytest.raises(RuntimeError):
        server.add_secure_port("127.0.0.1:0", tls.server_credentials(tls_dir))
    assert sentence in tls.diagnose(tls_dir)


def test_a_board_without_a_clock_is_told_to_set_it(tls_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls.time, "time", lambda: 3600.0)
    with pytest.raises(tls.CertificateError, match=r"not yet valid: this board's clock says .*1970; set the clock"):
        tls.server_credentials(tls_dir)
    monkeypatch.setattr(tls.time, "time", lambda: 1e11)
    with pytest.raises(tls.CertificateError, match="has expired on"):
        tls.server_credentials(tls_dir)


def test_validity_is_read_as_the_cryptography_package_reads_it(authority: trustme.CA) -> None:
    import ssl

    from cryptography import x509

    pem = authority.cert_pem.bytes()
    known = x509.load_pem_x509_certificate(pem)
    first, last = tls.validity(ssl.PEM_cert_to_DER_cert(pem.decode()))
    assert (first, last) == (known.not_valid_before_utc.timestamp(), known.not_valid_after_utc.timestamp())
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    for size in range(0, 100, 7):
        with pytest.raises((ValueError, IndexError)):
            tls.validity(der[:size])


class Context:
    def __init__(self, **context: list[bytes]) -> None:
        self.context = context

    def auth_context(self) -> dict[str, list[bytes]]:
        return self.context


def test_only_a_controllers_uri_makes_a_controller() -> None:
    assert tls_identity(Context(peer_uri=[b"https://x", b"edgesweep://controller/lab"])) == "lab"
    for context in (
        Context(),
        Context(peer_uri=[b"edgesweep://controller/"]),
        Context(peer_uri=[b"edgesweep://device/board"]),
        Context(
            peer_dns=[b"edgesweep://controller/lab"], x509_subject_alternative_name=[b"edgesweep://controller/lab"]
        ),
        Context(x509_common_name=[b"lab"]),
    ):
        with pytest.raises(Fault) as refused:
            tls_identity(context)
        assert refused.value.code == "not_authorised"
