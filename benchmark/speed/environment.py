"""The surroundings of a child process that runs this very code."""

import os
from pathlib import Path


def environment() -> dict[str, str]:
    """That of a child with ``-P``, which does not look into the current folder: it finds this very code elsewhere."""
    root, before = Path(__file__).parents[3], os.environ.get("PYTHONPATH")
    if root.name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{before}" if before else str(root)}
