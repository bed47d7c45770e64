"""What all connections of a relay share."""

from __future__ import annotations

import ssl  # noqa: TID251
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.certificates import Certificate
from proxy.errors import InputError
from proxy.relay_options import RelayOptions
from proxy.security import Legs, ServerTrust
from proxy.sink import GuardedSink, Nowhere, Sink
from proxy.tls import client_contexts, server_context


@dataclass(frozen=True, slots=True)
class Common:
    """The server, what the two legs speak, and where events go; without `recording` there are none."""

    server: tuple[str, int]
    options: RelayOptions
    legs: Legs
    offered_tls: ssl.SSLContext | None
    upstream_tls: Mapping[ssl.TLSVersion | None, ssl.SSLContext]
    journal: GuardedSink
    recording: bool

    @classmethod
    def of(cls, server: tuple[str, int], sink: Sink | None, options: RelayOptions) -> Common:
        """InputError when a certificate cannot be used."""
        return cls(
            server,
            options,
            options.legs,
            _tls_context(options.certificate),
            _upstream_contexts(options.trust),
            GuardedSink(sink or Nowhere()),
            sink is not None,
        )


def _tls_context(certificate: Certificate | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    try:
        return server_context(certificate.chain, certificate.key)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the certificate {certificate.chain} with the key {certificate.key} cannot be used ({error})"
        ) from error


def _upstream_contexts(trust: ServerTrust) -> Mapping[ssl.TLSVersion | None, ssl.SSLContext]:
    try:
        return client_contexts(trust)
    except (OSError, ValueError) as error:
        files = ", ".join(str(path) for path in (trust.authority, trust.certificate, trust.key) if path is not None)
        raise InputError(f"the certificates for the server ({files}) cannot be used ({error})") from error
