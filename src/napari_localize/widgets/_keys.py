"""Keys that a dock puts on a layer, so that they act when the layer is selected and disturb no other."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer


class LayerKeys:
    """Binds keys to one layer at a time.

    Parameters
    ----------
    actions : mapping of int to callable
        Bound methods by key, as `KeyMod` and `KeyCode` of app-model combine; they are not kept alive.
    """

    def __init__(self, actions: Mapping[int, Callable[[], object]]) -> None:
        self._actions = {key: _weak(action) for key, action in actions.items()}
        self._layer: weakref.ref[Layer] | None = None

    def bind(self, layer: Layer) -> None:
        """Put the keys on a layer; keys of other docks on it are overwritten."""
        self.release()
        self._layer = weakref.ref(layer)
        for key, action in self._actions.items():
            layer.bind_key(key, action, overwrite=True)

    def release(self) -> None:
        """Take the keys off the layer, where they are still ours."""
        layer = self._layer() if self._layer is not None else None
        self._layer = None
        if layer is not None:
            for key, action in self._actions.items():
                ours = layer.bind_key(key, None)
                if ours is not None and ours is not action:
                    layer.bind_key(key, ours)


def _weak(action: Callable[[], object]) -> Callable[[Any], None]:
    method = weakref.WeakMethod(action)

    def run(_layer: Any) -> None:
        bound = method()
        if bound is not None:
            bound()

    return run
