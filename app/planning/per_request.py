"""What is worked out once for a request, and kept as long as its context is."""

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from app.policy import Context

T = TypeVar("T")


class PerRequest(Generic[T]):
    """A value for each request: what others teach meanwhile does not change its path."""

    def of(self, context: Context, make: Callable[[], T]) -> T:
        """The request's value, made the first time it is asked for."""
        kept = context.kept
        if self not in kept:
            kept[self] = make()
        return cast("T", kept[self])
