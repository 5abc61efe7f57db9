"""I11: no tenant reads, influences or reveals what is another's, whatever they all do."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gateway import gateway
from tests.support.isolation import TENANTS, Tenants, environment, keys

pytestmark = pytest.mark.anyio


@given(seed=st.integers(0, 2**32), steps=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4))))
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_tenants_see_and_change_what_is_their_own(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[tuple[int, int]]
) -> None:
    directory: Path = tmp_path_factory.mktemp("tenants")
    rng = random.Random(seed)  # noqa: S311
    with pytest.MonkeyPatch.context() as patch:
        for variable, secret in environment().items():
            patch.setenv(variable, secret)
        async with gateway(directory, keys=keys(), records={"text": "full"}) as gate:
            tenants = Tenants(gate)
            for who in range(TENANTS):
                await tenants.ask(who, rng)
            for rule, who in [*steps, *((at % 7, at % TENANTS) for at in range(20))]:
                await tenants.rules()[rule](who, rng)
            await tenants.each_with_each()
            await tenants.settled()
