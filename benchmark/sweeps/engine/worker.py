"""A worker of this machine, as a process of its own: ``python -m negbench.benchmark.sweeps.engine.worker``.

It reads one line of JSON from its stdin: the scheduler's address, a name, and the keys that the scheduler asks for.
"""

import asyncio
import json
import os
import sys
import threading
from typing import Any

from negbench.benchmark.sweeps.engine.main_thread import MainThread
from negbench.benchmark.sweeps.processes import end_with_parent

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Work until the scheduler is gone, or somebody ends this process."""
    end_with_parent()
    code = 0
    try:
        work(json.loads(sys.stdin.readline()))
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    os._exit(code)  # the loop's thread is not waited for


def work(told: dict[str, Any]) -> None:
    """Jobs in this thread, the talk with the scheduler in another."""
    from distributed import Security, Worker

    from negbench.benchmark.sweeps.engine.quiet import be_quiet

    be_quiet()
    executor = MainThread()
    security = Security(require_encryption=True, **told["keys"])

    async def talk() -> None:
        async with Worker(
            told["address"],
            name=told["name"],
            nthreads=1,
            executor=executor,
            memory_limit=0,
            host=LOOPBACK,
            dashboard=False,
            dashboard_address=f"{LOOPBACK}:0",  # its server is there without a dashboard too
            security=security,
        ) as worker:
            await worker.finished()

    def talked() -> None:
        try:
            asyncio.run(talk())
        finally:
            executor.shutdown()

    threading.Thread(target=talked, daemon=True).start()
    executor.run()


if __name__ == "__main__":
    main()
