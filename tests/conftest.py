"""What every test shares."""

import logging
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings

from app.telemetry.logs import Waiting

# How long an example takes says more about the machine than about the code.
settings.register_profile("autoshift", deadline=None, max_examples=50)
settings.load_profile("autoshift")

# What takes minutes is run on its own: `make test-long`.
collect_ignore = ["long"]


@pytest.fixture
def anyio_backend() -> str:
    """Coroutines run on asyncio only, as they do in the gateway."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_log_of_another_test() -> Generator[None]:
    """A command that was called in this process has set up its log, on a stream that ends here."""
    yield
    for handler in [each for each in logging.root.handlers if isinstance(each, Waiting)]:
        logging.root.removeHandler(handler)


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, by nohup say: the commands that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
