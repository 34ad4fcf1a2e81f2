"""Negative selection for image-text matching, one file per method. Needs torch only.

>>> from methods import get
>>> sampler = get("hardest")()
"""

from methods.registry import get, names

__all__ = ["get", "names"]
