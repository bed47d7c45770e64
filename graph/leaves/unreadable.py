"""Why a statement cannot be turned into leaves."""


class Unreadable(Exception):
    """The statement cannot be turned into leaves; the message is the reason for people."""
