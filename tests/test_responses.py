"""Where an answer ends, packet by packet."""

from __future__ import annotations

import pytest

from proxy.protocol import ExtendedCapabilities, PeerProtocolError, lenenc, packet
from proxy.responses import Mark, ResponseTracker, Shape, may_end_response
from tests.conversation import DENIED, MORE, NEW, OLD, eof, ok

# -- the tracker by itself


def test_an_answer_to_a_command_that_has_none() -> None:
    tracker = ResponseTracker(OLD, ExtendedCapabilities(0))
    tracker.begin(Shape.NONE)
    with pytest.raises(PeerProtocolError):
        tracker.packet(b"\0", 1)


def test_a_truncated_ok_is_an_error() -> None:
    tracker = ResponseTracker(OLD, ExtendedCapabilities(0))
    tracker.begin(Shape.RESULTS)
    with pytest.raises(PeerProtocolError):
        tracker.packet(b"\0\0", 2)


def test_a_result_of_no_columns_cannot_be() -> None:
    tracker = ResponseTracker(OLD, ExtendedCapabilities(0))
    tracker.begin(Shape.RESULTS)
    assert tracker.packet(ok(MORE), 7) == Mark.BEGUN | Mark.OK
    assert tracker.packet(ok(), 7) == Mark.BEGUN | Mark.OK | Mark.END


@pytest.mark.parametrize(
    "last",
    [eof(OLD), eof(NEW), ok(), ok(changes=b"\x01" + lenenc(lenenc(b"x" * 200))), DENIED, eof(NEW) + b"\0\x05hello"],
)
def test_the_last_packet_of_an_answer_is_known(last: bytes) -> None:
    assert may_end_response(packet(9, b"\x01x") + packet(10, last))
    assert not may_end_response((packet(9, b"\x01x") + packet(10, last))[:-1])
    assert not may_end_response(packet(9, last) + packet(10, b"\x03row"))
    assert not may_end_response(b"")


@pytest.mark.parametrize("last", [eof(OLD, MORE), eof(NEW, MORE), ok(MORE), ok(MORE, b"\x01" + lenenc(lenenc(b"x")))])
def test_an_answer_that_announces_another_is_not_over(last: bytes) -> None:
    assert not may_end_response(packet(9, b"\x01x") + packet(10, last))
