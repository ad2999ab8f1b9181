"""What can go wrong with the engine beside the user's mistakes."""

from __future__ import annotations


class EngineDied(RuntimeError):
    """The engine process ended in the middle of a job; the message is one sentence. A new job starts a new one."""


class EngineError(RuntimeError):
    """A job failed by a fault that is not the user's.

    Parameters
    ----------
    text : str
        One sentence.
    details : str
        The traceback, for the log and for a report.
    """

    def __init__(self, text: str, details: str = "") -> None:
        super().__init__(text)
        self.details = details
