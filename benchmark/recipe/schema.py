"""The schema of a cell: what decides its numbers, where it ran, and what its audit takes for a match.

The three are written side by side in one flat configuration, and only the first is the cell's identity: on another
device, or held against other thresholds, it is the same cell.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from negbench.benchmark.recipe import presets
from negbench.methods.registry import check_name
from negbench.pipelines.errors import RequestError
from negbench.pipelines.names import check_dataset, check_encoder

INTRODUCED: dict[str, Any] = {}
"""Values that keys had when they were introduced, where their defaults are others by now. At these a digest leaves a
key out, so that neither a new key nor a new default orphans a record."""
OF_A_ROW = {"method", "settings", "rate_factor", "tuned", "seed", "memory", "momentum"}
"""Keys in which the cells of one table may differ."""
PLAIN = "heads"
"""The preset that changes nothing."""
HEADS = ("linear", "mlp", "attention")
"""What one key, ``head``, named for both sides, when there were no other towers."""
NESTED = {"": "settings", "image": "image_settings", "text": "text_settings"}
"""Keys that hold settings: of the method, and of a side's tower."""
LONGEST_LABEL = 100
"""A longer name of a folder is replaced by a digest."""
KEYS_OF_SCHEMA_1 = (
    *("epochs", "batch", "memory", "momentum", "memory_start", "memory_precision", "positives", "guide"),
    *("expert_match", "crowd_match", "warmup", "warmup_epochs", "head", "hidden", "dropout", "dim"),
    *("learning_rate", "weight_decay", "decay_at", "clip", "threads", "device"),
    *("method", "settings", "dataset", "encoder", "seed"),
)


class Keys(BaseModel):
    """Some keys of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Recipe(Keys):
    """How a cell is trained, the same for every method of a comparison: what decides numbers."""

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
    memory_precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Numbers in which the memory keeps its pairs; half precision takes half the room, but a step converts them."""
    positives: Literal["labelled", "oracle", "oracle-above"] = "labelled"
    """What is never a negative: pairs of one image, or, where the truth is known, every true pair, or of these only
    those that are more similar than the anchor and its partner."""
    guide: Literal["image", "own", "shuffled"] = "image"
    """Captions a guide knows of an anchor: all of its image, its own alone, or, as a control, another image's."""
    guide_encoder: str = ""
    """Encoder whose frozen vectors the guide knows, where the towers read pixels or text; empty: the cell's own."""
    warmup: str = "mean"
    """Method of the warm-up epochs, always in the batch."""
    warmup_epochs: int = Field(default=1, ge=0, le=10**6)
    """Epochs trained with the warm-up method."""
    image_tower: str = "linear"
    """What is trained on the image side; bench models lists them."""
    image_settings: dict[str, Any] = Field(default_factory=dict)
    """Its settings, where they differ from its defaults: image.KEY on the command line."""
    text_tower: str = "linear"
    """The same of the text side."""
    text_settings: dict[str, Any] = Field(default_factory=dict)
    """Its settings: text.KEY on the command line."""
    hidden: int = Field(default=512, ge=1, le=2**16)
    """Width of hidden layers of towers on features."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout before the linear layers that lead into the joint space."""
    dim: int = Field(default=256, ge=1, le=2**16)
    """Dimension of the joint space."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """AdamW's learning rate."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """AdamW's weight decay."""
    decay_at: float = Field(default=0.6, gt=0, le=1)
    """Share of the epochs after which the learning rate is divided by ten."""
    decays: tuple[int, ...] = ()
    """Epochs, counted from 0, before which it is divided by ten, in place of decay_at."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Whether the learning rate falls by those steps, or along a cosine to nothing."""
    rise: float = Field(default=0, ge=0, lt=1)
    """Share of all training steps in which the learning rate rises from nothing."""
    clip: float = Field(default=2.0, gt=0)
    """Gradient clipping: global norm."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Numbers that the towers compute in, by autocast; the method computes in float32 in any case."""
    compile: bool = False
    """Whether a step is compiled into one graph, on a GPU into one that is replayed; its draws are others."""


class Naming(Keys):
    """What a recipe is called: no part of its identity, which is what it says."""

    preset: str = PLAIN
    """The preset that the recipe began with; bench recipes lists them."""


class Execution(Keys):
    """Where a cell runs: no part of its identity, though sums in another order end in other digits."""

    threads: int = Field(default=1, ge=1, le=1024)
    """CPU threads."""
    device: str = "cpu"
    """Device of the training, as torch names it."""
    micro_batch: int = Field(default=0, ge=0, le=10**6)
    """Pairs that go through the towers at once, for less memory and the same gradient; 0: the whole batch."""
    checkpoint_minutes: float = Field(default=10, gt=0, le=10**6)
    """Minutes of training that a kill may cost: how often all is saved."""


class Judging(Keys):
    """From where on a judged pair counts as a match: for metrics and audit, after the training."""

    expert_match: float = Field(default=0.6, ge=0, le=1)
    """A pair judged by experts matches from here on; 0.6 is a median of 3 on a scale of 1 to 4."""
    crowd_match: float = Field(default=0.5, ge=0, le=1)
    """The same for the crowd's share of yes; 0.51 asks for a majority."""

    @property
    def matches(self) -> dict[str, float]:
        """By the source of a judgement."""
        return {"expert": self.expert_match, "crowd": self.crowd_match}


