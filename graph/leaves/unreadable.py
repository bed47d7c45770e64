"""Why a statement cannot be turned into leaves, or needs none."""


class Unreadable(Exception):
    """The statement cannot be turned into leaves; the message is the reason for people."""


class ReadsNothing(Exception):
    """The statement reads no rows; the message says why."""
