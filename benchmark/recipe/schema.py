"""The one schema of a cell: everything that decides its numbers."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from negbench.methods.registry import check_name
from negbench.pipelines.errors import RequestError
from negbench.pipelines.names import check_dataset, check_encoder

ADDED: dict[str, Any] = {"guide": "image"}
"""Keys that the schema did not always have, and the values that stand for what was before them. At these a digest
leaves them out, so that a new key changes no digest of a configuration that does not use it."""
LONGEST_LABEL = 100
"""A longer name of a folder is replaced by a digest."""


class Recipe(BaseModel):
    """How a cell is trained, the same for every method of a comparison."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    epochs: int = Field(default=5, ge=1, le=10**6)
    """Passes over the training captions, warm-up included."""
    batch: int = Field(default=128, ge=2, le=10**6)
    """Anchors per step: captions, each with its image."""
    memory: int = Field(default=2048, ge=0, le=10**8)
    """Pairs in the momentum memory; 0 trains on the batch alone."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Share of the old weights kept at each step when the momentum heads follow: 0.95 forgets in some 20 steps."""
    memory_start: Literal["empty", "random"] = "empty"
    """What the memory begins with: nothing, or random unit vectors in every place, as in the published FNE code."""
    memory_precision: Literal["float32", "float16"] = "float32"
    """Numbers in which the memory keeps its pairs; half precision takes half the room."""
    positives: Literal["labelled", "oracle"] = "labelled"
    """What is never a negative: pairs of one image, or, as an oracle where the truth is known, every true pair."""
    guide: Literal["image", "own", "shuffled"] = "image"
    """Captions a guide knows of an anchor: all of its image, its own alone, or, as a control, another image's."""
    expert_match: float = Field(default=0.6, ge=0, le=1)
    """For the audit: a pair judged by experts matches from here on; 0.6 is a median of 3 on a scale of 1 to 4."""
    crowd_match: float = Field(default=0.5, ge=0, le=1)
    """The same for the crowd's share of yes; 0.51 asks for a majority."""
    warmup: str = "mean"
    """Method of the warm-up epochs, always in the batch."""
    warmup_epochs: int = Field(default=1, ge=0, le=10**6)
    """Epochs trained with the warm-up method."""
    head: Literal["linear", "mlp", "attention"] = "linear"
    """Projection head on the features of either side; ``attention`` weighs the regions or tokens of the store."""
    hidden: int = Field(default=512, ge=1, le=2**16)
    """Width of the hidden layer, for ``mlp``."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout before each linear layer of a head."""
    dim: int = Field(default=256, ge=1, le=2**16)
    """Dimension of the joint space."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """AdamW's learning rate."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """AdamW's weight decay."""
    decay_at: float = Field(default=0.6, gt=0, le=1)
    """Share of the epochs after which the learning rate is divided by ten."""
    clip: float = Field(default=2.0, gt=0)
    """Gradient clipping: global norm."""
    threads: int = Field(default=1, ge=1, le=1024)
    """CPU threads; part of the recipe, because sums in another order end in other digits."""
    device: str = "cpu"
    """Device of the training, as torch names it."""


class RunConfig(Recipe):
    """A cell: method x dataset x seed under one recipe."""

    method: str
    """Name of the method."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The method's own settings, where they differ from its defaults."""
    dataset: str
    """Name of a registered dataset."""
    encoder: str
    """Encoder of the feature store."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Root seed; every random stream derives from it and a role."""

    @field_validator("method", "dataset", "encoder")
    @classmethod
    def _is_a_name(cls, name: str, field: ValidationInfo) -> str:
        """Names become folders: whatever a record or a file says, they lead nowhere else."""
        check = {"method": check_name, "dataset": check_dataset, "encoder": check_encoder}[str(field.field_name)]
        try:
            check(name)
        except RequestError as error:
            raise ValueError(str(error)) from None
        if "/" in name:
            raise ValueError(f"'{name}': / is written -- here")
        return name

    @property
    def method_id(self) -> str:
        """The method with its changed settings: ``fne[prior=1000,tau_fn=2.0]``."""
        changed = ",".join(f"{key}={value}" for key, value in sorted(self.settings.items()))
        return f"{self.method}[{changed}]" if changed else self.method

    def label(self, encoder: str) -> str:
        """Name of the cell's folder: the method and all that differs from the default recipe and ``encoder``."""
        default = Recipe()
        parts = [
            f"{name}={value}"
            for name in Recipe.model_fields
            if (value := getattr(self, name)) != getattr(default, name)
        ]
        if self.encoder != encoder:
            parts.append(f"encoder={self.encoder}")
        label = "+".join([self.method_id.replace("-", "_"), *parts])
        if len(label) > LONGEST_LABEL:
            label = f"{self.method.replace('-', '_')}+{self._digest({'seed'})}"
        return label

    @property
    def hash(self) -> str:
        """Digest of the whole configuration."""
        return self._digest(set())

    @property
    def recipe_hash(self) -> str:
        """Digest of what must agree before two methods are compared: all but method, memory and seed."""
        return self._digest({"method", "settings", "seed", "memory", "momentum"})

    def _digest(self, apart: set[str]) -> str:
        """Of all but some keys, and but later ones that change nothing."""
        unused = {name for name, value in ADDED.items() if getattr(self, name) == value}
        return digest(self.model_dump(exclude=apart | unused))


def digest(content: dict[str, Any]) -> str:
    """Eight hex digits of a canonical JSON text."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
