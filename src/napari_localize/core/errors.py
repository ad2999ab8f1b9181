"""The errors that the rest of the program raises on purpose."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend; the message is one sentence: what, where, what to do."""


class Cancelled(Exception):
    """The work was stopped because the user asked for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or torch (CUDA, MPS, CPU) has run out of memory."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    text = str(error).lower()
    signs = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")
    return type(error).__name__ == "OutOfMemoryError" or any(sign in text for sign in signs)
