"""What a policy does that learns nothing from records: nothing."""

from app.policy import Context
from app.records import Labels, Lessons, Record


class Unlearning:
    """What policies that learn nothing have in common."""

    __slots__ = ()

    def lessons(self, context: Context) -> Lessons | None:
        """None: it does not learn."""
        return None

    def label(self, record: Record) -> Labels:
        """Nothing: it does not learn."""
        return {}

    def observe(self, record: Record) -> None:
        """Nothing: it does not learn."""
