"""The packets that a login consists of, cut from one side's stream."""

from __future__ import annotations

from proxy.protocol import PacketReader, PeerProtocolError

# Kerberos and OpenID tokens and connection attributes (64 kB at most) fit many times over.
LONGEST_PACKET = 1 << 20


class LoginReader(PacketReader):
    """A reader for which a packet longer than any login's is an error."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(LONGEST_PACKET)

    def next_packet(self) -> bytes | None:
        """The next payload, or None until more bytes come. Raises PeerProtocolError."""
        payload = super().next_packet()
        # Known from the header on: nobody needs to send what will not be taken.
        if self.length > LONGEST_PACKET:
            raise PeerProtocolError(f"a packet of {self.length} bytes while logging in")
        return payload
