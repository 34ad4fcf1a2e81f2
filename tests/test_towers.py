"""Every registered tower, on every side it has, by itself: none is named here."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from commands import bench
from negbench.benchmark.errors import BenchError
from negbench.benchmark.models import registry
from negbench.benchmark.models.base import Modality, Source, Tower
from negbench.benchmark.models.parts.pixels import PixelSettings, augmented
from negbench.benchmark.models.parts.pooling import GPO, real_steps
from negbench.benchmark.models.parts.vocabulary import Vocabulary
from negbench.benchmark.models.two_towers import tower
from tiny_networks import make_clip, make_timm

DIM = 16
CAPTIONS = [
    *("a dog runs", "two men with a red ball and a blue cat", "the cat sits on the grass", "snow", "a red dog"),
    *("two cats", "a dog"),
]
"""Of the words that the tiny models know."""
TINY = {
    ("hf", "image"): "vit",
    ("hf", "text"): "bert",
    ("timm", "image"): "timm",
    ("open-clip", "image"): "open-clip",
    ("open-clip", "text"): "open-clip",
}
"""Models of families, in the folder of tiny ones."""
SHAPES: dict[str, tuple[int, ...]] = {"vectors": (12,), "sequences": (5, 12), "pixels": (3, 32, 32), "text": ()}


def sides() -> list[tuple[str, Modality]]:
    return [(name, side) for name in registry.names() for side in registry.class_of(name).reads]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", reason="extra [hf] is not installed")
    from tiny_models import make_zoo

    root = tmp_path_factory.mktemp("zoo")
    make_zoo(root)
    for name, package, make in (("timm", "timm", make_timm), ("open-clip", "open_clip", make_clip)):
        if find_spec(package):
            (root / name).mkdir()
            make(root / name)
    return root


@cache
def built(name: str, side: Modality, zoo: Path, dropout: float = 0.0) -> Tower:
    kind = registry.class_of(name)
    model = f":{zoo / TINY[name, side]}" if (name, side) in TINY else ""
    shape = SHAPES[kind.reads[side]]
    if name.startswith("efficientnet"):
        shape = (3, 64, 64)
    torch.manual_seed(0)
    source = Source(side, shape, DIM, hidden=8, dropout=dropout, captions=CAPTIONS)
    try:
        return tower(name + model, source, {"minimum": 1} if name == "bigru" else {})
    except BenchError as error:
        if "pip install" in str(error):
            pytest.skip(str(error))
        raise


def items(one: Tower, side: Modality, count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    reads = one.reads[side]
    if reads == "text":
        return one.tokens(CAPTIONS[:count])
    if reads == "pixels":
        size = 64 if "Efficient" in type(one).__name__ else 32
        return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    found = torch.randn(count, *SHAPES[reads], generator=generator)
    if reads == "sequences":
        found[0, 3:] = 0  # padding
    return found


def outputs(one: Tower, inputs: Tensor) -> Tensor:
    one.eval()
    with torch.no_grad():
        return one(inputs)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("name", "side"), sides())
def test_unit_vectors_of_the_joint_space(name: str, side: Modality, zoo: Path) -> None:
    one = built(name, side, zoo)
    found = outputs(one, items(one, side))
    assert found.shape == (6, DIM)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(6))
    assert float(torch.pdist(found).min()) > 1e-5  # items are told apart


@pytest.mark.parametrize(("name", "side"), sides())
def test_an_item_does_not_depend_on_its_company(name: str, side: Modality, zoo: Path) -> None:
    one = built(name, side, zoo)
    inputs = items(one, side)
    together, turned = outputs(one, inputs), outputs(one, inputs.flip(0)).flip(0)
    torch.testing.assert_close(together, turned, atol=1e-5, rtol=0)
    alone = torch.cat([outputs(one, part) for part in torch.split(inputs, 1)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "side"), sides())
def test_the_gradient_reaches_every_weight_that_learns(name: str, side: Modality, zoo: Path) -> None:
    one = built(name, side, zoo)
    one.train()
    one.zero_grad()
    target = torch.nn.functional.normalize(torch.randn(6, DIM, generator=torch.Generator().manual_seed(2)), dim=1)
    (one(one.augmented(items(one, side))) * target).sum().backward()
    groups = one.groups()
    learnt = [weight for group in groups for weight in group.weights]
    assert len({id(weight) for weight in learnt}) == len(learnt)
    assert {id(weight) for weight in learnt} == {id(weight) for weight in one.parameters() if weight.requires_grad}
    untouched = [
        key
        for key, weight in one.named_parameters()
        if weight.requires_grad and (weight.grad is None or not weight.grad.any())
    ]
    # the bias of attention's keys changes nothing, and nobody asks a pooler
    assert [key for key in untouched if "key.bias" not in key and "pooler" not in key] == []


@pytest.mark.parametrize(("name", "side"), sides())
def test_the_same_seed_gives_the_same_tower(name: str, side: Modality, zoo: Path) -> None:
    one = built(name, side, zoo)
    built.cache_clear()
    other = built(name, side, zoo)
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    trained = [key for key in states[0] if "num_batches" not in key and "running" not in key]
    assert all(torch.equal(states[0][key], states[1][key]) for key in trained)


@pytest.mark.parametrize(("name", "side"), sides())
def test_saved_and_loaded_it_is_the_same(name: str, side: Modality, zoo: Path) -> None:
    one = built(name, side, zoo)
    file = save({key: value.contiguous().clone() for key, value in one.state_dict().items()})
    inputs = items(one, side)
    before = outputs(one, inputs)
    with torch.no_grad():
        for weight in one.parameters():
            weight.add_(1)
    assert not torch.equal(outputs(one, inputs), before)
    one.load_state_dict(load(file))
    assert torch.equal(outputs(one, inputs), before)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("name", "side"), sides())
def test_half_precision_is_near(name: str, side: Modality, kind: torch.dtype, zoo: Path) -> None:
    one = built(name, side, zoo)
    inputs = items(one, side)
    exact = outputs(one, inputs)
    with torch.autocast("cpu", kind):
        near = outputs(one, inputs)
    assert near.isfinite().all()
    assert float((near.float() * exact).sum(dim=1).min()) > 0.98


@pytest.mark.parametrize(("name", "side"), sides())
def test_dropout_and_augmentation_belong_to_training(name: str, side: Modality, zoo: Path) -> None:
    one = built(name, side, zoo, dropout=0.5)
    inputs = items(one, side)
    assert torch.equal(outputs(one, inputs), outputs(one, inputs))
    one.train()
    state = torch.get_rng_state()
    first = one(inputs)
    torch.set_rng_state(state)
    assert torch.equal(one(inputs), first)  # all that is random comes from torch's own stream


# --- What towers share --------------------------------------------------------------------------------------------


def test_gpo_of_equal_weights_is_the_mean_and_of_the_first_the_largest() -> None:
    pool = GPO()
    steps = torch.randn(3, 5, 4)
    steps[1, 3:] = 0
    real = real_steps(steps)

    def weights(first: float) -> Callable[[Tensor], Tensor]:
        def of(real: Tensor) -> Tensor:
            count = real.sum(1, keepdim=True)
            places = torch.arange(real.shape[1]) < count
            return (places / count) * (1 - first) + first * (torch.arange(real.shape[1]) == 0)

        return of

    pool.weights = weights(0.0)  # type: ignore[method-assign,assignment]
    expected = torch.stack([steps[row][real[row]].mean(0) for row in range(3)])
    torch.testing.assert_close(pool(steps, real), expected)
    pool.weights = weights(1.0)  # type: ignore[method-assign,assignment]
    expected = torch.stack([steps[row][real[row]].amax(0) for row in range(3)])
    torch.testing.assert_close(pool(steps, real), expected)


def test_gpo_s_weights_depend_on_the_length_alone_and_sum_to_one() -> None:
    pool = GPO()
    real = torch.tensor([[True] * 3 + [False] * 2, [True] * 5, [False, True, True, True, False]])
    found = pool.weights(real)
    torch.testing.assert_close(found.sum(1), torch.ones(3))
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[0, :3], pool.weights(torch.ones(1, 3, dtype=torch.bool))[0])
    assert not found[0, 3:].any()


def test_a_gru_that_is_turned_is_torch_s_packed_one() -> None:
    """Both directions of a padded batch, against ``pack_padded_sequence``."""
    from negbench.benchmark.models.parts.pooling import turned

    torch.manual_seed(0)
    both = nn.GRU(6, 4, batch_first=True, bidirectional=True)
    forth, back = nn.GRU(6, 4, batch_first=True), nn.GRU(6, 4, batch_first=True)
    for key, value in both.state_dict().items():
        (back if key.endswith("_reverse") else forth).state_dict()[key.removesuffix("_reverse")].copy_(value)
    steps, lengths = torch.randn(3, 7, 6), torch.tensor([7, 2, 5])
    packed = nn.utils.rnn.pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
    expected = nn.utils.rnn.pad_packed_sequence(both(packed)[0], batch_first=True)[0]
    count = lengths[:, None]
    real = (torch.arange(7) < count)[..., None]
    found = torch.cat([forth(steps)[0], turned(back(turned(steps, count))[0], count)], dim=2)
    torch.testing.assert_close(found * real, expected)


def test_a_vocabulary_is_of_the_training_captions_alone() -> None:
    words = Vocabulary(["A dog, a CAT.", "a dog's bone", "dog"], minimum=2)
    assert words.numbers == {"a": 1, "dog": 2}  # frequent ones first; ``dog's`` is a word of its own
    assert words.tokens(["A dog", "unseen", "..."], longest=9).tolist() == [[1, 2], [0, -1], [0, -1]]
    assert words.tokens(["a a a"], longest=2).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    "changes",
    [{"crop": 0.3}, {"flip": True}, {"randaugment": 2, "magnitude": 9}, {"crop": 0.5, "flip": True, "randaugment": 3}],
)
def test_augmentation_changes_each_picture_by_itself_and_keeps_its_form(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    one = torch.randint(0, 256, (3, 24, 24), dtype=torch.uint8)
    pixels = one.repeat(16, 1, 1, 1)
    found = augmented(pixels, PixelSettings(**changes))
    assert (found.shape, found.dtype) == (pixels.shape, torch.uint8)
    assert len({picture.numpy().tobytes() for picture in found}) > 1
    assert augmented(pixels, PixelSettings()) is pixels


def test_a_flip_is_a_mirror() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (1, 3, 9, 9), dtype=torch.uint8).repeat(20, 1, 1, 1)
    found = augmented(pixels, PixelSettings(flip=True))
    kinds = [torch.equal(one, pixels[0]) + 2 * torch.equal(one, pixels[0].flip(2)) for one in found]
    assert set(kinds) == {1, 2}


# --- The registry ---------------------------------------------------------------------------------------------------


def test_the_listing_names_every_tower_with_what_it_reads() -> None:
    import json

    found = json.loads(bench("models", "--json").stdout)
    assert len(found) >= 12
    assert [each["name"].removesuffix(":NAME") for each in found] == registry.names()
    assert all(each["summary"] and each["reads"] and "broken" not in each for each in found)


@pytest.mark.parametrize("name", registry.names())
def test_each_tower_shows_its_settings(name: str) -> None:
    done = bench("models", name)
    assert done.exit_code == 0
    assert "reads: " in done.stdout


@pytest.mark.parametrize(
    ("name", "side", "said"),
    [
        ("linaer", "image", "did you mean 'linear'"),
        ("hf", "image", "name a model, as in hf:google"),
        ("linear:x", "image", "takes no model"),
        ("bigru", "image", "a tower of texts alone"),
        ("convolution", "text", "a tower of images alone"),
        ("hf:./absent", "text", "no folder"),
    ],
)
def test_a_wrong_name_is_told_in_one_line(name: str, side: Modality, said: str) -> None:
    with pytest.raises(Exception, match=said) as error:
        tower(name, Source(side, (3, 32, 32), DIM, captions=CAPTIONS), {})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "side", "settings", "said"),
    [
        ("gpo", "image", {"drop": 2}, "image: drop: 2.0 must be at least 0 and at most 0.9"),
        ("gpo", "text", {"dorp": 0.1}, "text: unknown setting 'dorp'; did you mean 'drop'"),
        ("bigru", "text", {"minimum": 99}, "no word stands 99 times"),
        ("bigru", "text", {"vectors": "absent.txt"}, "absent.txt"),
        ("self-attention", "image", {"heads": 3}, "3 do not divide hidden: 8"),
        ("convolution", "image", {"size": 64}, "image.size: 64 is more than the 32 of the store"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(name: str, side: Modality, settings: dict[str, Any], said: str) -> None:
    shape = SHAPES[registry.class_of(name).reads[side]]
    with pytest.raises(BenchError, match=said) as error:
        tower(name, Source(side, shape, DIM, hidden=8, captions=CAPTIONS), settings)
    assert "\n" not in str(error.value)


def test_given_word_vectors_are_where_their_words_are(tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text("dog 1 2 3\nunseen 4 5 6\nsnow 7 8 9\n")
    source = Source("text", (), DIM, captions=CAPTIONS)
    one: Any = tower("bigru", source, {"minimum": 1, "word": 3, "vectors": str(file)})
    assert one.words.weight[one.vocabulary.numbers["dog"]].tolist() == [1, 2, 3]
    assert one.words.weight[one.vocabulary.numbers["snow"]].tolist() == [7, 8, 9]
    with pytest.raises(BenchError, match=r"line 1: 3 numbers, text\.word is 300"):
        tower("bigru", source, {"minimum": 1, "vectors": str(file)})


def test_frozen_layers_do_not_learn(zoo: Path) -> None:
    def learning(frozen: int) -> list[str]:
        one = tower(f"hf:{zoo / 'bert'}", Source("text", (), DIM), {"frozen": frozen, "rate": 0.1})
        assert [group.rate for group in one.groups()] == ([1.0] if frozen < 0 else [0.1, 1.0])
        return [key for key, weight in one.named_parameters() if weight.requires_grad]

    assert any("embeddings" in key for key in learning(0))
    assert not any("embeddings" in key or "layer.0" in key for key in learning(1))
    assert any("layer.1" in key for key in learning(1))
    assert all("project" in key for key in learning(-1))
    with pytest.raises(BenchError, match=r"text\.frozen: 3 layers, and the network has 2"):
        learning(3)


@pytest.mark.parametrize(("name", "side"), [("vit", "image"), ("bert", "text")])
def test_layers_are_computed_again_with_the_same_gradient(zoo: Path, name: str, side: Modality) -> None:
    source = Source(side, SHAPES[registry.class_of("hf").reads[side]], DIM)
    kept, gradients = [], []
    for again in (False, True):
        torch.manual_seed(0)
        one = tower(f"hf:{zoo / name}", source, {"checkpointing": again}).train()
        inputs, held = items(one, side), [0]

        def hold(tensor: Tensor, held: list[int] = held) -> Tensor:
            held[0] += tensor.nbytes
            return tensor

        torch.manual_seed(1)  # the same dropout
        with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
            found = one(inputs)
        torch.autograd.backward(found[:, 0].sum())
        kept.append(held[0])
        gradients.append([weight.grad for weight in one.parameters()])
    assert kept[1] < kept[0] / 2
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def test_low_rank_changes_learn_in_place_of_the_weights(zoo: Path) -> None:
    pytest.importorskip("peft", reason="extra [lora] is not installed")
    source = Source("text", (), DIM)
    plain: Any = tower(f"hf:{zoo / 'bert'}", source, {})
    one: Any = tower(f"hf:{zoo / 'bert'}", source, {"lora": 2, "rate": 0.5})
    assert [group.rate for group in one.groups()] == [0.5, 1.0]
    learning = [key for key, weight in one.named_parameters() if weight.requires_grad]
    assert all("lora_" in key or "project" in key for key in learning)
    assert sum("lora_B" in key for key in learning) >= 12  # six linear layers in each of two layers
    tokens = one.tokens(CAPTIONS)
    one.side.body.project.load_state_dict(plain.side.body.project.state_dict())
    torch.testing.assert_close(one.eval()(tokens), plain.eval()(tokens))  # they begin with no change
    torch.autograd.backward(one.train()(tokens)[:, 0].sum())
    moved = [weight.grad for key, weight in one.named_parameters() if "lora_B" in key and "pooler" not in key]
    assert all(grad is not None and grad.abs().max() > 0 for grad in moved)


def test_batch_normalisation_stays_as_it_was() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="extra [offline] is not installed")
    one: Any = tower("efficientnet-lite0", Source("image", (3, 64, 64), DIM), {})
    before = {key: value.clone() for key, value in one.state_dict().items() if "running" in key}
    one.train()
    one(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))
    assert all(torch.equal(one.state_dict()[key], value) for key, value in before.items())
    other: Any = tower("efficientnet-lite0", Source("image", (3, 64, 64), DIM), {"norms": False})
    other.train()
    other(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))
    assert any(not torch.equal(other.state_dict()[key], value) for key, value in before.items())


@pytest.mark.parametrize(
    ("model", "side", "pooling"),
    [
        ("dinov2", "image", "cls"),
        ("clip", "image", "projected"),
        ("siglip", "image", "projected"),
        ("vit", "image", "gpo"),
        ("clip", "text", "projected"),
        ("siglip", "text", "projected"),
        ("mpnet", "text", "cls"),
        ("bert", "text", "gpo"),
    ],
)
def test_models_of_transformers_are_pooled_as_their_encoder_pools_them(
    model: str, side: Modality, pooling: str, zoo: Path
) -> None:
    """Without a map behind it, and but for ``gpo``, a tower gives what the frozen encoder of the same model gives."""
    from negbench.pipelines import encoders

    dim = 12 if (model, pooling) == ("clip", "projected") else 16
    source = Source(side, (3, 32, 32) if side == "image" else (), dim)
    one = tower(f"hf:{zoo / model}", source, {"pooling": pooling, "project": False})
    inputs = items(one.side, side)  # type: ignore[arg-type]
    found = outputs(one, inputs)
    assert found.shape == (6, dim)
    if pooling == "gpo":
        return
    encoder = encoders.make(f"hf:{zoo / model}:{pooling}", side)
    raw: list[Any] = CAPTIONS[:6]
    if side == "image":
        constants = one.side.mean, one.side.deviation  # type: ignore[union-attr]
        mean, deviation = (torch.tensor(values)[:, None, None] for values in constants)
        raw = list(((inputs.float() / 255 - mean) / deviation).numpy())
        expected = encoder.forward(raw)
    else:
        if model == "siglip":  # its own tokenizer gives no mask
            encoder._tokenizer.model_input_names = ["input_ids"]  # type: ignore[attr-defined]
        expected = encoder.encode(raw)
    torch.testing.assert_close(found, nn.functional.normalize(torch.from_numpy(expected), dim=1), atol=1e-5, rtol=0)
