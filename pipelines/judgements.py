"""What people said of pairs of an image and a caption: one verdict per pair from a manifest's ``judgements``."""

from collections.abc import Mapping

import pandas as pd

POSITIVE = {"expert": 0.6, "crowd": 0.5}
"""A judged pair matches from here on: two of three experts say 3 of 4 (2/3), half of the crowd says yes."""
OTHERWISE = 0.5
"""The same for any other source."""


def verdicts(judgements: pd.DataFrame, positive: Mapping[str, float] = POSITIVE) -> pd.DataFrame:
    """``image_id, caption_id, positive``: a row per judged pair, in the order of the table, the experts' first.

    A pair judged by experts and others counts as the experts say; of several rows of one source the first counts.

    Args:
        judgements: ``image_id, caption_id, match, source``, the table of a manifest.
        positive: per source the ``match`` from which a pair matches.
    """
    frame = judgements.assign(
        positive=judgements["match"] >= judgements["source"].map(dict(positive)).astype(float).fillna(OTHERWISE),
        expert=judgements["source"] == "expert",
    )
    frame = frame.sort_values("expert", ascending=False, kind="stable").drop_duplicates(["image_id", "caption_id"])
    return frame[["image_id", "caption_id", "positive"]]
