"""What is worked out once for a request, and kept while it is under way."""

from collections.abc import Callable
from typing import Generic, TypeVar

from app.latest import Latest
from app.policy import Context

T = TypeVar("T")

UNDER_WAY = 256


class PerRequest(Generic[T]):
    """A value for each of the last requests: what others teach meanwhile does not change a path."""

    def __init__(self) -> None:
        self._kept: Latest[int, tuple[Context, T]] = Latest(UNDER_WAY)

    def of(self, context: Context, make: Callable[[], T]) -> T:
        """The request's value, made the first time it is asked for."""
        # Kept with its value, a context cannot give its id to another one.
        return self._kept.of(id(context), lambda: (context, make()))[1]
