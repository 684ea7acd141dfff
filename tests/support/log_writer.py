"""A process that writes the request log, to be read beside and to be killed.

``python -m tests.support.log_writer DIR`` notes a request every two milliseconds and prints its number
when it is noted.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path

from dragoman.engine.recorder import Recorder
from dragoman.runtime.opening import open_store
from tests.support.records import record


async def write(folder: Path) -> None:
    """Until killed."""
    store, _ = await open_store(folder, {})
    recorder = Recorder(store.request_log(), clock=time.time, limit=1_000_000, days=36_500.0)
    recorder.start()
    for number in itertools.count():
        recorder.note(record(number))
        print(number, flush=True)
        await asyncio.sleep(0.002)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1])))
