"""Steps of every method, in as many processes as were started: a program for test_processes.

The first process writes to FOLDER/METHOD-MEMORY: losses, gradients of the first step, weights and state after the last,
the picks of each step.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from negbench import methods
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training import processes
from negbench.benchmark.training.extras import Texts
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.benchmark.training.loop import prepare
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer, batches
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder, store_folder
from negbench.pipelines.store import FeatureStore

STEPS = 4


def texts(manifest: Manifest) -> Texts:
    """Captions, and features of new ones that are as good as any."""

    def encode(sentences: list[str]) -> Any:
        generator = torch.Generator()
        rows = [torch.randn(12, generator=generator.manual_seed(sum(map(ord, text)))) for text in sentences]
        return torch.stack(rows).numpy()

    return Texts(manifest.captions["text"].tolist(), encode)


def run(method: str, memory: int, store: FeatureStore, manifest: Manifest, micro_batch: int = 0) -> dict[str, Tensor]:
    """What a few steps leave."""
    recipe: dict[str, Any] = {"batch": 12, "dim": 8, "epochs": 2, "dropout": 0.0, "warmup_epochs": 0, "memory": memory}
    recipe |= {"micro_batch": micro_batch}
    config = RunConfig(method=method, dataset="tiny", encoder="made+up", **recipe)
    prepare(config)
    towers = towers_for(store, config)
    task = Task(config, towers, opened(store, "train", config, towers), texts=texts(manifest))
    trainer, found = Trainer(config, task), dict[str, Tensor]()
    task.method.start_epoch()
    for step, batch in enumerate(task.data.batches(list(batches(config, 0, len(task.data.captions)))[:STEPS])):
        trainer.set_rate(step)
        found[f"loss.{step}"] = trainer.step(batch)
        for direction, index in task.method.chosen.items():
            found[f"picks.{step}.{direction}"] = index
        if step == 0:
            found |= {f"grad.{key}": w.grad for key, w in task.named_parameters() if w.grad is not None}
    return found | {f"state.{key}": value for key, value in task.state_dict().items()}


def main(folder: Path) -> None:
    manifest = Manifest.read(manifest_folder("tiny"))
    store = FeatureStore(store_folder("tiny", "made+up"), manifest.hash)
    processes.join("cpu", 12)
    torch.set_num_threads(1)
    for name in methods.names():
        for memory in (0, 18):
            found = run(name, memory, store, manifest)
            if processes.rank() == 0:
                save_file(
                    {key: value.contiguous().clone() for key, value in found.items()}, folder / f"{name}-{memory}"
                )
    processes.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
