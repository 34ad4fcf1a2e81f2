"""What a table is called in the name of a file, or as a key."""

from collections import Counter
from collections.abc import Sequence

from negbench.benchmark.results.rows import EXTERNAL, Group


def table_names(groups: Sequence[Group]) -> list[str]:
    """The dataset of each table, with the protocol where it is not the first one's; where several would be called the
    same, with more and more of what they differ in: recipe, features, manifest, thresholds."""
    names = [
        group.dataset + f"-{EXTERNAL}" * group.external + f"-{group.protocol.name}" * (not group.first)
        for group in groups
    ]
    for place in range(4):
        times = Counter(names)
        names = [
            f"{name}-{_parts(group)[place]}" if times[name] > 1 else name
            for name, group in zip(names, groups, strict=True)
        ]
    return names


def _parts(group: Group) -> tuple[str, str, str, str]:
    thresholds = f"{group.recipe['expert_match']:g}-{group.recipe['crowd_match']:g}"
    return group.recipe_hash, group.features_hash[:8], group.manifest_hash[:8], thresholds
