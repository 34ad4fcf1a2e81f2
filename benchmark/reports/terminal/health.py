"""What ``bench doctor`` found."""

from rich.console import Console

from negbench.benchmark.sweeps.health import Health

WIDTH = 15
"""Of the names."""


def show(found: Health, screen: Console) -> None:
    """A line for each thing that was looked at, then one for each that is to be done."""
    for name, value in rows(found).items():
        screen.print(f"{name + ':':<{WIDTH}}{value}")
    for line in found.advice:
        screen.print(f"- {line}", style="yellow")
    if not found.advice:
        screen.print("nothing to do", style="green")


def rows(found: Health) -> dict[str, str]:
    """Each thing in one line."""
    there = [name for name, lacking in found.extras.items() if not lacking]
    others = [f"{name} ({', '.join(lacking)})" for name, lacking in found.extras.items() if lacking]
    return {
        "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        "extras": ", ".join(there) or "none",
        "not installed": ", ".join(others) or "none",
        "devices": ", ".join(found.devices),
        "threads": "{cpus} CPUs, torch uses {torch}, load {load}".format(**found.threads),
        "disk": "{free:,.0f} GB free of {total:,.0f}".format(**found.disk),
        "datasets": ", ".join(f"{name} ({state})" for name, state in found.datasets.items()) or "none",
        "records": f"{found.records:,}, of these {len(found.stale):,} stale; {len(found.left_out):,} more in no table",
    }
