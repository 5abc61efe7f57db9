"""A process that keeps and erases records, and prints what it did with which, until killed.

Run as `python -m tests.support.kill_eraser DIRECTORY SEED`.
"""

import asyncio
import random
import sys
from pathlib import Path

from app.archive import Archive
from app.recorder import Recorder
from app.store import EdgeStore, Outbox, Wanted
from app.store.optimizer import Optimizer
from tests.support.records import DIMENSION, direction, evidence, record

# It changes nothing, but says it did; and makes the new store of one with erasures in it as told.
OPTIMIZER = """
import shutil, sys
if len(sys.argv) > 3:
    shutil.rmtree(sys.argv[1])
    shutil.copytree(sys.argv[3], sys.argv[1])
"""


async def main(directory: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    optimizer = Optimizer((sys.executable, "-I", "-S", "-c", OPTIMIZER))
    store = EdgeStore(directory, dimension=DIMENSION, upkeep_records=50, optimizer=optimizer)
    await store.open()
    outbox = Outbox(directory, capacity_bytes=1 << 26, keep_s=0.1)
    outbox.open()
    recorder = Recorder(store, outbox, lambda _record, _acknowledged: None, tidy_s=0.02)
    archive = Archive(recorder=recorder, store=store, outbox=outbox)
    recent: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run())
        while True:
            for _ in range(chance.randrange(1, 12)):
                kept = record()
                if recorder.submit(kept, direction(chance.uniform(0, 360))):
                    recent.append(kept.id)
                    say("kept", kept.id)
            if chance.random() < 0.7:
                chosen = recent.pop(chance.randrange(len(recent)))
                recorder.note(chosen, "local", evidence("before"))
                say("erasing", chosen)
                if await archive.erase(Wanted("local", id=chosen)) == 1:
                    say("erased", chosen)
                recorder.note(chosen, "local", evidence("after"))
            await asyncio.sleep(chance.uniform(0, 0.01))


def say(word: str, record_id: str) -> None:
    sys.stdout.write(f"{word} {record_id}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
