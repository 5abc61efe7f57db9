"""How much one key may say where another of its tenant asks: poisoned records must not spread.

Tenants never meet at all. Within one, keys share what they learn, and whoever holds a key can write
records: so what others wrote is heard, but no one of them is loud.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from app.neighbours import Neighbour
from app.records import Evidence, Record, Vector
from app.store import RecordStore
from app.store.wanted import Sought

Weights: TypeAlias = npt.NDArray[np.float64]

SHARE = 0.1
"""Of a neighbourhood, how much may be one other key's: 2 of 20."""
NEAR_DUPLICATE = 0.995
"""A cosine from which two questions of one key count as one."""
WIDER = 4
"""How many times more neighbours are looked at where some have to be passed over."""


class Asked(Protocol):
    """What somebody asked, or asks."""

    @property
    def tenant(self) -> str: ...

    @property
    def principal(self) -> str | None: ...


def whose(asked: Asked) -> str:
    """Whose running figures (rates, costs, judges' errors, budgets) this goes by, and teaches.

    Each key's own: a running mean has no neighbourhood in which one voice could be capped. Without
    keys it is the tenant's.
    """
    if asked.principal is None:
        return asked.tenant
    return f"{asked.tenant}\0{asked.principal}"


def is_hearsay(word: Evidence, record: Record) -> bool:
    """Whether it was said with another key than the one that asked.

    Of one's own answer one may be believed before any judge; of others', a judge is, first.
    """
    return None not in {word.principal, record.principal} and word.principal != record.principal


async def neighbours_for(
    asked: Asked, vector: Vector, embedder: str, *, store: RecordStore, limit: int
) -> list[Neighbour]:
    """The tenant's most similar records, at most `limit`, few of any one other key.

    One's own cannot be crowded out: they are looked for by themselves. Errors: StoreError.
    """
    tenant, asker = asked.tenant, asked.principal
    found = await store.search(vector, tenant=tenant, embedder=embedder, limit=limit)
    if asker is None or not any(is_other(neighbour, asker) for neighbour in found):
        return found
    own = await store.search(
        vector, tenant=tenant, embedder=embedder, limit=limit, sought=Sought(asker)
    )
    more = await store.search(
        vector, tenant=tenant, embedder=embedder, limit=WIDER * limit, sought=Sought(vectors=True)
    )
    return fair([*own, *more], asker, limit)


def fair(neighbours: Iterable[Neighbour], asker: str, limit: int) -> list[Neighbour]:
    """The nearest `limit` of them, at most `SHARE` of that from any one other key.

    The asker's own all count, repeated ones too: whoever poisons those harms nobody else, and to
    ask one thing often is no attack. Of another key's near-duplicates only the nearest counts.
    Records without a key are from before there were any, and count as one's own.
    """
    most = max(1, int(SHARE * limit))
    kept: dict[str, Neighbour] = {}
    heard: dict[str | None, list[Neighbour]] = {}
    for neighbour in sorted(neighbours, key=lambda one: -one.similarity):
        if len(kept) == limit:
            break
        if is_other(neighbour, asker):
            theirs = heard.setdefault(neighbour.principal, [])
            if len(theirs) == most or any(_is_near(neighbour.vector, n.vector) for n in theirs):
                continue
            theirs.append(neighbour)
        kept.setdefault(neighbour.id, neighbour)
    return list(kept.values())


def toned_down(weights: Weights, neighbours: Sequence[Neighbour], asker: str | None) -> Weights:
    """The weights, so that each other key's sum up to little: a ninth of the asker's own at most.

    Or to `SHARE` of a neighbourhood, at most one neighbour, where that is more: who asks something
    new hears the others. So one key moves a mean by a tenth of the way at most, give or take.
    Shape: as given, one a neighbour.
    """
    if asker is None:
        return weights
    others: dict[str | None, list[int]] = {}
    for at, neighbour in enumerate(neighbours):
        if is_other(neighbour, asker):
            others.setdefault(neighbour.principal, []).append(at)
    if not others:
        return weights
    toned = weights.copy()
    own = float(weights.sum()) - sum(float(weights[places].sum()) for places in others.values())
    most = max(min(1.0, SHARE * len(neighbours)), own * SHARE / (1 - SHARE))
    for places in others.values():
        theirs = float(weights[places].sum())
        if theirs > most:
            toned[places] *= most / theirs
    return toned


def is_other(neighbour: Neighbour, asker: str | None) -> bool:
    """Whether it was asked with another key than the asker's."""
    return asker is not None and neighbour.principal not in {None, asker}


def _is_near(one: Vector | None, other: Vector | None) -> bool:
    if one is None or other is None:
        return False
    return float(np.dot(one, other)) > NEAR_DUPLICATE
