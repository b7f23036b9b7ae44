from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.fleet import pki
from edgesweep.fleet.identity import load_identity


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_chain_of_a_device_verifies_for_its_name_and_no_other(lab):
    policy = PolicyBuilder().store(Store([load(lab.pki_dir / "ca.pem")]))
    leaf = load(lab.device / "cert.pem")
    policy.build_server_verifier(x509.DNSName("pi-1.edgesweep")).verify(leaf, [])
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("pi-2.edgesweep")).verify(leaf, [])


def test_the_chain_of_a_controller_verifies_and_names_it(lab):
    policy = PolicyBuilder().store(Store([load(lab.pki_dir / "ca.pem")]))
    verified = policy.build_client_verifier().verify(load(lab.controller / "cert.pem"), [])
    assert verified.subjects == [x509.UniformResourceIdentifier("edgesweep://controller/controller")]
    assert load(lab.controller / "cert.pem").subject.rfc4514_string() == "CN=controller"


def test_a_device_certificate_is_no_controllers_and_the_other_way_round(lab):
    policy = PolicyBuilder().store(Store([load(lab.pki_dir / "ca.pem")]))
    with pytest.raises(VerificationError):
        policy.build_client_verifier().verify(load(lab.device / "cert.pem"), [])
    usage = load(lab.controller / "cert.pem").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_another_labs_authority_does_not_vouch_for_the_device(lab, other_lab):
    policy = PolicyBuilder().store(Store([load(other_lab.pki_dir / "ca.pem")]))
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("pi-1.edgesweep")).verify(load(lab.device / "cert.pem"), [])


def test_keys_are_private_and_so_are_the_folders(lab):
    for key in (lab.pki_dir / "ca.key", lab.device / "key.pem", lab.controller / "key.pem"):
        assert mode(key) == 0o600, key
    for folder in (lab.pki_dir, lab.pki_dir / "devices", lab.device, lab.controller):
        assert mode(folder) == 0o700, folder
    assert sorted(path.name for path in lab.device.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]


def test_lifetimes(lab):
    now = datetime.now(UTC)
    authority, leaf = load(lab.pki_dir / "ca.pem"), load(lab.device / "cert.pem")
    assert timedelta(days=3650) < authority.not_valid_after_utc - now < timedelta(days=3653)
    assert timedelta(days=729) < leaf.not_valid_after_utc - now <= timedelta(days=730)
    assert now - leaf.not_valid_before_utc > timedelta(hours=23)


def test_a_leaf_never_outlives_its_authority(tmp_path):
    now = datetime.now(UTC)
    pki.init_ca(tmp_path, validity=pki.Validity(now, now + timedelta(days=5)))
    leaf = load(pki.issue_device(tmp_path, "pi-1") / "cert.pem")
    assert leaf.not_valid_after_utc == load(tmp_path / "ca.pem").not_valid_after_utc


def test_an_authority_is_never_overwritten(lab):
    before = (lab.pki_dir / "ca.key").read_bytes()
    with pytest.raises(EdgesweepError, match="already holds a certificate authority") as caught:
        pki.init_ca(lab.pki_dir)
    assert caught.value.exit_code is ExitCode.USAGE
    assert pki.ensure_lab(lab.pki_dir) == ()
    assert (lab.pki_dir / "ca.key").read_bytes() == before


def test_a_lab_is_made_where_there_is_none_and_then_left_alone(tmp_path):
    folder = tmp_path / "new"
    assert pki.ensure_lab(folder) == ("a certificate authority", "this controller's certificate")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert pki.ensure_lab(folder) == ()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def spoil_missing(lab, other_lab):
    (lab.controller / "cert.pem").unlink()


def spoil_damaged(lab, other_lab):
    (lab.controller / "key.pem").write_text("not a key")


def spoil_expired(lab, other_lab):
    now = datetime.now(UTC)
    pki.issue_controller(lab.pki_dir, validity=pki.Validity(now - timedelta(days=9), now - timedelta(days=2)))


def spoil_expires_soon(lab, other_lab):
    now = datetime.now(UTC)
    pki.issue_controller(lab.pki_dir, validity=pki.Validity(now, now + timedelta(days=20)))


def spoil_other_lab(lab, other_lab):
    for path in other_lab.controller.iterdir():
        (lab.controller / path.name).write_bytes(path.read_bytes())


def spoil_device(lab, other_lab):
    for path in lab.device.iterdir():
        (lab.controller / path.name).write_bytes(path.read_bytes())


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (spoil_missing, ""),
        (spoil_damaged, "is not the key of"),
        (spoil_expired, "expired on"),
        (spoil_expires_soon, "would expire on"),
        (spoil_other_lab, "another authority"),
        (spoil_device, "is a device's certificate"),
    ],
)
def test_a_controllers_certificate_that_is_of_no_use_is_issued_again(lab, other_lab, spoil, why):
    authority = (lab.pki_dir / "ca.key").read_bytes(), (lab.pki_dir / "ca.pem").read_bytes()
    spoil(lab, other_lab)
    (made,) = pki.ensure_lab(lab.pki_dir)
    assert made.startswith("this controller's certificate")
    assert why in made
    load_identity(lab.controller)
    assert pki.ensure_lab(lab.pki_dir) == ()
    assert ((lab.pki_dir / "ca.key").read_bytes(), (lab.pki_dir / "ca.pem").read_bytes()) == authority


