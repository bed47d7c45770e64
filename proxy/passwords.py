"""The RSA step of caching_sha2_password and sha256_password, as either end does it.

Over a connection that is not secure the password, with a NUL at its end, is combined with the nonce by XOR and
encrypted with the public key of whoever asks (OAEP with SHA-1).
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from proxy.certificates import write_private

KEY_FILE = "password-key.pem"
PUBLIC_KEY_FILE = "password-public-key.pem"
KEY_BITS = 2048
# OAEP with SHA-1 takes that much of the key's length.
_OVERHEAD = 42
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)


class PasswordError(Exception):
    """A key or an encrypted password is of no use; the message says why and holds no secret."""


class PasswordKey:
    """The proxy's own key, for clients that are to encrypt their password while the server's leg is secure."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self.public_pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def decrypt(self, encrypted: bytes, nonce: bytes) -> bytearray:
        """The password with its NUL; the caller wipes it. PasswordError when it was not encrypted with this key."""
        try:
            return _combined(self._key.decrypt(encrypted, _OAEP), nonce)
        except ValueError:
            raise PasswordError("it was not encrypted with this proxy's key") from None


def encrypt(password: bytearray, nonce: bytes, pem: bytes) -> bytes:
    """The password, NUL included, for the owner of this public key. PasswordError when that cannot be."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise PasswordError("what the server sent is no public key") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise PasswordError("the server's public key is no RSA key")
    if len(password) > key.key_size // 8 - _OVERHEAD:
        raise PasswordError("the password is too long for the server's RSA key")
    mixed = _combined(password, nonce)
    try:
        return key.encrypt(bytes(mixed), _OAEP)
    finally:
        wipe(mixed)


def wipe(secret: bytearray) -> None:
    """Overwrite it where it lies."""
    secret[:] = bytes(len(secret))


def _combined(data: bytes | bytearray, nonce: bytes) -> bytearray:
    # A nonce of no length would let the password through as it is.
    if not nonce:
        raise PasswordError("the server sent no nonce")
    return bytearray(one ^ other for one, other in zip(data, cycle(nonce), strict=False))


def password_key(folder: Path) -> PasswordKey:
    """The key kept in `folder`, made when there is none of use. OSError when the folder cannot be written."""
    path = folder / KEY_FILE
    try:
        kept = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        kept = None
    if isinstance(kept, rsa.RSAPrivateKey):
        found = PasswordKey(kept)
    else:
        made = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        write_private(
            path,
            made.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        found = PasswordKey(made)
    public = folder / PUBLIC_KEY_FILE
    if not public.exists() or public.read_bytes() != found.public_pem:
        write_private(public, found.public_pem)
    return found
