"""The values of a record that tables show."""

import math
import statistics
from collections.abc import Mapping

from negbench.benchmark.results.plausibility import RECALLS
from negbench.benchmark.results.records import RunRecord

RANKS = ("i2t_medr", "i2t_meanr", "t2i_medr", "t2i_meanr")
COST = ("step_ms", "step_ratio")
TRUE = "true_rsum"
EXTENDED = "extended_rsum"
ECCV = "eccv_map_at_r"
"""Mean of both directions."""
PICKED = "false_negative_percent"
PUSHED = "pushed_percent"
PUSHES = (PUSHED, f"{PUSHED}_low", f"{PUSHED}_high", f"{PUSHED}_base", "pushed_judged")
REACH = ("effective", "hardness")
"""Of what is pushed: how many candidates of an anchor, and how much more similar than the partner they are."""
VALUES = (*RECALLS, *RANKS, "rsum", TRUE, EXTENDED, ECCV, PICKED, *PUSHES, *REACH, *COST)
HIGHEST_IS_BEST = {*RECALLS, "rsum", TRUE, EXTENDED, ECCV}


def values_of(record: RunRecord) -> dict[str, float]:
    """The finite ones of ``VALUES`` that the record has."""
    values = {key: record.metrics[key] for key in VALUES if key in record.metrics} | _pushed(record.audit)
    eccv = [record.metrics[key] for key in ("eccv_i2t_map_at_r", "eccv_t2i_map_at_r") if key in record.metrics]
    if eccv:
        values[ECCV] = statistics.fmean(eccv)
    for name in REACH:
        ways = [record.audit[f"{name}_{way}"] for way in ("i2t", "t2i") if f"{name}_{way}" in record.audit]
        values |= {name: statistics.fmean(ways)} if ways else {}
    if "both" in record.false_negative_rate:
        values[PICKED] = 100 * record.false_negative_rate["both"]
    if record.cost is not None and not record.cost.busy:
        values["step_ms"] = record.cost.step_ms
        if record.cost.product_ms > 0:
            values["step_ratio"] = record.cost.ratio
    return {key: value for key, value in values.items() if math.isfinite(value)}


def _pushed(audit: Mapping[str, float]) -> dict[str, float]:
    """Both directions of the audit together, weighted by their judged push, in percent.

    Nothing of an older audit, whose push of a sampler was its picks: two meanings never share a column.
    The ends of the interval are averaged like the share, as if both directions erred alike: if anything too wide.
    """
    ends = ("", "_low", "_high", "_base")
    needed = (*ends, "_judged", "_anchors")
    names = [name for name in ("pushed_i2t", "pushed_t2i") if {name + end for end in needed} <= {*audit}]
    judged = sum(audit[f"{name}_judged"] for name in names)
    if not judged:
        return {}
    shares = {
        f"{PUSHED}{end}": 100 * sum(audit[name + end] * audit[f"{name}_judged"] for name in names) / judged
        for end in ends
    }
    return shares | {"pushed_judged": judged}
