"""Who talks to whom: the agent's own certificate, and the identity of a peer as its certificate proves it."""

from __future__ import annotations

import socket
import ssl
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import grpc

#: A controller's certificate carries a URI that starts like this; its name follows.
CONTROLLER_URI = "edgesweep://controller/"

#: The identity of every peer where TLS is off.
INSECURE = "insecure"


class CertificateError(Exception):
    """The agent's own certificate, key or CA cannot be used; the sentence says which and why."""


def server_credentials(tls_dir: Path) -> grpc.ServerCredentials:
    """Credentials that show the agent's certificate and demand one of the same CA from the peer.

    Args:
        tls_dir: Holds `ca.pem`, `cert.pem` and `key.pem`.

    Raises:
        CertificateError: a file cannot be read, or the certificate is none or outside its validity. Whether all
            fit together shows when gRPC listens with them; see `diagnose`.
    """
    parts = {name: _read(tls_dir / name) for name in ("ca.pem", "cert.pem", "key.pem")}
    # gRPC takes an empty ca.pem without a word: whoever that would let in, it must not.
    for name in ("ca.pem", "cert.pem"):
        _check_validity(tls_dir / name, parts[name])
    return grpc.ssl_server_credentials(
        [(parts["key.pem"], parts["cert.pem"])], root_certificates=parts["ca.pem"], require_client_auth=True
    )


def diagnose(tls_dir: Path) -> str:
    """Why gRPC would not listen with these files, in OpenSSL's words; empty when nothing is wrong with them.

    Asked only after a refusal: gRPC itself gives no reason, and OpenSSL costs a megabyte that would stay for good.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(cafile=str(tls_dir / "ca.pem"))
    except (ssl.SSLError, ValueError) as error:
        return f"{tls_dir / 'ca.pem'} holds no certificate authority: {error}"
    try:
        context.load_cert_chain(str(tls_dir / "cert.pem"), str(tls_dir / "key.pem"), password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        return f"cert.pem and key.pem in {tls_dir} are not a usable pair: {error}"
    return ""


def is_loopback(host: str) -> bool:
    """Whether every address of `host` stays on this machine.

    Raises:
        OSError: the name does not resolve.
    """
    # As bytes: for a text Python loads its tables of international names, a megabyte that would stay for good.
    name = host.encode("ascii" if host.isascii() else "idna")
    found = {str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    return all(address.startswith("127.") or address == "::1" for address in found)


def controller_name(auth_context: dict[str, Any]) -> str | None:
    """The name in a controller's certificate; None for every other certificate, a device's for one.

    Only URI entries count: a DNS entry of the same text proves nothing.
    """
    for uri in auth_context.get("peer_uri", ()):
        text = str(uri, "utf-8", "replace")
        if text.startswith(CONTROLLER_URI) and len(text) > len(CONTROLLER_URI):
            return text[len(CONTROLLER_URI) :]
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error


def _check_validity(path: Path, pem: bytes) -> None:
    try:
        first, last = validity(ssl.PEM_cert_to_DER_cert(_first_certificate(pem)))
    except (ValueError, IndexError) as error:
        raise CertificateError(f"{path} holds no certificate") from error
    now = time.time()
    if now < first:
        raise CertificateError(
            f"{path} is not yet valid: this board's clock says {time.ctime(now)}; set the clock (e.g. with NTP) and start again"
        )
    if now > last:
        raise CertificateError(
            f"{path} has expired on {time.ctime(last)}; issue it again with `edgesweep pki issue NAME`"
        )


def _first_certificate(pem: bytes) -> str:
    text = pem.decode("ascii", "replace")
    begin, end = text.index(ssl.PEM_HEADER), text.index(ssl.PEM_FOOTER)
    return text[begin : end + len(ssl.PEM_FOOTER)] + "\n"


def validity(der: bytes) -> tuple[float, float]:
    """Unix times between which a DER certificate is valid (RFC 5280 §4.1: the fifth part of TBSCertificate).

    Raises:
        ValueError: this is no certificate.
    """
    _, certificate, _ = _element(der, 0)
    _, body, _ = _element(certificate, 0)
    position = 0
    tag, _, following = _element(body, 0)
    if tag == 0xA0:  # noqa: PLR2004 - the optional [0] version
        position = following
    for _ in range(3):  # serial number, signature algorithm, issuer
        _, _, position = _element(body, position)
    _, times, _ = _element(body, position)
    first_tag, first, position = _element(times, 0)
    last_tag, last, _ = _element(times, position)
    return _unix_time(first_tag, first), _unix_time(last_tag, last)


def _element(data: bytes, position: int) -> tuple[int, bytes, int]:
    if position + 2 > len(data):
        raise ValueError("a certificate ends early")
    tag, size, start = data[position], data[position + 1], position + 2
    if size & 0x80:
        count = size & 0x7F
        size, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + size > len(data):
        raise ValueError("a certificate ends early")
    return tag, data[start : start + size], start + size


def _unix_time(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == 0x17:  # noqa: PLR2004 - UTCTime has two digits for the year: 50 and above are of the last century
        text = ("19" if text >= "50" else "20") + text
    fields = [int(text[0:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))]
    return datetime(*fields, tzinfo=timezone.utc).timestamp()  # type: ignore[misc, arg-type]  # noqa: UP017 - 3.10
