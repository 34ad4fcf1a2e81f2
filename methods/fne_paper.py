"""FNE as its abstract and figure have it: weight 1 - p, closeness on the left of s+ only, easy ones kept a little.

H. Li, Y. Bin, J. Liao, Y. Yang, H. T. Shen, ACM MM 2023. The authors' code, which is ``fne``, differs from the
paper: it weighs a false negative by exp(-p / 2), at least 0.6, and cuts easy candidates to zero. The paper gives
neither the width of the bell nor the weight of easy candidates in numbers; those two defaults are ours.
"""

from dataclasses import dataclass

from .base import Choice, Range, setting
from .fne import FNE, FNESettings


@dataclass(frozen=True)
class FNEPaperSettings(FNESettings):
    tau_close: float = setting(
        25.0, "decay of the weight with the squared distance to s+", low=0.0, search=Range(0.05, 200.0, log=True)
    )
    bell: str = setting("left", "closeness on both sides of s+, or on the left only", choices=("both", "left"))
    false_weight: str = setting("probability", "weight of a possible false negative", choices=("decay", "probability"))
    cut_weight: float = setting(
        0.001, "weight of the candidates that are cut", low=0.0, high=1.0, search=Choice((0.0, 0.001, 0.01, 0.1))
    )


class FNEPaper(FNE):
    """P(draw) ~ ``1 - p`` where ``p > threshold``, else ``exp(-tau_close min(s - s+, 0)^2)``; little if easy."""

    Settings = FNEPaperSettings
