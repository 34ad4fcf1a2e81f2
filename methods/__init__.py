"""Negative selection for image-text matching, one file per method. Needs torch only.

>>> from negbench.methods import get
>>> sampler = get("hardest")()
"""

from .registry import get, names

__all__ = ["get", "names"]
