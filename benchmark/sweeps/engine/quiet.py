"""What dask says of its own work is not what was asked for."""

import logging

import distributed  # noqa: F401 - it sets its loggers up while it is imported

LOGGERS = ("distributed", "distributed.client", "distributed.core", "tornado", "tornado.application", "asyncio")


def be_quiet() -> None:
    """Let nothing of it be printed: what matters is told by us."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
