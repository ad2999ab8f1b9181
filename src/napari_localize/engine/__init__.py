"""The process that owns torch and the GPU. The client side, which is all that is exported here, imports no torch."""

from __future__ import annotations

from napari_localize.engine.client import Engine, shared_engine
from napari_localize.engine.errors import EngineDied, EngineError
from napari_localize.engine.job import Job

__all__ = ["Engine", "EngineDied", "EngineError", "Job", "shared_engine"]
