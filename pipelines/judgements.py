"""What people judged of pairs of an image and a caption, as yes or no. The one place of the rule."""

from collections.abc import Mapping

import pandas as pd

POSITIVE = {"expert": 0.6, "crowd": 0.5}
"""A judged pair matches from here on: experts' median says at least 3 of 4 (2/3), half of the crowd says yes."""
OTHERS = 0.5
"""The same for any other source."""


def verdicts(judgements: pd.DataFrame, positive: Mapping[str, float] = POSITIVE) -> pd.DataFrame:
    """Judged pairs, each once: ``image_id caption_id positive``. What experts judged is as the experts say.

    Args:
        judgements: the manifest's table.
        positive: least ``match`` of a matching pair, by source.
    """
    frame = judgements.assign(
        positive=judgements["match"] >= judgements["source"].map(dict(positive)).fillna(OTHERS).astype(float),
        expert=judgements["source"] == "expert",
    )
    frame = frame.sort_values("expert", ascending=False, kind="stable").drop_duplicates(["image_id", "caption_id"])
    return frame[["image_id", "caption_id", "positive"]].reset_index(drop=True)
