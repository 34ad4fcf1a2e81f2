"""What a gallery is worth: metrics by labels, by all that is known beyond them, and under further protocols."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from negbench.benchmark.errors import RunFailedError
from negbench.benchmark.evaluation.extended import extended_metrics, positions
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.evaluation.known_pairs import Judged, KnownPairs, exact
from negbench.benchmark.evaluation.metrics import metrics
from negbench.benchmark.evaluation.positives import positives_of
from negbench.benchmark.evaluation.protocols import Measured, measure, protocols_for
from negbench.benchmark.evaluation.ranks import Ranks, ranks

if TYPE_CHECKING:
    from negbench.pipelines.manifest import Manifest
    from negbench.pipelines.store import Split
    from negbench.pipelines.truth import Truth


def measured(gallery: Gallery) -> tuple[dict[str, float], Ranks]:
    """Metrics, with ``positive_similarity`` and ``mean_similarity`` (of all pairs), and the ranks of all queries."""
    images, captions = gallery.images, gallery.captions
    try:
        found = ranks(images, captions, gallery.caption_image)
    except ValueError as error:  # features that are not finite
        raise RunFailedError(f"cannot rank: {error}") from None
    row = metrics(found)
    row["positive_similarity"] = float((images[gallery.caption_image] * captions).sum(dim=1).mean())
    row["mean_similarity"] = float(images.mean(dim=0) @ captions.mean(dim=0))
    return row, found


def beyond_labels(
    gallery: Gallery, split: "Split", manifest: "Manifest", truth: "Truth | None", matches: Mapping[str, float]
) -> dict[str, float]:
    """Metrics with the positives that are known besides the labelled ones; ``matches``: see ``judgements.verdicts``."""
    found: dict[str, float] = {}
    for name, positives in positives_of(manifest, split, truth, matches).items():
        i2t, t2i = positions(gallery.images, gallery.captions, positives)
        found |= extended_metrics(name, i2t, t2i, len(gallery.images), len(gallery.captions))
    return found


def other_protocols(gallery: Gallery, dataset: str) -> tuple[Measured, ...]:
    """The same gallery under the further protocols of its dataset."""
    protocols = protocols_for(dataset, len(gallery.images), len(gallery.captions))[1:]
    return tuple(measure(each, gallery.images, gallery.captions, gallery.caption_image) for each in protocols)


def known_pairs_of(
    split: "Split", manifest: "Manifest", truth: "Truth | None", matches: Mapping[str, float]
) -> KnownPairs | None:
    """What is known of a split's pairs: the truth, or what people judged; None where nothing is."""
    return exact(truth, split.image_rows, split.caption_rows) or Judged.of(
        manifest.judgements, split.image_ids, split.caption_ids, matches
    )