COMMON = (*Naming.model_fields, *Recipe.model_fields, *Execution.model_fields, *Judging.model_fields)
"""Keys that belong to no single cell."""


class RunConfig(Judging, Execution, Recipe, Naming):
    """A cell, method x dataset x seed under one recipe, with where it runs and how it is judged."""

    method: str
    """Name of the method."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The method's own settings, where they differ from its defaults."""
    rate_factor: float = Field(default=1.0, gt=0, le=1000)
    """The method's own factor on the learning rate, after the warm-up: the gradient of each loss has its own scale."""
    tuned: bool = False
    """Whether a study found settings and factor, which names the row; no part of the cell's identity."""
    dataset: str
    """Name of a registered dataset."""
    encoder: str
    """Encoder of the feature store."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Root seed; every random stream derives from it and a role."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_head(cls, told: Any) -> Any:
        """Records from before there were towers name one head for both sides."""
        if not isinstance(told, dict) or "head" not in told:
            return told
        rest = {name: value for name, value in told.items() if name != "head"}
        return {"image_tower": told["head"], "text_tower": told["head"], **rest}

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
        """The method with what is its own: ``fne[prior=1000,tau_fn=2.0]``, or ``fne[tuned-3fa2]`` from a study."""
        own = self.own
        if self.tuned and own:
            return f"{self.method}[tuned-{digest(own)[:4]}]"
        changed = ",".join(f"{key}={value}" for key, value in sorted(own.items()))
        return f"{self.method}[{changed}]" if changed else self.method

    @property
    def own(self) -> dict[str, Any]:
        """What the method has of its own: changed settings, and its factor on the learning rate where that is not 1."""
        return self.settings | ({} if self.rate_factor == 1 else {"rate_factor": self.rate_factor})

    def with_found(self, found: Mapping[str, Any]) -> "RunConfig":
        """With what a trial found: settings of the method, keys of the recipe, ``image.KEY`` and ``text.KEY``."""
        changed: dict[str, Any] = {key: dict(getattr(self, key)) for key in NESTED.values()}
        for name, value in found.items():
            side, dot, key = name.partition(".")
            if dot:
                changed[NESTED[side]][key] = value
            elif name in type(self).model_fields:
                changed[name] = value
            else:
                changed["settings"][name] = value
        return self.model_copy(update=changed)

    def label(self, encoder: str) -> str:
        """Name of the cell's folder: the method and all that differs from the default recipe and ``encoder``."""
        begun = presets.load(self.preset)
        default, encoder = (
            Recipe(**{key: begun[key] for key in begun if key != "encoder"}),
            begun.get("encoder", encoder),
        )
        parts = [] if self.preset == PLAIN else [f"recipe={self.preset}"]
        parts += [
            f"{name}={value}"
            for name in Recipe.model_fields
            if (value := getattr(self, name)) != getattr(default, name)
        ]
        if self.encoder != encoder:
            parts.append(f"encoder={self.encoder}")
        label = "+".join([self.method_id.replace("-", "_"), *parts])
        if len(label) > LONGEST_LABEL or "/" in label or "{" in label:
            label = f"{self.method.replace('-', '_')}+{self._digest({'seed'})}"
        return label

    @property
    def hash(self) -> str:
        """Digest of the cell: the same wherever it runs, however it is judged."""
        return self._digest(set())

    @property
    def recipe_hash(self) -> str:
        """Digest of what must agree before two methods are compared: all but method, memory and seed."""
        return self._digest(OF_A_ROW)

    def _digest(self, apart: set[str]) -> str:
        """Of all that decides numbers but some keys, and but those at the values they were introduced with."""
        fields = type(self).model_fields
        told = self.model_dump(exclude=apart | OUTSIDE)
        introduced = {name: field.get_default(call_default_factory=True) for name, field in fields.items()} | INTRODUCED
        told = {name: value for name, value in told.items() if value != introduced[name]}
        if told.get("image_tower") == told.get("text_tower") in HEADS:
            told["head"] = told.pop("image_tower")
            del told["text_tower"]
        return digest(told)


OUTSIDE = {*Execution.model_fields, *Judging.model_fields, *Naming.model_fields, "tuned"}
"""Keys that are no part of a cell's identity."""


def digest(content: dict[str, Any]) -> str:
    """Eight hex digits of a canonical JSON text."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def hashes_of_schema_1(config: RunConfig) -> dict[str, str]:
    """``config_hash`` and ``recipe_hash`` as records of schema 1 have them, which took in every key of their time."""
    told = config.model_dump(include=set(KEYS_OF_SCHEMA_1)) | {"head": config.image_tower}
    if told["guide"] == "image":  # the one key that came later
        del told["guide"]
    return {
        "config_hash": digest(told),
        "recipe_hash": digest({name: value for name, value in told.items() if name not in OF_A_ROW}),
    }
