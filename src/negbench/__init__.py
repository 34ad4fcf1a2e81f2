"""A benchmark suite for negative sampling in image-text matching.

``record`` takes in a model that was trained elsewhere, ``load`` opens a record for use (docs/external.md). Nothing is
imported before it is asked for: ``negbench.methods`` needs torch alone.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negbench.benchmark.exchange.door import record
    from negbench.benchmark.exchange.loaded import load

__all__ = ["load", "record"]


def __getattr__(name: str) -> Any:
    if name == "record":
        from negbench.benchmark.exchange.door import record

        return record
    if name == "load":
        from negbench.benchmark.exchange.loaded import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
