"""The errors that the rest of the program raises on purpose."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend; the message is one sentence: what, where, what to do."""


class Cancelled(Exception):
    """The work was stopped because the user asked for it."""
