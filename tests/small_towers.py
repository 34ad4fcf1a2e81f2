"""Linear towers of any widths, and a split as they read it."""

from negbench.benchmark.models.base import Source
from negbench.benchmark.models.two_towers import Plan, TwoTowers, make
from negbench.benchmark.recipe.schema import Recipe, RunConfig
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training.inputs import SplitTensors, opened, towers_for
from negbench.pipelines.store import FeatureStore


def linear(image: int, text: int, recipe: Recipe) -> TwoTowers:
    """Of vectors as wide as this."""
    sides = (
        Source("image", (image,), recipe.dim, dropout=recipe.dropout),
        Source("text", (text,), recipe.dim, dropout=recipe.dropout),
    )
    return make(Plan("linear", sides[0]), Plan("linear", sides[1]), seed_for(0, "weights"))


def read(store: FeatureStore, split: str, config: RunConfig) -> SplitTensors:
    """A split as the towers of a cell read it."""
    return opened(store, split, config, towers_for(store, config))
