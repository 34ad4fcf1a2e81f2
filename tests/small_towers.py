"""Linear towers of any widths, and a split as they read it."""

from negbench.benchmark.models.base import Source
from negbench.benchmark.models.two_towers import TwoTowers, make
from negbench.benchmark.recipe.schema import Recipe, RunConfig
from negbench.benchmark.training.inputs import SplitTensors, opened, towers_for
from negbench.pipelines.store import FeatureStore


def linear(image: int, text: int, recipe: Recipe) -> TwoTowers:
    """Of vectors as wide as this."""
    sides = (
        Source("image", (image,), recipe.dim, dropout=recipe.dropout),
        Source("text", (text,), recipe.dim, dropout=recipe.dropout),
    )
    return make(sides[0], sides[1], recipe, seed=0)


def read(store: FeatureStore, split: str, config: RunConfig) -> SplitTensors:
    """A split as the towers of a cell read it."""
    return opened(store, split, config, towers_for(store, config))
