"""Captions as they are, for towers that read text: nothing is stored, as the manifest has them.

``FeatureStore.texts`` gives them, in the order of the rows.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.encoders import Encoder


class PlainTexts(Encoder):
    """Texts to no numbers at all."""

    name = "texts"
    revision = "1"
    dim = 0
    kind: Literal["text"] = "text"

    def forward(self, prepared: list[str]) -> NDArray[Any]:
        """``[n, 0]``."""
        return np.empty((len(prepared), 0), dtype=np.float32)
