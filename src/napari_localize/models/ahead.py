"""Reading what is needed next while something else is computed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Content = TypeVar("Content")


def read_ahead(items: Iterable[Item], read: Callable[[Item], Content]) -> Generator[tuple[Item, Content]]:
    """Yield items with their contents; a second thread reads the next one meanwhile.

    Close it (`contextlib.closing`) where a loop over it may be left early, so that the thread ends at once.
    An error in `read` is raised here when its item's turn comes.
    """
    worker = ThreadPoolExecutor(1, "read-ahead")
    try:
        waiting = None
        for item in items:
            coming = item, worker.submit(read, item)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = coming
        if waiting is not None:
            yield waiting[0], waiting[1].result()
    finally:
        worker.shutdown(cancel_futures=True)
