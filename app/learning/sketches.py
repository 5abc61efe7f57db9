"""The sketch of a question: its vector in few numbers, small enough to stand in every record."""

from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.records import Vector

SKETCH = 24
"""How many numbers a sketch has."""
DECIMALS = 4
_SEED = 20_260_101

Sketch: TypeAlias = tuple[float, ...]
Array: TypeAlias = npt.NDArray[np.float64]


def sketch_of(vector: Vector | None) -> Sketch:
    """The vector seen along fixed random directions; empty where there is no vector.

    Lengths and angles are kept roughly, whatever the embedder (Johnson and Lindenstrauss 1984), and
    nothing has to be learned, so old sketches stay comparable.
    Shape: (SKETCH,).
    """
    if vector is None:
        return ()
    seen = _directions(len(vector)) @ np.asarray(vector, dtype=np.float64)
    return tuple(np.round(seen, DECIMALS).tolist())


def features_of(sketch: Sketch) -> Array:
    """The sketch behind a constant 1, for a linear model; zeros where there is none.

    Shape: (SKETCH + 1,).
    """
    features = np.zeros(SKETCH + 1)
    features[0] = 1.0
    if len(sketch) == SKETCH:
        features[1:] = sketch
    return features


@lru_cache(maxsize=4)
def _directions(dimension: int) -> Array:
    rng = np.random.default_rng(_SEED)
    directions: Array = rng.standard_normal((SKETCH, dimension)) / np.sqrt(SKETCH)
    return directions
