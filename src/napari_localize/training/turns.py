"""Cross-validation: short trainings, each judged on planes that it has not seen, and then one on everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from napari_localize.core.errors import Cancelled
from napari_localize.core.settings import TrainSettings
from napari_localize.core.splitting import Fold
from napari_localize.models.localizer import Model
from napari_localize.training.crops import TrainingPlane

SHARE = 1 / 3
"""Part of the time that goes into the short trainings."""

LEAST_SHARE = 0.25
"""Part of the time that the last training gets at least, however long the others took."""

OnEvent = Callable[[dict[str, Any]], None]


class Learn(Protocol):
    """Trains one model; `watched` are the planes on which its progress is looked at, if it is."""

    def __call__(
        self, train: list[TrainingPlane], settings: TrainSettings, tell: OnEvent, watched: Sequence[TrainingPlane] = ()
    ) -> tuple[Model, bool]:
        """Return the model, and whether the training was stopped."""


@dataclass
class Learnt:
    """What was trained.

    Attributes
    ----------
    model : Model
        The one to keep.
    cancelled : bool
        Whether it was stopped before its time.
    judges : list of (Fold, Model)
        For each turn of a cross-validation the model to be judged on what was held back in it.
    """

    model: Model
    cancelled: bool
    judges: list[tuple[Fold, Model]] = field(default_factory=list)


def learn_in_turns(
    learn: Learn,
    folds: Sequence[Fold],
    parts: Callable[[Fold], list[TrainingPlane]],
    everything: list[TrainingPlane],
    settings: TrainSettings,
    seconds: float,
    tell: OnEvent,
    now: Callable[[], float],
) -> Learnt:
    """Train a model for each fold, and one on everything.

    Stopped in one of the folds, the model of this fold is what is kept: it is judged by what it has not seen, too.
    Stopped before the last training was as long as that of a fold, the last fold's is kept: what it is judged on would
    say nothing of one that has hardly begun.

    Parameters
    ----------
    learn : Learn
    folds : sequence of Fold
    parts : callable
        Gives what a fold learns from.
    everything : list of TrainingPlane
        What the kept model learns from.
    settings : TrainSettings
        With a number of epochs, the kept model gets all of them and the others their share on top.
    seconds : float
        Without one, the limit of time for all trainings together.
    tell : callable
        Gets the events of all, the progress as that of the whole.
    now : callable
        The seconds of a clock.

    Raises
    ------
    Cancelled
        When it was stopped before there was any model.
    """
    began, count = now(), len(folds)
    if settings.epochs:
        short = replace(settings, epochs=max(1, round(SHARE * settings.epochs / count)))
        each, total = float(short.epochs or 1), float(count * (short.epochs or 1) + settings.epochs)
    else:
        total = seconds
        each = SHARE * total / count
        short = replace(settings, seconds=each)
    judges: list[tuple[Fold, Model]] = []
    passed = _Passed()
    for turn, fold in enumerate(folds):
        tell({"event": "message", "text": f"Cross-validation, turn {turn + 1} of {count}."})
        try:
            # Not watched: to choose by what is held back would flatter it there, and there is little time.
            model, cancelled = learn(parts(fold), short, _Share(tell, turn * each, each, total, passed))
        except Cancelled:
            if not judges:
                raise
            return Learnt(judges[-1][1], True, judges[-1:])
        judges.append((fold, model))
        if cancelled:
            return Learnt(model, True, judges[-1:])
    rest = total - count * each
    if not settings.epochs:
        settings = replace(settings, seconds=max(LEAST_SHARE * total, total - (now() - began)))
    tell({"event": "message", "text": "Learning from all planes."})
    last = _Share(tell, count * each, rest, total, passed, True)
    try:
        model, cancelled = learn(everything, settings, last, everything)
    except Cancelled:
        return Learnt(judges[-1][1], True, judges[-1:])
    if cancelled and last.part * float(settings.epochs or settings.seconds or 0) < each:
        return Learnt(judges[-1][1], True, judges[-1:])
    return Learnt(model, cancelled, judges)


@dataclass
class _Passed:
    """How long the trainings before have taken, for a curve of all of them."""

    steps: int = 0
    seconds: float = 0.0


class _Share:
    """Passes the events of one of several trainings on, as those of the whole.

    What a short training reaches on the planes that it learns from is of no interest, so its curve is that of the loss.
    """

    def __init__(
        self, tell: OnEvent, done: float, share: float, total: float, passed: _Passed, last: bool = False
    ) -> None:
        self._tell, self._done, self._share, self._total, self._last = tell, done, share, total, last
        self._passed, self._before = passed, replace(passed)
        self.part = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            self.part = event["done"] / event["total"]
            event = {**event, "done": min(self._done + self.part * self._share, self._total), "total": self._total}
        elif kind == "curve":
            self._passed.steps = self._before.steps + event["step"]
            self._passed.seconds = self._before.seconds + event["seconds"]
            event = {**event, "step": self._passed.steps, "seconds": self._passed.seconds}
            if not self._last:
                event |= {"validation_loss": None, "ap50": None}
        elif not self._last:
            return
        self._tell(event)
