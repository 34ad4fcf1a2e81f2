"""What test numbers were measured on. Numbers of two protocols never share a column."""

from benchmark.records import Protocol

KNOWN = {
    "f8k": Protocol(name="f8k-1k", images=1000, captions=5000),
    "f30k": Protocol(name="f30k-1k", images=1000, captions=5000),
    "coco": Protocol(name="coco-5k", images=5000, captions=25000),
    "scenes": Protocol(name="scenes", images=500, captions=2500),
}
"""Dataset to the protocol papers use for it: the whole test split, every caption a query."""


def protocol_for(dataset: str, images: int, captions: int) -> Protocol:
    """The protocol of a test on the galleries of this size.

    A dataset that is not known gives its own name. A known one whose galleries have other sizes than its
    protocol says gives ``<protocol>-custom``: its numbers must not be taken for the published kind.
    """
    known = KNOWN.get(dataset)
    if known is None:
        return Protocol(name=dataset, images=images, captions=captions)
    if (known.images, known.captions) == (images, captions):
        return known
    return Protocol(name=f"{known.name}-custom", images=images, captions=captions)
