"""What is known of a model that was trained elsewhere: it stands in its record in place of a configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from negbench.benchmark.recipe.schema import Judging, digest
from negbench.methods.registry import check_name
from negbench.pipelines.errors import RequestError
from negbench.pipelines.names import check_dataset

AUDIT_METHOD = "hardest"
"""Whose push is audited on embeddings of others: what most published models were trained with."""
AUDIT_BATCH = 128
"""Pairs in a batch of that audit."""
LONGEST_NOTE = 300
"""Characters."""


class Member(BaseModel):
    """A record whose similarities are a part of an ensemble's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method_id: str
    seed: int
    config_hash: str

    def __str__(self) -> str:
        return f"{self.method_id}, seed {self.seed}"


class External(Judging):
    """A model of which a test's embeddings or similarities were given."""

    method: str
    """What it is called; need be no method of the suite."""
    dataset: str
    """Name of a registered dataset."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Tells its trainings apart."""
    given: Literal["embeddings", "similarity", "ensemble"]
    """What was given: embeddings of both sides, similarities of all pairs, or records whose mean similarity it is."""
    digests: dict[str, str] = Field(default_factory=dict)
    """Of the arrays that were given, in the manifest's order."""
    repeated: bool = False
    """Whether images were given as a row for each caption's image."""
    members: tuple[Member, ...] = ()
    """Of an ensemble."""
    unit: bool = False
    """Whether embeddings have unit length, so that their products are cosines; others have no audit."""
    note: str = Field(default="", max_length=LONGEST_NOTE)
    """What whoever recorded it has to say."""

    @field_validator("method")
    @classmethod
    def _names_a_method(cls, name: str) -> str:
        """Names become folders: whatever a record says, they lead nowhere else."""
        check_name(name)
        return name

    @field_validator("dataset")
    @classmethod
    def _names_a_dataset(cls, name: str) -> str:
        try:
            return check_dataset(name)
        except RequestError as error:
            raise ValueError(str(error)) from None

    @property
    def method_id(self) -> str:
        """As of a configuration; there are no settings."""
        return self.method

    @property
    def hash(self) -> str:
        """Digest of all but how pairs are judged."""
        return digest(self.model_dump(mode="json", exclude=set(Judging.model_fields)))

    @property
    def recipe_hash(self) -> str:
        """There is no recipe."""
        return ""