def test_a_certificate_that_ends_with_its_authority_is_not_issued_for_ever(tmp_path):
    now = datetime.now(UTC)
    pki.init_ca(tmp_path, validity=pki.Validity(now, now + timedelta(days=5)))
    assert len(pki.ensure_lab(tmp_path)) == 1
    assert pki.ensure_lab(tmp_path) == ()


def test_half_an_authority_is_never_replaced(lab):
    (lab.pki_dir / "ca.key").unlink()
    before = (lab.pki_dir / "ca.pem").read_bytes()
    with pytest.raises(EdgesweepError, match=r"ca\.key does not exist") as caught:
        pki.ensure_lab(lab.pki_dir)
    assert "restore it" in caught.value.remedy
    assert (lab.pki_dir / "ca.pem").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgesweepError, match="cannot be written") as caught:
        pki.ensure_lab(tmp_path / "file" / "pki")
    assert caught.value.exit_code is ExitCode.CREDENTIALS


def test_a_devices_certificate_is_kept_while_it_is_good(lab):
    before = (lab.device / "cert.pem").read_bytes()
    assert pki.ensure_device(lab.pki_dir, "pi-1") == lab.device
    assert (lab.device / "cert.pem").read_bytes() == before
    now = datetime.now(UTC)
    pki.issue_device(lab.pki_dir, "pi-1", validity=pki.Validity(now - timedelta(days=9), now - timedelta(days=2)))
    pki.ensure_device(lab.pki_dir, "pi-1")
    load_identity(lab.device, role="device")
    (lab.device / "cert.pem").write_text("cut off")
    pki.ensure_device(lab.pki_dir, "pi-1")
    load_identity(lab.device, role="device")
    assert pki.ensure_device(lab.pki_dir, "pi-2") == pki.device_tls_dir(lab.pki_dir, "pi-2")


def test_issuing_again_makes_a_new_key_and_records_every_serial(lab):
    before = (lab.device / "key.pem").read_bytes()
    pki.issue_device(lab.pki_dir, "pi-1")
    assert (lab.device / "key.pem").read_bytes() != before
    record = pki.issued(lab.pki_dir)
    assert [(line.role, line.name) for line in record] == [
        ("ca", "ca"),
        ("device", "pi-1"),
        ("controller", "controller"),
        ("device", "pi-1"),
    ]
    assert record[-1].serial == f"{load(lab.device / 'cert.pem').serial_number:x}"
    assert len({line.serial for line in record}) == 4


@pytest.mark.parametrize("name", ["", "Pi", "pi_1", "-pi", "pi-", "../etc", "a.b", "p" * 64])
def test_a_bad_name_is_refused_before_anything_is_written(lab, name):
    with pytest.raises(EdgesweepError, match="is not a name"):
        pki.issue_device(lab.pki_dir, name)
    assert len(pki.issued(lab.pki_dir)) == 3


def test_without_an_authority_nothing_is_issued(tmp_path):
    with pytest.raises(EdgesweepError, match=r"no certificate authority in .*ca\.pem does not exist") as caught:
        pki.issue_device(tmp_path, "pi-1")
    assert caught.value.code == "certificate_unusable"
    assert "pki init" in caught.value.remedy
    assert pki.issued(tmp_path) == ()


def test_a_damaged_authority_is_told(lab):
    (lab.pki_dir / "ca.key").write_text("not a key")
    with pytest.raises(EdgesweepError, match="cannot be read"):
        pki.issue_controller(lab.pki_dir, "second")


def test_the_key_of_another_authority_is_told(lab, other_lab):
    (lab.pki_dir / "ca.key").write_bytes((other_lab.pki_dir / "ca.key").read_bytes())
    with pytest.raises(EdgesweepError, match="is not the key of"):
        pki.issue_device(lab.pki_dir, "pi-1")


def test_an_expired_authority_is_told(tmp_path):
    now = datetime.now(UTC)
    pki.init_ca(tmp_path, validity=pki.Validity(now - timedelta(days=9), now - timedelta(days=2)))
    with pytest.raises(EdgesweepError, match="expired on"):
        pki.issue_device(tmp_path, "pi-1")


def test_the_controllers_folder(lab, tmp_path):
    assert pki.controller_tls_dir(lab.pki_dir) == lab.controller
    assert pki.device_tls_dir(lab.pki_dir, "pi-1") == lab.device
    with pytest.raises(EdgesweepError, match="no certificate yet"):
        pki.controller_tls_dir(tmp_path / "nowhere")
