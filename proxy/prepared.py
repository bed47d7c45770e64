"""The prepared statements of one connection: their texts, where these may be kept, and their parameters.

COM_STMT_PREPARE's answer gives the number and the count of parameters; COM_STMT_SEND_LONG_DATA sends values ahead of
COM_STMT_EXECUTE, which uses them up. MariaDB's number 0xFFFFFFFF means the statement that was prepared last.
"""

from __future__ import annotations

from dataclasses import dataclass

from mysql_mimic.types import Capabilities

from proxy import privacy
from proxy.parameters import Binding, literals
from proxy.privacy import Keep, Part
from proxy.protocol import PeerProtocolError, Take
from proxy.quick import is_plain
from proxy.responses import COM_STMT_BULK_EXECUTE

LAST_PREPARED = 0xFFFFFFFF
# All texts of a connection, and all long data of one statement: as much as one statement may have, see `observer`.
MOST_BYTES = 64 << 20


@dataclass(slots=True)
class _Prepared:
    part: Part
    binding: Binding
    overflow: bool = False

    def forget_long_data(self) -> None:
        self.binding.long_data.clear()
        self.overflow = False


class PreparedStatements:
    """What a connection has prepared. Every method that takes a `payload` takes the whole command."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._statements: dict[int, _Prepared] = {}
        self._size = 0
        self._last = LAST_PREPARED

    def forget(self) -> None:
        """The session began anew."""
        self._statements.clear()
        self._size = 0
        self._last = LAST_PREPARED

    def expect(self) -> None:
        """A COM_STMT_PREPARE was sent; until it succeeds there is no last one."""
        self._last = LAST_PREPARED

    def remember(self, part: Part, answer: bytes) -> None:
        """The server has prepared a statement."""
        take = Take(answer, 1)
        number = take.integer(4)
        take.fixed(2)
        count = take.integer(2)
        if self._size + len(part.text) > MOST_BYTES:
            reason = f"more than {MOST_BYTES >> 20} MB of prepared statements"
            part = part._replace(keep=Keep.UNREAD, text=b"", reason=reason)
        self._size += len(part.text)
        self._statements[number] = _Prepared(part, Binding(count))
        self._last = number

    def is_known(self, payload: bytes) -> bool:
        """Whether an execution can be read before the answers to earlier commands have come."""
        return Take(payload, 1).integer(4) in self._statements

    def execute(self, payload: bytes, length: int, charset: str | None) -> tuple[Part, tuple[str, ...] | None]:
        """What an execution is to be taken for, with its parameters where it is kept. `length`: the command's."""
        prepared = self._find(payload)
        if prepared is None:
            return _unread("EXECUTE", length, "an unknown prepared statement"), None
        part, binding = prepared.part, prepared.binding
        try:
            if part.keep is not Keep.WHOLE:
                return part, None
            if payload[0] == COM_STMT_BULK_EXECUTE:
                return _unread(part.verb, length, "parameters in bulk"), None
            parameters = literals(payload, binding, self._capabilities, charset)
            if prepared.overflow:
                return _unread(part.verb, length, f"a parameter of more than {MOST_BYTES >> 20} MB"), None
            if part.verb == "SET" and _makes_secret(payload, binding):
                return part._replace(keep=Keep.NOTE, text=b""), None
            return part, parameters
        except PeerProtocolError as error:
            return _unread(part.verb, length, str(error)), None
        finally:
            prepared.forget_long_data()

    def plain(self, payload: bytes, charset: str | None) -> tuple[Part, tuple[str, ...]] | None:
        """What `execute` gives for a plain text (see `quick`); None for what takes a closer look."""
        prepared = self._statements.get(int.from_bytes(payload[1:5], "little"))
        if prepared is None or prepared.binding.long_data or prepared.overflow:
            return None
        part = prepared.part
        if part.keep is not Keep.WHOLE or not is_plain(part.text):
            return None
        try:
            return part, literals(payload, prepared.binding, self._capabilities, charset)
        except PeerProtocolError:
            return None

    def add_long_data(self, payload: bytes, length: int) -> None:
        """Keep a value that is sent ahead, for a statement whose parameters will be wanted. `length`: the command's."""
        prepared = self._find(payload)
        take = Take(payload, 5)
        index = take.integer(2)
        if prepared is None or prepared.part.keep is not Keep.WHOLE:
            return
        collected = sum(map(len, prepared.binding.long_data.values()))
        value = prepared.binding.long_data.setdefault(index, bytearray())
        if collected + length > MOST_BYTES:
            prepared.overflow = True
        else:
            value.extend(take.rest())

    def close(self, payload: bytes) -> None:
        """COM_STMT_CLOSE."""
        closed = self._statements.pop(Take(payload, 1).integer(4), None)
        if closed is not None:
            self._size -= len(closed.part.text)

    def reset(self, payload: bytes) -> None:
        """COM_STMT_RESET."""
        if prepared := self._find(payload):
            prepared.forget_long_data()

    def number(self, payload: bytes) -> int:
        """Which statement a command is about."""
        number = Take(payload, 1).integer(4)
        return self._last if number == LAST_PREPARED else number

    def _find(self, payload: bytes) -> _Prepared | None:
        return self._statements.get(self.number(payload))


def _unread(verb: str, length: int, reason: str) -> Part:
    return Part(Keep.UNREAD, verb, "", b"", length, reason)


def _makes_secret(payload: bytes, binding: Binding) -> bool:
    return any(privacy.makes_secret(bytes(value)) for value in (payload, *binding.long_data.values()))
