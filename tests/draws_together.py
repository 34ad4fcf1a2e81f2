"""Picks from candidates that lie on several processes: a program for test_sharded.

Each process writes its picks ``[STEPS, REPEATS, ANCHORS]`` of each way to FOLDER/RANK. Beside the right ways there
are three wrong ones: a process drawn uniformly, clocks that are equal on all processes, and weights that each
process scaled by its own largest.
"""

import sys
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, distributed
from torch.nn.functional import normalize

from negbench.methods.base import Candidates, draw
from negbench.methods.fne import FNE
from negbench.methods.interface.sharded import Pick, race_key, winner
from negbench.methods.softmax_sampled import SoftmaxSampled

ANCHORS, DIM = 4, 8
EDGES = (0, 64, 364, 684, 1024)
"""Where the parts of the processes begin and end: one block, a block that is filled up, several blocks."""
REPEATS, STEPS = 2000, 10


def candidates() -> Candidates:
    """What an unsharded method would see of all candidates.

    They are in the order of their similarity to the first anchor, of whom all that FNE does not cut lie on one process.
    All candidates of the last anchor are cut.
    """
    generator = torch.Generator().manual_seed(1)
    anchors = normalize(torch.randn(ANCHORS, DIM, generator=generator), dim=1)
    others = normalize(torch.randn(EDGES[-1], DIM, generator=generator), dim=1)
    similarity = anchors @ others[(others @ anchors[0]).argsort()].T
    similarity[-1] *= 0.4
    positive = torch.rand(similarity.shape, generator=generator) < 0.01
    return Candidates.masked(similarity, torch.full((ANCHORS,), 0.75), positive)


def fne() -> FNE:
    """With statistics of partners near 0.75 and hardest negatives near 0.45; its weights are far from alike."""
    method, generator = FNE(tau_close=10.0, tau_false=2.0, prior=1000.0), torch.Generator().manual_seed(2)
    for moments, mean in ((method.positive, 0.75), (method.negative, 0.45)):
        moments.update(mean + 0.1 * torch.randn(2000, generator=generator), torch.ones(2000, dtype=torch.bool))
    return method


def softmax() -> SoftmaxSampled:
    return SoftmaxSampled(temperature=0.2)


def by_weight(weights: Tensor, first: int, own: torch.Generator) -> tuple[Tensor, Tensor]:
    """Log of the sum of this process's weights, and one of its candidates."""
    return weights.sum(dim=1).log(), draw(weights, own) + first


def step(part: Candidates, first: int, own: torch.Generator, shared: torch.Generator) -> dict[str, Tensor]:
    """Picks ``[B]`` of all ways, where this process has the candidates from ``first`` on."""
    similarity, hardest = part.similarity, part.hardest + first
    log_total, drawn = by_weight(fne().weigh(similarity, part.positive_similarity[:, None]).weights, first, own)
    found = {"hardest": winner(Pick(similarity.amax(dim=1), hardest)).index}
    best = winner(Pick(race_key(log_total, own), drawn))
    found["fne"] = torch.where(best.key > -torch.inf, best.index, found["hardest"])
    found["fne, any process"] = winner(Pick(race_key(torch.zeros_like(log_total), own), drawn)).index
    found["fne, equal clocks"] = winner(Pick(race_key(log_total, shared), drawn)).index

    top = similarity.amax(dim=1)
    temperature = softmax().settings.temperature
    log_total, drawn = by_weight(((similarity - top[:, None]) / temperature).exp(), first, own)
    found["softmax"] = winner(Pick(race_key(log_total + top / temperature, own), drawn)).index
    found["softmax, own scale"] = winner(Pick(race_key(log_total, own), drawn)).index
    return found


def main(folder: Path) -> None:
    distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    rank = distributed.get_rank()
    first, last = list(pairwise(EDGES))[rank]
    seen = candidates()
    part = Candidates(
        seen.similarity[:, first:last].repeat(REPEATS, 1),
        seen.positive_similarity.repeat(REPEATS),
        seen.positive[:, first:last].repeat(REPEATS, 1),
    )
    own, shared = torch.Generator().manual_seed(100 + rank), torch.Generator().manual_seed(100)
    steps = [step(part, first, own, shared) for _ in range(STEPS)]
    picks = {way: torch.stack([found[way] for found in steps]).view(STEPS, REPEATS, ANCHORS) for way in steps[0]}
    save_file(picks, folder / f"{rank}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
