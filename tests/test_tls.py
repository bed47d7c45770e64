"""TLS over memory: the proxy's leg against Python's own TLS, in chunks of any size."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from proxy.certificates import Certificate, default_certificate
from proxy.tls import TlsError, TlsLeg, client_context, server_context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return default_certificate(tmp_path_factory.mktemp("certificates"))


def _pair(certificate: Certificate) -> tuple[TlsLeg, TlsLeg]:
    server = TlsLeg(server_context(certificate.chain, certificate.key), server_side=True)
    return server, TlsLeg(client_context(), server_side=False)


def _carry(source: TlsLeg, target: TlsLeg, step: int) -> bytes:
    data = source.outgoing()
    return b"".join(target.receive(data[start : start + step]) for start in range(0, len(data), step))


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_bytes_come_out_as_they_went_in(certificate: Certificate, step: int) -> None:
    server, client = _pair(certificate)
    client.send(b"before the handshake is over, ")
    client.start()
    received = b""
    for _ in range(3):
        received += _carry(client, server, step)
        _carry(server, client, step)
    assert server.established and client.established
    client.send(b"and after")
    assert received + _carry(client, server, step) == b"before the handshake is over, and after"
    server.send(b"x" * 100_000)
    assert _carry(server, client, step if step > 1 else 1000) == b"x" * 100_000


def test_the_first_bytes_may_come_with_the_last_of_the_handshake(certificate: Certificate) -> None:
    server, client = _pair(certificate)
    client.start()
    _carry(client, server, 1 << 20)
    client.send(b"SELECT 1")
    assert client.receive(server.outgoing()) == b""
    assert server.receive(client.outgoing()) == b"SELECT 1"


def test_a_goodbye_is_seen(certificate: Certificate) -> None:
    server, client = _pair(certificate)
    client.start()
    for _ in range(3):
        _carry(client, server, 1 << 20)
        _carry(server, client, 1 << 20)
    client.send(b"last words")
    client.close()
    assert server.receive(client.outgoing()) == b"last words"
    assert server.ended


def test_plain_text_after_the_request_is_no_tls(certificate: Certificate) -> None:
    server, _ = _pair(certificate)
    with pytest.raises(TlsError):
        server.receive(b"\x20\0\0\2 a login that somebody slipped in")


def test_a_broken_record_is_an_error(certificate: Certificate) -> None:
    server, client = _pair(certificate)
    client.start()
    for _ in range(3):
        _carry(client, server, 1 << 20)
        _carry(server, client, 1 << 20)
    client.send(b"SELECT 1")
    broken = bytearray(client.outgoing())
    broken[-1] ^= 1
    with pytest.raises(TlsError):
        server.receive(bytes(broken))


def test_closing_before_the_handshake_is_over_says_nothing(certificate: Certificate) -> None:
    server, _ = _pair(certificate)
    server.close()
    assert server.outgoing() == b""


def test_files_that_are_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    with pytest.raises(ssl.SSLError):
        server_context(tmp_path / "x.pem", tmp_path / "x.pem")
