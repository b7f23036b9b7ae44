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
    assert pki.ensure_ca(lab.pki_dir) is False
    assert (lab.pki_dir / "ca.key").read_bytes() == before


def test_ensure_makes_one_where_there_is_none(tmp_path):
    assert pki.ensure_ca(tmp_path / "new") is True
    assert pki.has_ca(tmp_path / "new")


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
