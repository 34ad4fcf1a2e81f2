"""Commands to suggest where records are missing. They name methods and datasets that exist here, and no others."""

from negbench.methods.registry import names
from negbench.pipelines import sources

QUICK = "scenes"
"""The dataset to begin with, where it is registered."""


def is_method(method_id: str) -> bool:
    """Whether a method id, such as ``fne[tau_fn=2.0]``, is of a method that can be run."""
    return method_id.partition("[")[0] in names()


def how_to_record(method_id: str = "hardest", dataset: str | None = None) -> str:
    """What to do to get records of a method on a dataset, or on any where None."""
    there = sources.names()
    if dataset and dataset not in there:
        return f"dataset '{dataset}' is not added here (bench data list)"
    name, _, settings = method_id.removesuffix("]").partition("[")
    where = f"--dataset {dataset or (QUICK if QUICK in there else next(iter(there), 'NAME'))}"
    if settings.startswith("tuned-") and is_method(method_id):
        return f"make some with: bench tune --all --methods {name} {where}"
    words = ["bench run --method", name if is_method(method_id) else "hardest"]
    words += [f"--set {setting}" for setting in settings.split(",") if setting and is_method(method_id)]
    words.append(where)
    return f"make some with: {' '.join(words)}" + ("" if there else " (bench data list)")
