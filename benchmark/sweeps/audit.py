"""A record is audited again: its model, its method and the test split are there, nothing is trained."""

from pathlib import Path

from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.audit.figures import audit_test
from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.measures import beyond_labels
from negbench.benchmark.results import records
from negbench.benchmark.results.plausibility import EXTENDED
from negbench.benchmark.results.records import AGAIN, RunRecord
from negbench.benchmark.sweeps.recorded_cell import RecordedCell
from negbench.benchmark.sweeps.recording import replace_audit
from negbench.benchmark.training.loop import failing


def audit_again(folder: Path, judging: dict[str, float]) -> RunRecord:
    """Replace the audit of a record, and its metrics beyond the labels, in one step.

    Args:
        folder: of the record.
        judging: keys of ``Judging`` and their values, where they are not to be those of the record.

    Raises:
        NoDataError, DataError: a record, data or features that are missing or not those of the run.
    """
    cell = RecordedCell(folder, judging)
    method = cell.method()
    if method is None:
        raise NoDataError(f"{folder}: an older record, which keeps no state of its method; {AGAIN}")
    with failing("the audit"):
        examination = Examination.of(cell.config, cell.gallery, cell.extras_of([method]), "test")
        audited = audit_test(method, examination, cell.known_pairs, start=None)
    record, matches = cell.record, cell.config.matches
    beyond = beyond_labels(cell.gallery, cell.split, cell.manifest, cell.truth, matches)
    labels = {name: value for name, value in record.metrics.items() if not EXTENDED.fullmatch(name)}
    figures = dict(audited.figures)
    if matches == record.about.matches:  # of a model that is not kept
        figures |= {name: value for name, value in record.audit.items() if name.endswith("_start")}
    again = record.model_copy(
        update={
            "config": record.about.model_copy(update=judging),
            "metrics": labels | beyond,
            "audit": figures,
            "error": None,
        }
    )
    replace_audit(folder, again, audited.arrays)
    return records.read(folder)
