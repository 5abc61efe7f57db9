"""A process that submits and notes on records, and prints what was acknowledged, until killed.

A line is a record's id, or an id and the author of evidence about that record.

Run as `python -m tests.support.kill_recorder DIRECTORY SEED`.
"""

import asyncio
import random
import sys
from collections import deque
from pathlib import Path

from app.recorder import Recorder
from app.store import EdgeStore, Outbox
from app.store.optimizer import Optimizer
from tests.support.records import DIMENSION, direction, evidence, record


async def main(directory: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    # An optimizer that changes nothing, but says it did: generations are swapped all the time.
    optimizer = Optimizer((sys.executable, "-I", "-S", "-c", ""))
    store = EdgeStore(directory, dimension=DIMENSION, upkeep_records=50, optimizer=optimizer)
    await store.open()
    outbox = Outbox(directory, capacity_bytes=1 << 26, keep_s=0.2)
    outbox.open()
    recorder = Recorder(store, outbox, lambda _record, _acknowledged: None, tidy_s=0.05)
    # Far enough back that many are in the store alone by the time something is noted on them.
    recent: deque[str] = deque(maxlen=2000)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run())
        while True:
            for _ in range(chance.randrange(1, 20)):
                kept = record()
                if recorder.submit(kept, direction(chance.uniform(0, 360))):
                    recent.append(kept.id)
                    sys.stdout.write(f"{kept.id}\n")
                    sys.stdout.flush()
            for _ in range(chance.randrange(10)):
                noted_on, by = chance.choice(recent), f"author-{chance.randrange(3)}"
                if recorder.note(noted_on, "local", evidence(by)):
                    sys.stdout.write(f"{noted_on} {by}\n")
                    sys.stdout.flush()
            await asyncio.sleep(chance.uniform(0, 0.01))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
