"""Which planes are of one experiment: guessed from what their files and folders are called.

Planes of one well, one animal or one movie look alike, and a model that has learnt from some of them is flattered by
the others. So they are kept together: all of a group are learnt from, or all of it is held back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from napari_localize.core.annotations import split_plane_name
from napari_localize.core.errors import UserError

FEWEST_GROUPS = 4
"""Two for each side: with fewer groups one says little about the other."""

MOSTLY = 0.8
"""A kind of group is told by the names when it is by this part of them."""

_NOUNS = {
    "animal": ("animal", "animals"),
    "experiment": ("experiment", "experiments"),
    "well": ("well", "wells"),
    "folder": ("folder", "folders"),
    "field": ("field of view", "fields of view"),
    "movie": ("stack", "stacks"),
    "image": ("image", "images"),
    "blocks": ("plane", "planes"),
    "given": ("group", "groups"),
}

GUESSED = ("animal", "experiment", "well", "folder", "field", "movie", "image")
"""What is tried, in the order in which equals are preferred."""

HOLD_BACK = ("auto", *GUESSED, "blocks")
"""What can be chosen as the unit that is held back."""

_ANIMAL = re.compile(
    r"(?<![a-z])(mouse|mice|rat|animal|subject|subj|sub|patient|donor|case|embryo|larva|fish|worm|fly)s?"
    r"[ _\-]*(?:id|no|nr)?[ _\-#]*([a-z]?\d+[a-z]?)(?![a-z\d])",
    re.IGNORECASE,
)
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?![1-9]|0\d)")
_EXPERIMENT = re.compile(
    r"(?<![a-z])(experiment|exp|batch|run|session|plate|replicate|rep)[ _\-#]*(\d+)(?!\d)", re.IGNORECASE
)
_WELL = re.compile(r"(?<![A-Za-z\d])(?:well[ _\-]?)?([A-P])(0[1-9]|1\d|2[0-4]|[1-9])(?=$|[^A-Za-z\d]|f\d)")
_ROW_COLUMN = re.compile(r"(?<![a-z\d])r(\d{1,2})[ _\-]?c(\d{1,2})(?!\d)", re.IGNORECASE)
_FIELD = re.compile(
    r"(?:(?<![a-z\d])|(?<=\d)(?=f\d)|(?<=well)|(?<=c\d\d))(field|fov|position|pos|site|scene|series|tile|xy|f|s)"
    r"[ _\-]*(\d+)(?!\d)",
    re.IGNORECASE,
)
_FRAME = re.compile(r"(?:(?<![a-z\d])|(?<=\d)(?=[tz]\d))(time|frame|slice|t|z)[ _\-]*(\d+)", re.IGNORECASE)
_CHANNEL = re.compile(r"(?<![a-z\d])(channel|chan|ch|c|w)[ _\-]*(\d+)(?![a-z\d])", re.IGNORECASE)
_TIMES = re.compile(
    r"(?:time|frame|day|hour|week|slice|t|d|h|z)[ _\-]*\d+|\d+[ _\-]*(?:h|hours?|d|days?|min)", re.IGNORECASE
)
_HASH = re.compile(r"(?<![A-Za-z\d])[\da-f]{12,}(?![A-Za-z\d])|(?<![A-Za-z\d])[\dA-F]{12,}(?![A-Za-z\d])")
_STACK_AXES = ("p", "m", "g", "s")
"""Axes of a file along which the planes are of other places."""


@dataclass(frozen=True)
class Grouping:
    """The group of each plane.

    Attributes
    ----------
    kind : str
        One of `GUESSED`, ``blocks``, or ``given`` for groups that somebody has named.
    groups : tuple of str
        Of each plane, in the order of the planes.
    movies : tuple of str
        The movie or stack of each plane: within it, planes are neighbours.
    frames : tuple of tuple of (str, int)
        Where each plane lies in it, by axis.
    why : str
        A sentence on what was chosen and why.
    """

    kind: str
    groups: tuple[str, ...]
    movies: tuple[str, ...]
    frames: tuple[tuple[tuple[str, int], ...], ...]
    why: str = ""

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(set(self.groups))

    def of(self, kept: Sequence[int]) -> Grouping:
        """Return the same for some of the planes."""
        return replace(
            self,
            groups=tuple(self.groups[index] for index in kept),
            movies=tuple(self.movies[index] for index in kept),
            frames=tuple(self.frames[index] for index in kept),
        )


@dataclass(frozen=True)
class _Parsed:
    """What the name of one plane says; empty where it says nothing."""

    image: str
    folder: str
    animal: str
    experiment: str
    well: str
    field: str
    movie: str
    frame: tuple[tuple[str, int], ...]


def group_planes(
    names: Sequence[str],
    places: Sequence[str] | None = None,
    hold_back: str = "auto",
    groups: Sequence[str] | None = None,
) -> Grouping:
    """Guess which planes belong together, or group them as somebody has chosen.

    Parameters
    ----------
    names : sequence of str
        Of the planes, such as ``plate1/A01_f001.tif#t=3``.
    places : sequence of str, optional
        The file of each plane, empty where it has none; tells the folders that names leave out.
    hold_back : str
        One of `HOLD_BACK`. ``auto`` takes the coarsest kind of group that the names tell for all planes and of which
        there are four or more; without one, blocks of neighbouring planes.
    groups : sequence of str, optional
        The group of each plane where somebody has named them; then nothing is guessed.

    Raises
    ------
    UserError
        When the choice is unknown or the names say nothing of what is to be held back.

    Examples
    --------
    >>> group_planes(["A01_f1.tif", "A01_f2.tif", "B01_f1.tif", "B02_f1.tif", "C01_f1.tif"]).kind
    'well'
    """
    check_hold_back(hold_back)
    parsed = _parse_all(names, places)
    movies = tuple(each.movie for each in parsed)
    frames = tuple(each.frame for each in parsed)
    if groups is not None:
        if len(groups) != len(names):
            raise UserError(f"there are {len(names)} planes but {len(groups)} groups; give one for each plane.")
        given = tuple(str(group) for group in groups)
        return Grouping("given", given, movies, frames, f"By the groups that were given: {len(set(given))}.")
    if hold_back == "blocks":
        return Grouping("blocks", movies, movies, frames, "By blocks of neighbouring planes, as chosen.")
    if hold_back != "auto":
        found = _labels(parsed, hold_back)
        if not any(found):
            raise UserError(
                f"the {plural(hold_back, 2)} are to be held back whole, but no name tells "
                f"{_hint(hold_back)}; choose another unit, or auto."
            )
        return Grouping(hold_back, _filled(found, movies), movies, frames, f"By {plural(hold_back, 1)}, as chosen.")
    told = {kind: _filled(_labels(parsed, kind), movies) for kind in GUESSED if _is_told(_labels(parsed, kind))}
    enough = {kind: len(set(labels)) for kind, labels in told.items() if len(set(labels)) >= FEWEST_GROUPS}
    enough = {
        kind: number
        for kind, number in enough.items()
        if _tells_more(told[kind], kind) and not _cuts(told[kind], kind, parsed)
    }
    if enough:
        kind = min(enough, key=lambda kind: (enough[kind], GUESSED.index(kind)))
        number = len({label for label in _labels(parsed, kind) if label})
        return Grouping(kind, told[kind], movies, frames, _reason(kind, number))
    why = "there are too few stacks to hold back whole ones"
    if len(set(movies)) == 1:
        why = "all are of one stack" if len(names) > 1 else "there is only one"
    return Grouping("blocks", movies, movies, frames, f"By blocks of neighbouring planes, as {why}.")


def groups_by_name(names: Sequence[str], groups: Mapping[str, str] | Sequence[str] | None) -> list[str] | None:
    """Return the group of each plane, from a sequence in their order or a mapping of names.

    A mapping names planes (``movie.tif#t=3``), images with or without their folder, or folders.

    Raises
    ------
    UserError
        When there is not exactly one group for each plane.
    """
    if groups is None:
        return None
    if not isinstance(groups, Mapping):
        found = [str(group) for group in groups]
        if isinstance(groups, str) or len(found) != len(names):
            raise UserError(f"there are {len(names)} planes but {len(found)} groups; give one for each plane.")
        return found
    found = []
    for name in names:
        file = split_plane_name(name)[0].replace("\\", "/")
        parts = file.split("/")
        tried = [name, file, parts[-1], *("/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))]
        group = next((groups[key] for key in tried if key in groups), None)
        if group is None:
            raise UserError(f"the groups do not tell that of {name!r}; name it, its image or its folder.")
        found.append(str(group))
    return found


def kinds_told(names: Sequence[str], places: Sequence[str] | None = None) -> list[str]:
    """Return which of `HOLD_BACK` can be chosen for these planes, see `group_planes`."""
    parsed = _parse_all(names, places)
    return [kind for kind in HOLD_BACK if kind in ("auto", "blocks") or any(_labels(parsed, kind))]


def check_hold_back(hold_back: str) -> None:
    """Raise a `UserError` when a choice is none of `HOLD_BACK`."""
    if hold_back not in HOLD_BACK:
        raise UserError(f"cannot hold back by {hold_back!r}; choose one of {', '.join(HOLD_BACK)}.")


def plural(kind: str, number: int) -> str:
    """Return what so many groups of a kind are called.

    >>> plural("well", 3)
    'wells'
    """
    return _NOUNS[kind][number != 1]


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key by which names are sorted as people do: ``p2`` before ``p10``."""
    parts = re.split(r"(\d+)", text)
    return [(1, int(part), "") if index % 2 else (0, 0, part) for index, part in enumerate(parts)]


def _reason(kind: str, number: int) -> str:
    if kind == "image":
        return "By image, as the names tell no wells, animals or folders to go by."
    return f"By {plural(kind, 1)}: the names tell {number} {plural(kind, number)}."


def _hint(kind: str) -> str:
    return {
        "animal": "an animal, such as mouse3",
        "experiment": "a date or an experiment, such as 2024-05-17 or exp2",
        "well": "a well, such as A01 or r02c03",
        "field": "a field of view, such as f001 or pos2",
        "folder": "a folder",
    }.get(kind, "one")


def _is_told(labels: Sequence[str]) -> bool:
    """Whether most names tell it; a few images from elsewhere do not matter."""
    return sum(map(bool, labels)) >= MOSTLY * len(labels) > 0


def _filled(labels: Sequence[str], movies: Sequence[str]) -> tuple[str, ...]:
    """Put planes whose names do not tell their group into one with their own movie."""
    return tuple(label or movie for label, movie in zip(labels, movies, strict=True))


def _labels(parsed: Sequence[_Parsed], kind: str) -> tuple[str, ...]:
    labels = tuple(getattr(each, kind) for each in parsed)
    if kind == "folder":
        return tuple(label or "." for label in labels) if len(set(labels)) > 1 else ("",) * len(labels)
    if kind == "well" and not _real_wells(labels):
        return ("",) * len(labels)
    return labels


def _tells_more(labels: Sequence[str], kind: str) -> bool:
    """Whether anything is joined by it; of fields that are images one each, a run of neighbours is safer."""
    return kind not in ("field", "movie") or len(set(labels)) < len(labels)


def _real_wells(labels: Sequence[str]) -> bool:
    """Whether it cannot be channels, as in C1 to C4: of several rows, or with a zero in front."""
    found = {label for label in labels if label}
    return len({label[0] for label in found}) > 1 or any(label[1:2] == "0" or len(label) > 2 for label in found)


def _cuts(labels: Sequence[str], kind: str, parsed: Sequence[_Parsed]) -> bool:
    """Whether planes of one animal, or of one place at other times, would come to lie in several of these groups."""
    finer = {"experiment": ["animal"], "folder": ["animal", "well"], "image": ["movie"]}.get(kind, [])
    if kind == "folder":
        if all(_TIMES.fullmatch(label.rpartition("/")[2]) for label in labels):
            return True
        if all(each.experiment and each.experiment in each.folder.casefold() for each in parsed):
            # Wells are called alike on each plate, and are others.
            finer = ["animal"]
    for other in finer:
        of_unit: dict[str, str] = {}
        for label, each in zip(labels, parsed, strict=True):
            unit = getattr(each, other)
            if unit and of_unit.setdefault(unit, label) != label:
                return True
    return False


def _parse_all(names: Sequence[str], places: Sequence[str] | None) -> list[_Parsed]:
    places = [""] * len(names) if places is None else places
    files = [(place or split_plane_name(name)[0]).replace("\\", "/") for name, place in zip(names, places, strict=True)]
    # What all have in common tells nothing apart, such as a user's name that looks like an animal.
    folders = [file.split("/")[:-1] for file in files if "/" in file]
    common = 0
    while folders and all(len(parts) > common and parts[common] == folders[0][common] for parts in folders):
        common += 1
    return [
        _parse("/".join(file.split("/")[common if "/" in file else 0 :]), split_plane_name(name)[1])
        for file, name in zip(files, names, strict=True)
    ]


def _parse(file: str, position: dict[str, int]) -> _Parsed:
    folder, _, name = file.rpartition("/")
    file = file or "image"
    stem = _HASH.sub(lambda found: _spelt(found[0]), name.rpartition(".")[0] or name)
    outer = "".join(f" {axis}={index}" for axis, index in position.items() if axis in _STACK_AXES)
    well = _well(stem) or _well(folder)
    frames = {axis: index for axis, index in position.items() if axis not in _STACK_AXES}
    for found in _FRAME.finditer(stem):
        frames.setdefault("z" if found[1].lower() in ("z", "slice") else "t", int(found[2]))
    # Without what numbers the frames, those of one movie are called alike.
    at = _WELL.search(stem)
    channels = [found for found in _CHANNEL.finditer(stem) if at is None or not at.start() <= found.start() < at.end()]
    varying = [*_FRAME.finditer(stem), *channels]
    field, movie = "", file
    if outer:
        field = movie = file + outer
    elif (at := _FIELD.search(stem)) is not None:
        field = movie = f"{folder}/{_without(stem[: at.end()], varying)}".lstrip("/")
    elif frames and not position:
        movie = f"{folder}/{_without(stem, varying)}".strip("/") or "frames"
    return _Parsed(
        image=file,
        folder=folder,
        animal=_animal(file),
        experiment=_experiment(file),
        well=well,
        field=field,
        movie=movie,
        frame=tuple(frames.items()),
    )


def _spelt(digits: str) -> str:
    """Spell hexadecimal digits with letters if they are of a hash, where ``f90`` is no field of view and ``c3`` no channel."""
    if len(set(digits.lower()) & set("abde")) < 2 or len(re.findall(r"[a-f]+", digits.lower())) < 3:
        return digits
    return "".join(chr(ord("g") + int(digit, 16)) for digit in digits)


def _without(text: str, found: Sequence[re.Match[str]]) -> str:
    for match in sorted(found, key=lambda match: match.start(), reverse=True):
        if match.end() <= len(text):
            text = text[: match.start()] + text[match.end() :]
    return text.strip(" _-.")


def _first(pattern: re.Pattern[str], text: str, say: Callable[[re.Match[str]], str]) -> str:
    found = pattern.search(text)
    return "" if found is None else say(found)


def _well(text: str) -> str:
    plain = _first(_WELL, text, lambda found: f"{found[1]}{found[2]}")
    return plain or _first(_ROW_COLUMN, text, lambda found: f"r{int(found[1]):02}c{int(found[2]):02}")


def _animal(text: str) -> str:
    def say(found: re.Match[str]) -> str:
        word = {"mice": "mouse", "subj": "subject", "sub": "subject"}.get(found[1].lower(), found[1].lower())
        return f"{word} {found[2].lower().lstrip('0') or '0'}"

    return _first(_ANIMAL, text, say)


def _experiment(text: str) -> str:
    date = _first(_DATE, text, lambda found: f"{found[1]}-{found[2]}-{found[3]}")
    return date or _first(_EXPERIMENT, text, lambda found: found[0].casefold())
