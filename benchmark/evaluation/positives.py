"""Where extended positives come from: the truth, judgements and equal texts, or what others verified on COCO."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from negbench.benchmark.evaluation import eccv
from negbench.benchmark.evaluation.extended import Positives, Relation
from negbench.pipelines.captions import same
from negbench.pipelines.judgements import POSITIVE, verdicts

if TYPE_CHECKING:
    from negbench.pipelines.manifest import Manifest
    from negbench.pipelines.splits import SplitIndex
    from negbench.pipelines.truth import Truth

IMAGES = 512
"""Images at a time, to bound the memory of the truth."""


def positives_of(
    manifest: "Manifest", split: "SplitIndex", truth: "Truth | None", matches: Mapping[str, float] = POSITIVE
) -> dict[str, Positives]:
    """All that is known of a split, by the name its metrics begin with.

    ``true`` where the truth of every pair is known, otherwise ``extended``; ``eccv`` and ``cxc`` beside it where the
    captions are those of COCO's test split and the package ``eccv_caption`` is installed. ``matches``: see
    ``judgements.verdicts``.
    """
    if truth is not None:
        return {"true": of_truth(split, truth)}
    return {"extended": of_texts(manifest, split, matches)} | eccv.positives(split)


def of_truth(split: "SplitIndex", truth: "Truth") -> Positives:
    """Every true pair, and every labelled one. An image without a caption of its own is no query."""
    labelled = np.zeros(len(split.image_ids), dtype=bool)
    labelled[split.caption_image] = True
    images, captions = [split.caption_image], [np.arange(len(split.caption_ids))]
    for start in range(0, len(labelled), IMAGES):
        image, caption = truth.matrix(split.image_rows[start : start + IMAGES], split.caption_rows).nonzero()
        images.append(image + start)
        captions.append(caption)
    image, caption = np.concatenate(images), np.concatenate(captions)
    queries = labelled[image]
    return Positives(i2t=Relation.of(image[queries], caption[queries]), t2i=Relation.of(caption, image))


def of_texts(manifest: "Manifest", split: "SplitIndex", matches: Mapping[str, float] = POSITIVE) -> Positives:
    """Labelled pairs, pairs judged to match, and all captions with the same text as such a pair's caption.

    A judgement is about a text, so it holds for every caption that reads the same. A labelled pair is positive
    whatever the judges say.
    """
    text_of = manifest.captions.set_index("caption_id")["text"].map(same)
    judged = verdicts(manifest.judgements, matches)
    judged = judged[judged["positive"]]
    labelled = pd.DataFrame(
        {"image_id": np.array(split.image_ids, dtype=object)[split.caption_image], "caption_id": split.caption_ids}
    )
    pairs = pd.concat([labelled, judged[["image_id", "caption_id"]]])
    said = pd.DataFrame({"image_id": pairs["image_id"], "text": pairs["caption_id"].map(text_of)}).drop_duplicates()
    captions = pd.DataFrame(
        {"caption": np.arange(len(split.caption_ids)), "text": text_of[split.caption_ids].to_numpy()}
    )
    images = pd.DataFrame({"image": np.arange(len(split.image_ids)), "image_id": split.image_ids})
    found = said.merge(captions, on="text").merge(images, on="image_id")
    image, caption = (found[column].to_numpy(dtype=np.int64) for column in ("image", "caption"))
    own = np.isin(image, split.caption_image)
    return Positives(i2t=Relation.of(image[own], caption[own]), t2i=Relation.of(caption, image))
