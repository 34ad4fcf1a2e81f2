"""The one rule of what is never a negative: what has the anchor's image id."""

from torch import Tensor


def same_image(anchor_ids: Tensor, candidate_ids: Tensor) -> Tensor:
    """Mask ``[B, N]`` of the candidates ``[N]`` with the image id of the anchors ``[B]``."""
    return anchor_ids[:, None] == candidate_ids[None, :]
