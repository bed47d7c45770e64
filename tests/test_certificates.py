"""The certificate that the proxy offers when the user brings none."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy import certificates
from proxy.certificates import Certificate, default_certificate
from proxy.tls import TlsLeg, server_context


def _leaf(found: Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(found.chain.read_bytes())


def test_it_is_private_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "certificates"
    first = default_certificate(folder)
    content = first.chain.read_bytes()
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert default_certificate(folder) == first
    assert first.chain.read_bytes() == content
    assert {path.name for path in folder.iterdir()} == {"server.pem", "authority.pem"}


def test_it_names_this_machine_and_is_signed_by_an_authority(tmp_path: Path) -> None:
    found = default_certificate(tmp_path)
    leaf = _leaf(found)
    assert found.authority is not None
    authority = x509.load_pem_x509_certificate(found.authority.read_bytes())
    leaf.verify_directly_issued_by(authority)
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert {"127.0.0.1", "::1"} == {str(address) for address in names.get_values_for_type(x509.IPAddress)}


def test_the_authority_has_no_key_anywhere(tmp_path: Path) -> None:
    found = default_certificate(tmp_path)
    assert found.authority is not None
    authority = x509.load_pem_x509_certificate(found.authority.read_bytes())
    keys = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert keys.count(b"PRIVATE KEY-----\n") == 2  # one key: its BEGIN and its END
    kept = serialization.load_pem_private_key(found.key.read_bytes(), password=None)
    assert kept.public_key() != authority.public_key()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_authority_verifies_it(tmp_path: Path, host: str) -> None:
    found = default_certificate(tmp_path)
    server = TlsLeg(server_context(found.chain, found.key), server_side=True)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(found.authority)).wrap_bio(incoming, outgoing, server_hostname=host)
    for _ in range(4):
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            server.receive(outgoing.read())
            incoming.write(server.outgoing())
    certificate = client.getpeercert()
    assert certificate is not None and certificate["subject"]


def test_an_expired_one_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "LIFETIME", datetime.timedelta(days=29))
    old = _leaf(default_certificate(tmp_path))
    monkeypatch.undo()
    new = default_certificate(tmp_path)
    assert _leaf(new).serial_number != old.serial_number
    assert new.authority is not None and new.authority.read_bytes() in new.chain.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_one_is_replaced(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "server.pem").write_bytes(damage)
    found = default_certificate(tmp_path)
    server_context(found.chain, found.key)


def test_an_unwritable_folder_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        default_certificate(tmp_path / "file" / "below")
