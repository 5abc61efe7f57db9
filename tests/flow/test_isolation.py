"""I11: no tenant reads, influences or reveals what is another's, whatever they all do."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.isolation import Isolation

pytestmark = pytest.mark.timeout(120)


def test_tenants_see_and_change_what_is_their_own() -> None:
    run_state_machine_as_test(
        Isolation,
        settings=settings(
            max_examples=6,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Isolation.operations > 100
