"""Where records are kept and found again: one protocol, an embedded store and a server's."""

from collections.abc import Callable

from pydantic import SecretStr

from app.settings import StoreSection
from app.store.edge import EdgeStore
from app.store.outbox import Outbox
from app.store.protocol import Delete, Insert, Note, Operation, RecordStore
from app.store.wanted import Stored, Wanted

__all__ = [
    "Delete",
    "EdgeStore",
    "Insert",
    "Note",
    "Operation",
    "Outbox",
    "RecordStore",
    "Stored",
    "Wanted",
    "build_outbox",
    "build_store",
]


def build_store(
    settings: StoreSection,
    *,
    dimension: int,
    api_key: SecretStr | None,
    refused: Callable[[], None] = lambda: None,
) -> RecordStore:
    """The store these settings describe, not yet open.

    `refused` is called for each row it gives back that is no answer to what was asked.
    """
    if settings.url is None:
        return EdgeStore(
            settings.path,
            dimension=dimension,
            upkeep_records=settings.upkeep_records,
            refused=refused,
        )
    # The client library takes seconds to import, and most gateways never need it.
    from app.store.server import ServerStore, connect  # noqa: PLC0415

    return ServerStore(
        connect(settings.url, api_key),
        url=settings.url,
        collection=settings.collection,
        dimension=dimension,
        refused=refused,
    )


def build_outbox(settings: StoreSection) -> Outbox:
    """The outbox these settings describe, not yet open."""
    return Outbox(settings.path, capacity_bytes=settings.outbox_bytes)
