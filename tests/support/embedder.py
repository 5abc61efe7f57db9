"""An embedder that does as it is told, in place of the one that the settings name."""

import asyncio

import numpy as np

from app.records import Vector

DIMENSION = 256


class ScriptedEmbedder:
    """Gives the vector it is told to, or raises, or takes its time."""

    tag = f"scripted/{DIMENSION}"
    dimension = DIMENSION

    def __init__(self) -> None:
        self.gives: Vector | Exception | None = unit()
        self.takes_s = 0.0

    async def embed(self, text: str) -> Vector | None:
        await asyncio.sleep(self.takes_s)
        if isinstance(self.gives, Exception):
            # A new one each time: by its frames, the one that is given would keep the request.
            raise type(self.gives)(*self.gives.args)
        return self.gives


def unit(dimension: int = DIMENSION, length: float = 1.0) -> Vector:
    vector = np.zeros(dimension, dtype=np.float32)
    vector[0] = length
    return vector
