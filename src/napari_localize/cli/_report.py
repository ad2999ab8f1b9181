"""What the commands say: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from types import TracebackType


def say(text: str) -> None:
    """Write a remark to standard error, above a progress bar if there is one."""
    tqdm.write(text, file=sys.stderr)


def result(text: str) -> None:
    """Write a line of the result to standard output."""
    tqdm.write(text, file=sys.stdout)


def result_json(summary: dict[str, Any]) -> None:
    """Write a machine readable summary to standard output; numbers that are not finite become null."""
    print(json.dumps(_plain(summary), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Progress:
    """A bar on standard error; where that is a file it writes a line every ten seconds at most.

    Parameters
    ----------
    total : float
        At which number all is done.
    unit : str
        What is counted.
    """

    def __init__(self, total: float, unit: str) -> None:
        self._bar = tqdm(
            total=total,
            file=sys.stderr,
            leave=False,
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
            bar_format="{percentage:3.0f} %|{bar:30}| {n:.0f}/{total:.0f} "
            + unit
            + " {desc}[{elapsed}, {remaining} left]",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def reach(self, done: float, total: float | None = None) -> None:
        """Show how far it is."""
        if total is not None:
            self._bar.total = total
        self._bar.update(max(done - self._bar.n, 0.0))

    def describe(self, text: str) -> None:
        """Show what is being worked on."""
        self._bar.set_description_str(f"{text} ", refresh=False)
