"""``bench`` as tests call it: in this process, or, where streams, signals or imports matter, as one of its own."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from negbench.benchmark.cli.main import app

BENCH = [sys.executable, "-P", "-m", "negbench.benchmark.cli"]
"""The words that start the real process; what lies in the current folder is not imported."""


class Done(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that was said, to be shown where an assertion fails."""
        return self.stdout + self.stderr


def bench(*words: str) -> Done:
    """Run a command in this process; an exception that the command does not tell by itself is raised."""
    result = CliRunner().invoke(app, words, prog_name="bench")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def bench_process(*words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
    """Run a command as a process of its own."""
    done = subprocess.run([*BENCH, *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)
