"""What every record store can do, and the operations it is given."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias, TypeVar
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from app.errors import StoreError
from app.neighbours import Neighbour
from app.records import Evidence, Record, Vector
from app.store.wanted import ANY, Sought, Stored, Wanted

logger = logging.getLogger(__name__)

VECTOR_NAME = "question"
Item = TypeVar("Item")

_evidence_adapter = TypeAdapter(Evidence)


@dataclass(frozen=True, slots=True, eq=False)
class Insert:
    """A record to be kept; it never overwrites. `body` is `Record.to_json()`.

    Without a vector the record can be fetched and is counted, but is nobody's neighbour.
    """

    id: str
    tenant: str
    body: bytes
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Note:
    """Evidence to be added to the record `id`; it never overwrites. `body` is its JSON.

    It follows the record's insert. For a record that is not there, or another tenant's, it does
    nothing.
    """

    id: str
    tenant: str
    evidence_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """The record `id` to be erased, with its evidence; nothing where it is not its tenant's."""

    id: str
    tenant: str


Operation: TypeAlias = Insert | Note | Delete


@dataclass(frozen=True, slots=True)
class Stage:
    """Operations that a store may apply kind by kind: deletes, then inserts, then notes."""

    deletes: list[Delete] = field(default_factory=list)
    inserts: list[Insert] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def deleted_ids(self) -> dict[str, list[str]]:
        """By tenant."""
        ids: dict[str, list[str]] = {}
        for delete in self.deletes:
            ids.setdefault(delete.tenant, []).append(delete.id)
        return ids


class RecordStore(Protocol):
    """Errors of every method: StoreError; a `retryable` one says that later may go better."""

    async def open(self) -> None:
        """Make the store ready. One that is down for now is only logged: writes try again.

        Errors: StoreLockedError, StoreMismatchError.
        """
        ...

    async def close(self) -> None: ...

    async def search(
        self, vector: Vector, *, tenant: str, embedder: str, limit: int, sought: Sought = ANY
    ) -> list[Neighbour]:
        """Past records of this tenant and embedder, most similar first."""
        ...

    async def write(self, operations: Sequence[Operation]) -> None:
        """Apply the operations; doing so twice is the same as once.

        A note finds the records inserted before it, here or in an earlier call. An insert after a
        delete brings the record back, a note does not.
        """
        ...

    async def get(self, record_id: str, *, tenant: str) -> Record | None: ...

    async def last_in_conversation(self, conversation: str, *, tenant: str) -> Record | None:
        """The latest record of this conversation, by its time."""
        ...

    async def by_time(
        self, wanted: Wanted, *, newest_first: bool, limit: int, vectors: bool = False
    ) -> list[Stored]:
        """The wanted rows in order of their times; of equal times, in any order."""
        ...

    async def oldest(self, tenant: str, *, limit: int) -> list[str]:
        """The ids of this tenant's oldest records, oldest first; nothing else of them is read."""
        ...

    async def scan(
        self, wanted: Wanted, *, start: str | None, limit: int, vectors: bool = False
    ) -> tuple[list[Stored], str | None]:
        """The wanted rows from the id `start` on, in order of their ids; and where to go on.

        Rows that are no records are among them where the words fit. Vectors only if asked for.
        """
        ...

    async def count(self, tenant: str | None = None, *, exact: bool = True) -> int:
        """How many records there are, of this tenant or everybody's.

        Counting exactly reads through all of them; about so many costs nothing.
        """
        ...

    async def flush(self) -> None:
        """Make everything written so far survive a power cut, if the store does not by itself."""
        ...

    async def has_lost(self) -> bool:
        """Whether writes it had taken are gone again, as after a power cut of its machine.

        It says so once; then everything of the last minute is to be written anew.
        """
        ...

    async def run_upkeep(self) -> None:
        """Keep searches fast, until cancelled; never raises."""
        ...


def note_of(record_id: str, tenant: str, evidence: Evidence) -> Note:
    """A note whose id is the same for the same word of the same author.

    Of a judge or a tool the first word is the only one; whoever gives feedback may think again.
    """
    body = orjson.dumps(evidence)
    named = [record_id, evidence.source, evidence.by]
    if evidence.tier is not None:
        named.append(evidence.tier)
    if evidence.source in {"feedback", "outcome"}:
        named.append(body.decode())
    evidence_id = hashlib.blake2b("\0".join(named).encode(), digest_size=16).hexdigest()
    return Note(record_id, tenant, evidence_id, body)


def stages_of(operations: Iterable[Operation]) -> list[Stage]:
    """As few stages as keep the order per id; a note that came before its insert finds it too.

    Errors: StoreError for a delete of what cannot be an id.
    """
    stages = [Stage()]
    touched: set[str] = set()
    for operation in operations:
        if isinstance(operation, Delete) and operation.id in touched:
            stages.append(Stage())
            touched = set()
        match operation:
            case Delete(record_id, _):
                if not is_point_id(record_id):
                    raise StoreError(f"a delete is about {record_id!r}, which is not a UUID")
                stages[-1].deletes.append(operation)
            case Insert():
                stages[-1].inserts.append(operation)
                touched.add(operation.id)
            case Note():
                stages[-1].notes.append(operation)
                touched.add(operation.id)
    return stages


def evidence_from_json(body: bytes) -> Evidence | None:
    """The evidence, or None where the data is not one."""
    try:
        return _evidence_adapter.validate_json(body)
    except ValidationError:
        return None


def with_evidence(record: Record, evidence: Mapping[str, Evidence]) -> Record:
    """The record with this evidence added; what it has already stays as it is."""
    return replace(record, evidence={**evidence, **record.evidence})


def is_point_id(record_id: str) -> bool:
    """Whether the engine takes this as a point's id."""
    try:
        return str(UUID(record_id)) == record_id
    except ValueError:
        return False


def chunks_of(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
