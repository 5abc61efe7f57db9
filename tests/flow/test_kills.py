"""A gateway killed again and again loses no record it acknowledged, and keeps none twice."""

from pathlib import Path

import pytest

from tests.support.killing import killed

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(120)
async def test_twenty_kills_lose_nothing_and_keep_nothing_twice(tmp_path: Path) -> None:
    came = await killed(tmp_path, kills=20, acks_each=10, seed=2, told=lambda _: None)
    assert came.discrepancies == []
    assert came.fewest_acknowledged >= 10
    assert came.in_store >= came.acknowledged >= 20 * 10
