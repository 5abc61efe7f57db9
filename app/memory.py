"""What is kept of requests, and all that was learned from it: whatever is erased leaves both."""

from collections.abc import Callable, Collection
from functools import partial

from app.archive import Archive
from app.parts import Parts
from app.policies import build_policies
from app.restart import Relearning, Restart


class Memory:
    """`tenants` gives those there are now."""

    def __init__(self, parts: Parts, tenants: Callable[[], Collection[str]]) -> None:
        self._parts = parts
        learners = partial(build_policies, parts.settings, parts.files)
        self.relearning = Relearning(
            lambda: self._restart(tenants=sorted(tenants()), learners=learners)
        )
        self.archive = Archive(
            recorder=parts.recorder,
            store=parts.store,
            outbox=parts.outbox,
            forget=self._forget,
            unlearn=self.relearning.ask,
            beside=shelf.archive if (shelf := parts.strategies.shelf) else None,
        )
        self._restart = partial(Restart, archive=self.archive, audience=parts.audience)

    def restart(self, tenants: Collection[str]) -> Restart:
        """Restores what is known of these."""
        return self._restart(tenants=sorted(tenants))

    def _forget(self, tenant: str, records: Collection[str]) -> None:
        self._parts.retriever.forget(tenant)
        self._parts.transmission.small.forget(tenant, records)
        self._parts.transmission.conversations.forget(tenant, records)
