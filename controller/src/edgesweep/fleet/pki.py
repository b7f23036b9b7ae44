"""The lab's own certificate authority: one CA, one certificate per device and per controller.

Layout of the folder (0700, keys 0600):

    ca.pem  ca.key                      the authority; the key never leaves this folder
    issued.jsonl                        one line per certificate ever issued
    devices/<name>/{ca,cert,key}.pem    what a board needs, as `edgesweep-agent serve --tls-dir` reads it
    controllers/<name>/{ca,cert,key}.pem
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.identity import load_identity
from edgesweep.fleet.names import name_fault, verified_name

CA_LIFETIME = timedelta(days=3652)
LEAF_LIFETIME = timedelta(days=730)
#: Boards come up with a clock that is some hours behind: a new certificate is valid since yesterday.
CLOCK_SLACK = timedelta(days=1)
#: A certificate with less than this left is issued again where that costs nothing.
RENEWED_BEFORE = timedelta(days=30)
#: The name of this host's controller among the lab's controllers.
CONTROLLER = "controller"
#: What `leaf_fault` says of a certificate that was never issued.
MISSING = "there is none"


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate holds, in UTC."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def starting_now(cls, lifetime: timedelta) -> Validity:
        """`lifetime` from now on, and a day back for slow clocks."""
        now = datetime.now(UTC).replace(microsecond=0)
        return cls(now - CLOCK_SLACK, now + lifetime)


@dataclass(frozen=True, slots=True)
class Issued:
    """One line of the record of issued certificates; `role` is ca, device or controller, times are ISO 8601."""

    serial: str
    role: str
    name: str
    issued: str
    not_after: str
    sha256: str


def init_ca(pki_dir: Path, *, validity: Validity | None = None) -> Path:
    """Makes a new certificate authority in `pki_dir` and returns the path of its certificate.

    Raises:
        EdgesweepError: `usage` when the folder already holds an authority; it is never overwritten.
    """
    if has_ca(pki_dir):
        raise EdgesweepError(
            "usage",
            f"{pki_dir} already holds a certificate authority",
            remedy="go on with it; only when every device gets a new certificate, move that folder away first",
        )
    _private_folder(pki_dir)
    span = validity or Validity.starting_now(CA_LIFETIME)
    key = ec.generate_private_key(ec.SECP256R1())
    # Two labs' authorities must not share a subject: TLS stacks look issuers up by it.
    subject = _subject(f"Edgesweep lab CA {secrets.token_hex(4)}")
    certificate = (
        _builder(subject, subject, key, span)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(pki_dir / "ca.key", _key_pem(key), mode=0o600)
    _write(pki_dir / "ca.pem", _pem(certificate), mode=0o644)
    _record(pki_dir, certificate, "ca", "ca")
    return pki_dir / "ca.pem"


def has_ca(pki_dir: Path) -> bool:
    """Whether `pki_dir` holds (any part of) a certificate authority."""
    return (pki_dir / "ca.pem").exists() or (pki_dir / "ca.key").exists()


def ensure_lab(pki_dir: Path) -> tuple[str, ...]:
    """Makes what a controller needs and does not have: an authority, and a certificate of its own that can be used.

    An authority that is there is never replaced; a certificate that is missing, damaged or about to expire is.

    Returns:
        What was made, in plain words; empty when everything was there.

    Raises:
        EdgesweepError: `certificate_unusable` when the authority that is there cannot be used, or the folder not written.
    """
    made = []
    try:
        if not has_ca(pki_dir):
            init_ca(pki_dir)
            made.append("a certificate authority")
        if fault := leaf_fault(pki_dir, "controller", CONTROLLER):
            issue_controller(pki_dir)
            made.append("this controller's certificate" + ("" if fault == MISSING else f": {fault}"))
    except OSError as error:
        raise EdgesweepError(
            "certificate_unusable",
            f"{error.filename or pki_dir} cannot be written: {error.strerror}",
            remedy="give this user the right to write there, or set EDGESWEEP_HOME to another folder",
        ) from error
    return tuple(made)


def ensure_device(pki_dir: Path, name: str) -> Path:
    """The folder with a certificate of the device `name` that can be used; issued when it is missing or cannot be."""
    return issue_device(pki_dir, name) if leaf_fault(pki_dir, "device", name) else device_tls_dir(pki_dir, name)


def leaf_fault(pki_dir: Path, role: str, name: str) -> str:
    """Why the certificate of `name` cannot go on being used; empty when it can, `MISSING` when there is none.

    Args:
        pki_dir: the lab's folder.
        role: `device` or `controller`.
        name: whose certificate.

    Raises:
        EdgesweepError: `certificate_unusable` for a bad authority: no certificate of it can be judged.
    """
    authority, _ = _load_ca(pki_dir)
    folder = pki_dir / f"{role}s" / name
    if not (folder / "cert.pem").exists():
        return MISSING
    try:
        identity = load_identity(folder, role=role)
    except EdgesweepError as error:
        return f"the old one could not be used, {error.message}"
    if x509.load_pem_x509_certificate(identity.ca) != authority:
        return "the old one came from another authority"
    last = x509.load_pem_x509_certificate(identity.certificate).not_valid_after_utc
    # One that ends with its authority cannot be prolonged.
    if last < min(datetime.now(UTC) + RENEWED_BEFORE, authority.not_valid_after_utc):
        return f"the old one would expire on {last:%Y-%m-%d}"
    return ""


def issue_device(pki_dir: Path, name: str, *, validity: Validity | None = None) -> Path:
    """Issues a new key and certificate for the device `name`, replacing what it had.

    Returns:
        The folder with `ca.pem`, `cert.pem` and `key.pem` that goes to the board.

    Raises:
        EdgesweepError: `usage` for a bad name, `certificate_unusable` without a usable authority.
    """
    return _issue(
        pki_dir,
        "device",
        name,
        x509.DNSName(verified_name(name)),
        ExtendedKeyUsageOID.SERVER_AUTH,
        validity,
    )


def issue_controller(pki_dir: Path, name: str = CONTROLLER, *, validity: Validity | None = None) -> Path:
    """Issues a new key and certificate for the controller `name`; see `issue_device`."""
    return _issue(
        pki_dir,
        "controller",
        name,
        x509.UniformResourceIdentifier(controller_uri(name)),
        ExtendedKeyUsageOID.CLIENT_AUTH,
        validity,
    )


def controller_uri(name: str) -> str:
    """The identity that agents read from the certificate of the controller `name`."""
    return f"edgesweep://controller/{name}"


def device_tls_dir(pki_dir: Path, name: str) -> Path:
    """Where the certificate of the device `name` lies once it is issued."""
    return pki_dir / "devices" / name


def controller_tls_dir(pki_dir: Path, name: str = CONTROLLER) -> Path:
    """The folder of this controller's certificate.

    Raises:
        EdgesweepError: `certificate_unusable` when none was issued.
    """
    folder = pki_dir / "controllers" / name
    if not (folder / "cert.pem").exists():
        raise EdgesweepError(
            "certificate_unusable",
            f"this controller has no certificate yet: {folder / 'cert.pem'} does not exist",
            remedy="make the lab's certificates with `edgesweep pki init`",
        )
    return folder


def issued(pki_dir: Path) -> tuple[Issued, ...]:
    """Every certificate that this authority issued, oldest first."""
    record = pki_dir / "issued.jsonl"
    if not record.exists():
        return ()
    return tuple(Issued(**json.loads(line)) for line in record.read_text("utf-8").splitlines() if line.strip())


def _issue(
    pki_dir: Path,
    role: str,
    name: str,
    identity: x509.GeneralName,
    usage: x509.ObjectIdentifier,
    validity: Validity | None,
) -> Path:
    if fault := name_fault(name):
        raise EdgesweepError("usage", fault, remedy=f"choose another name for the {role}")
    authority, authority_key = _load_ca(pki_dir)
    span = validity or Validity.starting_now(LEAF_LIFETIME)
    # A leaf that outlives its authority would fail with a confusing message later on.
    span = Validity(span.not_before, min(span.not_after, authority.not_valid_after_utc))
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_subject(name), authority.subject, key, span)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([identity]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    # The record comes first: a certificate that nobody knows of could never be revoked.
    _record(pki_dir, certificate, role, name)
    folder = pki_dir / f"{role}s" / name
    _private_folder(folder.parent)
    _private_folder(folder)
    _write(folder / "key.pem", _key_pem(key), mode=0o600)
    _write(folder / "cert.pem", _pem(certificate), mode=0o644)
    _write(folder / "ca.pem", _pem(authority), mode=0o644)
    return folder


def _load_ca(pki_dir: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((pki_dir / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((pki_dir / "ca.key").read_bytes(), password=None)
    except FileNotFoundError as error:
        half = "restore it from a copy, or move that folder away and run `edgesweep pki init`"
        raise EdgesweepError(
            "certificate_unusable",
            f"there is no certificate authority in {pki_dir}: {Path(error.filename).name} does not exist",
            remedy=half if has_ca(pki_dir) else "make one with `edgesweep pki init`",
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise EdgesweepError(
            "certificate_unusable",
            f"the certificate authority in {pki_dir} cannot be read: {error}",
            remedy="restore ca.pem and ca.key from a copy, or move the folder away and run `edgesweep pki init`",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise EdgesweepError(
            "certificate_unusable",
            f"ca.key in {pki_dir} is not the key of ca.pem",
            remedy="restore both from one copy",
        )
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise EdgesweepError(
            "certificate_unusable",
            f"the certificate authority in {pki_dir} expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            remedy="move that folder away, run `edgesweep pki init` and issue every certificate again",
        )
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, span: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(span.not_before)
        .not_valid_after(span.not_after)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _private_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Writes all or nothing, and never leaves a key readable by others, not even for a moment."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _record(pki_dir: Path, certificate: x509.Certificate, role: str, name: str) -> None:
    line = {
        "serial": f"{certificate.serial_number:x}",
        "role": role,
        "name": name,
        "issued": datetime.now(UTC).isoformat(timespec="seconds"),
        "not_after": certificate.not_valid_after_utc.isoformat(timespec="seconds"),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }
    handle = os.open(pki_dir / "issued.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
