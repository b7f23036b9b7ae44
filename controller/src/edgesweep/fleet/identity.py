"""A certificate of the lab with its key, read and checked before anything is sent with it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgesweep.errors import EdgesweepError


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM texts of one end of a TLS connection, and the folder that they came from."""

    folder: Path
    ca: bytes
    certificate: bytes
    key: bytes

    def context(self) -> ssl.SSLContext:
        """What Python's own TLS needs to speak as gRPC does: this identity, this CA alone, HTTP/2."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca.decode("ascii"))
        context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        context.set_alpn_protocols(["h2"])
        return context


def load_identity(folder: Path, *, role: str = "controller") -> Identity:
    """Reads `ca.pem`, `cert.pem` and `key.pem` of `folder` and checks that they can be used today.

    Args:
        folder: where they lie.
        role: `controller` for one that dials devices, `device` for one that answers.

    Raises:
        EdgesweepError: `certificate_unusable` with the file and the reason.
    """
    texts = {}
    for name in ("ca.pem", "cert.pem", "key.pem"):
        try:
            texts[name] = (folder / name).read_bytes()
        except OSError as error:
            raise EdgesweepError(
                "certificate_unusable",
                f"{folder / name} cannot be read: {error.strerror}",
                remedy="make the lab's certificates with `edgesweep pki init`",
            ) from error
    identity = Identity(folder, texts["ca.pem"], texts["cert.pem"], texts["key.pem"])
    authority, certificate = (_load(folder / name, texts[name]) for name in ("ca.pem", "cert.pem"))
    _check_dates(folder / "ca.pem", authority)
    _check_dates(folder / "cert.pem", certificate)
    if role == "controller" and not _may_dial(certificate):
        raise EdgesweepError(
            "certificate_unusable",
            f"{folder / 'cert.pem'} is a device's certificate, not a controller's",
            remedy="issue a controller certificate with `edgesweep pki init`",
        )
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise EdgesweepError(
            "certificate_unusable",
            f"{folder / 'cert.pem'} was not issued by the authority in {folder / 'ca.pem'}",
            remedy="issue this controller's certificate again with `edgesweep pki init`",
        ) from error
    try:
        identity.context()
    except (ssl.SSLError, ValueError) as error:
        raise EdgesweepError(
            "certificate_unusable",
            f"{folder / 'key.pem'} is not the key of {folder / 'cert.pem'}, or one of them is damaged",
            remedy="issue this controller's certificate again with `edgesweep pki init`",
        ) from error
    return identity


def _load(path: Path, text: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise EdgesweepError("certificate_unusable", f"{path} holds no certificate") from error


def _may_dial(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _check_dates(path: Path, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc <= now:
        raise EdgesweepError(
            "certificate_unusable",
            f"{path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            remedy="issue it again with `edgesweep pki init`",
        )
    if certificate.not_valid_before_utc > now:
        raise EdgesweepError(
            "certificate_unusable",
            f"{path} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on, and this host's clock says {now:%Y-%m-%d %H:%M}",
            remedy="set this host's clock",
        )
