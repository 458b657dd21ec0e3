"""`python -m drill.watched FILE …`: `python -m app …` that also writes into a file how many tasks it has."""

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any

from app.__main__ import app

_EVERY = 2.0  # seconds


def _count(file: Path) -> None:
    tasks: Any = vars(asyncio.tasks).get("_scheduled_tasks") or vars(asyncio.tasks)["_all_tasks"]  # from 3.12, before
    while True:
        try:
            file.write_text(str(sum(not task.done() for task in list(tasks))))
        except RuntimeError:  # the loop's thread made one meanwhile
            continue
        time.sleep(_EVERY)


if __name__ == "__main__":
    threading.Thread(target=_count, args=(Path(sys.argv.pop(1)),), daemon=True).start()
    app()
