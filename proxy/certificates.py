"""The certificate that the proxy shows when the user brings none.

DataJoint 0.14 refuses a server without TLS, so there must always be one. An authority of its own signs a server
certificate for this machine; the authority's key is thrown away at once: who trusts the authority trusts exactly
this one certificate, for nobody can sign another. Both are renewed when they run out. Key, certificate and authority
are in one file, which is replaced in one step: two proxies that start at once get a pair that fits, whoever is last.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_FILE = "authority.pem"
SERVER_FILE = "server.pem"

# RSA, because MySQL 5.7 clients built with yaSSL know nothing else.
KEY_BITS = 2048
LIFETIME = datetime.timedelta(days=3650)
RENEW_BEFORE = datetime.timedelta(days=30)
# A client whose clock is behind ours must not find a certificate from the future.
CLOCK_SKEW = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What to show to clients: PEM files, which may be one. `authority` is what clients may trust, where it is ours."""

    chain: Path
    key: Path
    authority: Path | None = None


def default_certificate(folder: Path) -> Certificate:
    """The certificate in `folder`, made or renewed when need be. OSError when the folder cannot be written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    server, authority = folder / SERVER_FILE, folder / AUTHORITY_FILE
    trusted = _read_authority(server)
    if trusted is None:
        trusted = _make(server)
    if not authority.exists() or authority.read_bytes() != trusted:
        write_private(authority, trusted)
    return Certificate(server, server, authority)


def _read_authority(server: Path) -> bytes | None:
    """The authority in the file, when all in the file is of use still."""
    try:
        content = server.read_bytes()
        key = serialization.load_pem_private_key(content, password=None)
        certificate, authority = x509.load_pem_x509_certificates(content)
        certificate.verify_directly_issued_by(authority)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        # Missing, cut off, or not from one another: any of them calls for new ones, none for a complaint.
        return None
    now = datetime.datetime.now(datetime.UTC)
    fresh = certificate.not_valid_after_utc - RENEW_BEFORE > now
    if not fresh or certificate.public_key() != key.public_key() or _names(certificate) != _own_names():
        return None
    return authority.public_bytes(serialization.Encoding.PEM)


def _names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return list(extension.value)


def _own_names() -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    host = platform.node()
    if host and host.isascii() and host != "localhost":
        names.append(x509.DNSName(host))
    return names


def _make(server: Path) -> bytes:
    """Write a new file; gives the authority's certificate."""
    authority_key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    authority_name = _name("djproxy certificate authority")
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    certificate = (
        _builder(_name("djproxy"), authority_name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_own_names()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    issuer = authority.public_bytes(serialization.Encoding.PEM)
    write_private(server, private + certificate.public_bytes(serialization.Encoding.PEM) + issuer)
    return issuer


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a private file in one step: another proxy that starts now sees the old one or the new one, whole."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
