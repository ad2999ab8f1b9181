"""Which model comes from which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from napari_localize.core.errors import UserError
from napari_localize.models.card import Ancestor, ModelCard
from napari_localize.models.digest import weights_digest
from napari_localize.models.registry import ModelEntry


@dataclass(eq=False)
class Node:
    """A model in the tree of models.

    Attributes
    ----------
    reference : str
        What it is called, or was.
    entry : ModelEntry or None
        None for a model that is not there any more.
    children : list of Node
        The models that were trained from it.
    """

    reference: str
    entry: ModelEntry | None = None
    children: list[Node] = field(default_factory=list)
    parent: Node | None = field(default=None, repr=False)

    def walk(self) -> Iterator[Node]:
        """Yield the node and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)

    def is_below(self, other: Node) -> bool:
        """Whether it is the other node, or goes back to it."""
        node: Node | None = self
        while node is not None:
            if node is other:
                return True
            node = node.parent
        return False


def lineage(card: ModelCard) -> list[Ancestor]:
    """Return the models that one goes back to, its parent first."""
    return card.ancestors or ([Ancestor(reference=card.parent[:200])] if card.parent else [])


def model_tree(entries: Sequence[ModelEntry]) -> list[Node]:
    """Return the roots of the tree of models.

    A parent that is not there is a node without an entry, under its own parent where that is known; those of the
    bundled models are left out. A parent is known by its weights, also when it was renamed.
    """
    finder = _Finder(entries)
    nodes = {entry.path: Node(entry.reference, entry) for entry in entries}
    missing: dict[str, Node] = {}
    roots: list[Node] = []
    for entry in entries:
        child = nodes[entry.path]
        for ancestor in lineage(entry.card):
            found = finder.find(ancestor)
            if found is None and entry.bundled:
                continue
            key = ancestor.sha256 or ancestor.reference
            known = found is not None or key in missing
            parent = nodes[found.path] if found is not None else missing.setdefault(key, Node(ancestor.reference))
            if parent.is_below(child):
                break  # a card that names its own descendant as its parent
            child.parent = parent
            parent.children.append(child)
            child = parent
            if known:
                break
        if child.parent is None and child not in roots:
            roots.append(child)
    # A missing parent that was met first as a root may have got one later.
    return [root for root in roots if root.parent is None]


def find_ancestors(card: ModelCard, entries: Sequence[ModelEntry]) -> list[ModelEntry]:
    """Return the models that one goes back to and that are there, its parent first."""
    finder = _Finder(entries)
    found = (finder.find(ancestor) for ancestor in lineage(card))
    return list({entry.path: entry for entry in found if entry is not None}.values())


def descendants(reference: str, entries: Sequence[ModelEntry]) -> list[ModelEntry]:
    """Return the models that were trained from a model, or from one of those."""
    below: dict[str, ModelEntry] = {}
    for root in model_tree(entries):
        for node in root.walk():
            if node.entry is not None and node.reference == reference:
                below |= {each.reference: each.entry for each in node.walk() if each is not node and each.entry}
    return list(below.values())


def tree_lines(roots: Sequence[Node]) -> list[tuple[str, Node]]:
    """Return the tree line by line: what is drawn in front of each node, and the node."""
    lines: list[tuple[str, Node]] = []

    def add(node: Node, before: str, branch: str, below: str) -> None:
        lines.append((before + branch, node))
        for child in node.children:
            last = child is node.children[-1]
            add(child, before + below, "└─ " if last else "├─ ", "   " if last else "│  ")

    for root in roots:
        add(root, "", "", "")
    return lines


class _Finder:
    """Finds the models that cards speak of."""

    def __init__(self, entries: Sequence[ModelEntry]) -> None:
        self._by_reference = {entry.reference: entry for entry in entries}
        self._entries = entries
        self._by_digest: dict[str, ModelEntry] | None = None

    def find(self, ancestor: Ancestor) -> ModelEntry | None:
        """Return the model with the weights of an ancestor; where those are not known, the one of its name."""
        named = self._by_reference.get(ancestor.reference)
        if not ancestor.sha256 or (named is not None and _digest(named) == ancestor.sha256):
            return named
        if self._by_digest is None:
            self._by_digest = {_digest(entry): entry for entry in reversed(self._entries)}
        return self._by_digest.get(ancestor.sha256)


def _digest(entry: ModelEntry) -> str:
    # A card in a store says what it is; reading hundreds of files would take seconds.
    if entry.card.weights_sha256:
        return entry.card.weights_sha256
    try:
        return weights_digest(entry.path)
    except UserError:
        return ""
