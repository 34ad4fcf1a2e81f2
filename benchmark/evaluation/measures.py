"""What a gallery is worth: metrics by labels, by all that is known beyond them, and under further protocols."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from negbench.benchmark.errors import RunFailedError
from negbench.benchmark.evaluation.extended import extended_metrics, placed
from negbench.benchmark.evaluation.gallery import Gallery, Tested
from negbench.benchmark.evaluation.known_pairs import Judged, KnownPairs, exact
from negbench.benchmark.evaluation.metrics import metrics
from negbench.benchmark.evaluation.positives import positives_of
from negbench.benchmark.evaluation.protocols import Measured, measure_scores, protocols_for
from negbench.benchmark.evaluation.ranks import Ranks, ranked

if TYPE_CHECKING:
    from negbench.pipelines.manifest import Manifest
    from negbench.pipelines.splits import SplitIndex
    from negbench.pipelines.truth import Truth


def measured(tested: Tested) -> tuple[dict[str, float], Ranks]:
    """Metrics and the ranks of all queries; of a gallery also ``positive_similarity`` and ``mean_similarity`` (of all
    pairs)."""
    try:
        found = ranked(tested.scores, tested.caption_image)
    except ValueError as error:  # features that are not finite
        raise RunFailedError(f"cannot rank: {error}") from None
    row = metrics(found)
    if isinstance(tested, Gallery):
        images, captions = tested.images, tested.captions
        row["positive_similarity"] = float((images[tested.caption_image] * captions).sum(dim=1).mean())
        row["mean_similarity"] = float(images.mean(dim=0) @ captions.mean(dim=0))
    return row, found


def beyond_labels(
    tested: Tested, split: "SplitIndex", manifest: "Manifest", truth: "Truth | None", matches: Mapping[str, float]
) -> dict[str, float]:
    """Metrics with the positives that are known besides the labelled ones; ``matches``: see ``judgements.verdicts``."""
    found: dict[str, float] = {}
    for name, positives in positives_of(manifest, split, truth, matches).items():
        i2t, t2i = placed(tested.scores, positives)
        found |= extended_metrics(name, i2t, t2i, *tested.scores.shape)
    return found


def other_protocols(tested: Tested, dataset: str) -> tuple[Measured, ...]:
    """The same test under the further protocols of its dataset."""
    protocols = protocols_for(dataset, *tested.scores.shape)[1:]
    return tuple(measure_scores(each, tested.scores, tested.caption_image) for each in protocols)


def known_pairs_of(
    split: "SplitIndex", manifest: "Manifest", truth: "Truth | None", matches: Mapping[str, float]
) -> KnownPairs | None:
    """What is known of a split's pairs: the truth, or what people judged; None where nothing is."""
    return exact(truth, split.image_rows, split.caption_rows) or Judged.of(
        manifest.judgements, split.image_ids, split.caption_ids, matches
    )
