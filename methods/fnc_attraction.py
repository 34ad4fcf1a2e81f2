"""FNC attraction: candidates that resemble any caption of the anchor's image are positives too.

T. Huynh et al.: Boosting Contrastive Self-Supervised Learning with False Negative Cancellation, WACV 2022, section
3.3, as their released code has it: false negatives become targets and stay in the denominator. They are found as in
``fnc-elimination``.
"""

from torch import Tensor

from .base import View
from .fnc_elimination import FNCElimination


class FNCAttraction(FNCElimination):
    """``-mean over P and F of s / T + log sum exp(s / T)``, P the known positives, F the false negatives found."""

    def view_loss(self, view: View) -> Tensor:
        targets = view.positive | self.false_negatives(view)
        logits = view.similarity * self.scale
        pulled = (logits * targets).sum(dim=1) / targets.sum(dim=1)
        return (logits.logsumexp(dim=1) - pulled).mean() / 2
