"""An executor whose jobs run in the thread that asks it to: the main one, where signals arrive."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any


class MainThread(Executor):
    """A training that is asked to end by a signal saves itself first; in another thread it would never know."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self._waiting.put((future, lambda: function(*arguments, **named)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let ``run`` come back; it is not waited for, as it may be this very thread."""
        self._waiting.put(None)

    def run(self) -> None:
        """Do what is submitted until ``shutdown``; an interrupt leaves a job without an end."""
        while (job := self._waiting.get()) is not None:
            future, function = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)
