"""How a model learns: what was chosen automatically, in words, and what a person has chosen instead."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_localize.core.recipe import CROP_SIDES, NORMS, STRENGTHS, RecipeChoices
from napari_localize.widgets._parts import Section, button, combo, hint, row, say, titled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtWidgets import QComboBox, QLabel

AUTOMATIC = "automatic"
_TITLE_WIDTH = 96


class _Part(NamedTuple):
    """A part of the recipe: its field, its title, what it does, what can be chosen, and how other values are written."""

    field: str
    title: str
    tooltip: str
    choices: dict[str, Any]
    written: str = "{}"

    def word(self, value: Any) -> str:
        """Write a value as the choices are."""
        known = {chosen: text for text, chosen in self.choices.items()}
        return known.get(value) or self.written.format(value)


_YES_NO = {"yes": True, "no": False}
_PARTS = (
    _Part(
        "head_first",
        "Heads first",
        "How much of the time only the last layers learn, which is quick, before all layers do.",
        {"no": 0.0, "first 10 %": 0.1, "first 20 %": 0.2, "first 40 %": 0.4},
        "first {:.0%}",
    ),
    _Part(
        "norm",
        "Normalise",
        "Whether brightness statistics inside the network stay as in the base, or follow the new images.",
        {f"{name}": name for name in NORMS},
    ),
    _Part(
        "learning_rate",
        "Learning rate",
        "How large the steps are: large ones learn faster, small ones keep more of what the base can do.",
        {f"{rate:g}": rate for rate in (0.0005, 0.001, 0.002, 0.004, 0.008)},
        "{:g}",
    ),
    _Part(
        "augmentation",
        "Variation",
        "How much size, light, noise and sharpness of the images are varied while it learns.",
        {name: name for name in STRENGTHS},
    ),
    _Part(
        "invert",
        "Negatives",
        "Show it negatives, too: for objects that are bright in some images and dark in others.",
        _YES_NO,
    ),
    _Part(
        "copy_paste",
        "Copies",
        "Into how many of the crops objects are copied from elsewhere; helps where a class has few objects.",
        {"none": 0.0, "25 %": 0.25, "50 %": 0.5, "all": 1.0},
        "{:.0%}",
    ),
    _Part(
        "object_diameter",
        "Object size",
        "To which size typical objects are brought: larger shows small ones among them better, smaller is quicker.",
        {f"{size} px": float(size) for size in (24, 32, 40, 48, 64)},
        "{:.0f} px",
    ),
    _Part(
        "crop_side",
        "Crop side",
        "Side of the pieces of images that it learns from: small ones are quick, large ones show more around objects.",
        {f"{side} px": side for side in CROP_SIDES},
        "{} px",
    ),
    _Part(
        "average",
        "Mix in base",
        "Mix the new weights with the base's in the end, as far as that does no harm: it keeps more of its abilities.",
        _YES_NO,
    ),
    _Part(
        "patience",
        "Stop early",
        "Stop when so many checks in a row were no better than before.",
        {"never": 0, "after 3 checks": 3, "after 6 checks": 6, "after 12 checks": 12},
        "after {} checks",
    ),
    _Part(
        "most_steps",
        "Most steps",
        "End after so many steps, even where time is left: with few images more steps learn them by heart.",
        {"no limit": 0, "300": 300, "1,000": 1000, "3,000": 3000},
        "{:,}",
    ),
)


class RecipeSection(Section):
    """The parts of the recipe, all of them automatic at first, and what the last training did."""

    def __init__(self) -> None:
        super().__init__(
            "Recipe: automatic", "How the model learns: chosen from your images and this computer, or by you."
        )
        self.told: QLabel = hint()
        self.rows.addWidget(self.told)
        self.parts: dict[str, QComboBox] = {}
        for part in _PARTS:
            choice = combo(f"{part.tooltip} Automatic chooses from your images and this computer.")
            choice.addItem(AUTOMATIC, None)
            for text, value in part.choices.items():
                choice.addItem(text, value)
            choice.currentIndexChanged.connect(self._changed)
            self.parts[part.field] = choice
            self.rows.addLayout(row(titled(part.title, part.tooltip, _TITLE_WIDTH), choice, stretch=1))
        self._reset = button("All automatic", "Let all parts of the recipe be chosen automatically again.", self.reset)
        self.rows.addLayout(row(titled("", width=_TITLE_WIDTH), self._reset, stretch=1))
        say(self.told, "What is chosen is said here when a training starts.")
        self._changed()

    @property
    def choices(self) -> RecipeChoices:
        """What was chosen here."""
        return RecipeChoices(**{field: choice.currentData() for field, choice in self.parts.items()})

    def tell(self, text: str, chosen: Mapping[str, Any] | None = None) -> None:
        """Say what a training does, and beside each part that is automatic what was chosen, where it is known."""
        say(self.told, escape(text))
        for part in _PARTS:
            choice = self.parts[part.field]
            if chosen and part.field in chosen and choice.currentData() is None:
                choice.setItemText(0, f"{AUTOMATIC}: {part.word(chosen[part.field])}")

    def reset(self) -> None:
        """Make every part automatic."""
        for choice in self.parts.values():
            choice.setCurrentIndex(0)

    def _changed(self) -> None:
        chosen = sum(choice.currentIndex() > 0 for choice in self.parts.values())
        self.set_title(f"Recipe: {chosen} of {len(self.parts)} chosen by you" if chosen else "Recipe: automatic")
        self._reset.setEnabled(bool(chosen))
