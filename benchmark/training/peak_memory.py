"""The peak memory of a process."""

import resource
import sys
from contextlib import suppress
from pathlib import Path


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MiB, mapped pages of files included."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike the figure below, it begins anew in a process that was started by a large one
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB elsewhere


def begin_anew() -> None:
    """Let the peak begin at what the process has now, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
