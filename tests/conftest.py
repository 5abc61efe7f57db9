"""What every test shares."""

import signal

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("autoshift", deadline=None, max_examples=50)
settings.load_profile("autoshift")

# What takes minutes is run on its own: `make test-long`.
collect_ignore = ["long"]


@pytest.fixture
def anyio_backend() -> str:
    """Coroutines run on asyncio only, as they do in the gateway."""
    return "asyncio"


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, by nohup say: the commands that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
