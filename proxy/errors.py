"""The exceptions of `proxy`. Each carries the exit code that the command line gives for it."""

from __future__ import annotations


class ProxyError(Exception):
    """Something that a person can act on; the message says what happened, to what, and what to do."""

    exit_code = 2


class InputError(ProxyError):
    """Wrong usage or input: an unknown paper, a bad port, a command that does not exist."""


class HomeError(ProxyError):
    """The home folder, or a file in it, cannot be made, read or written."""


class JournalError(ProxyError):
    """A journal that is damaged or of a newer format; it is left as it is."""


class StoreError(ProxyError):
    """A store that is damaged, busy or of a newer format; it is left as it is."""


class ListenError(ProxyError):
    """The address to listen on is taken or does not exist."""


class ServerError(ProxyError):
    """The MySQL server cannot be reached or refuses."""

    exit_code = 3
