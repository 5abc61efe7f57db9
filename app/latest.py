"""A mapping that keeps what was used last."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Latest(OrderedDict[K, V]):
    """At most `most` entries, ordered by use: a tenant nobody hears of any more makes room."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def of(self, key: K, make: Callable[[], V]) -> V:
        """The entry, made where there is none; it is now the last to go."""
        try:
            value = self[key]
        except KeyError:
            value = self[key] = make()
            if len(self) > self._most:
                self.popitem(last=False)
            return value
        self.move_to_end(key)
        return value
