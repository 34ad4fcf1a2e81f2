"""A small valid sample of every format, all of the same thirty pictures with two captions each."""

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from negbench.pipelines.reading.caption_rows import split_by_hash

SIZES = {"train": 10, "val": 10, "test": 10}
DEV = {"train": "train", "val": "dev", "test": "test"}


def _names() -> dict[str, str]:
    """Names whose hashes put them into the splits where they are put by lists, too."""
    found: dict[str, str] = {}
    number = 0
    while len(found) < sum(SIZES.values()):
        name, number = f"pic{number:03d}.jpg", number + 1
        split = split_by_hash(name)
        if list(found.values()).count(split) < SIZES[split]:
            found[name] = split
    return found


def _picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, size=(2, 3, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((24, 16), Image.Resampling.NEAREST).save(out, "JPEG")
    return out.getvalue()


SPLIT_OF = dict(sorted(_names().items(), key=lambda item: list(SIZES).index(item[1])))
"""Picture to split, train first."""
NAMES = list(SPLIT_OF)
PICTURES = {name: _picture(number) for number, name in enumerate(NAMES)}
CAPTIONS = {
    name: [f'a "{name[3:6]}" dog, café {k}' if k else f"caption of {name[3:6]} ." for k in range(2)] for name in NAMES
}
FEATURES = np.random.default_rng(0).normal(size=(len(NAMES), 6)).astype(np.float32)


def named(split: str) -> list[str]:
    return [name for name in NAMES if SPLIT_OF[name] == split]


def pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in PICTURES.items():
        (folder / name).write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def flickr8k(root: Path) -> None:
    pictures(root / "Flicker8k_Dataset")
    _tokens(root / "Flickr8k.token.txt")
    for split, part in DEV.items():
        (root / f"Flickr_8k.{part}Images.txt").write_text("".join(f"{name}\n" for name in named(split)))
    images, captions = named("test"), [f"{name}#0" for name in named("test")]
    (root / "ExpertAnnotations.txt").write_text(f"{images[0]}\t{captions[1]}\t3\t4\t2\n")
    (root / "CrowdFlowerAnnotations.txt").write_text(f"{images[1]}\t{captions[0]}\t0.5\t2\t2\n")


def _tokens(path: Path) -> None:
    path.write_text("".join(f"{name}#{k}\t{text}\n" for name in NAMES for k, text in enumerate(CAPTIONS[name])))


def tokens(root: Path) -> None:
    pictures(root / "flickr30k-images")
    _tokens(root / "results_20130124.token")
    for split in SIZES:  # as in Flickr30k Entities: names without the suffix
        (root / f"{split}.txt").write_text("".join(f"{name.removesuffix('.jpg')}\n" for name in named(split)))


def tokens_csv(root: Path) -> None:
    pictures(root / "Images")
    with (root / "captions.txt").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *((n, text) for n in NAMES for text in CAPTIONS[n])])


def tokens_bars(root: Path) -> None:
    pictures(root / "flickr30k_images")
    lines = [f"{name}| {k}| {text}\n" for name in NAMES for k, text in enumerate(CAPTIONS[name])]
    (root / "results.csv").write_text("".join(["image_name| comment_number| comment\n", *lines]))


def karpathy(root: Path) -> None:
    pictures(root / "images")
    images = [
        {
            "filename": name,
            "imgid": number,
            "split": SPLIT_OF[name],
            "sentids": [2 * number, 2 * number + 1],
            "sentences": [
                {"raw": text, "tokens": text.split(), "imgid": number, "sentid": 2 * number + k}
                for k, text in enumerate(CAPTIONS[name])
            ],
        }
        for number, name in enumerate(NAMES)
    ]
    write_json(root / "dataset_flickr30k.json", {"images": images, "dataset": "flickr30k"})


def albef(root: Path) -> None:
    pictures(root / "flickr30k-images")
    train = [
        {"image": f"flickr30k-images/{name}", "caption": text, "image_id": number}
        for number, name in enumerate(named("train"))
        for text in CAPTIONS[name]
    ]
    write_json(root / "flickr30k_train.json", train)
    for split in ("val", "test"):
        rows = [{"image": f"flickr30k-images/{name}", "caption": CAPTIONS[name]} for name in named(split)]
        write_json(root / f"flickr30k_{split}.json", rows)


def _coco(root: Path) -> None:
    for number, name in enumerate(NAMES):
        folder = root / ("val2014" if number % 2 else "train2014")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PICTURES[name])
    for part in range(2):
        numbers = range(part, len(NAMES), 2)
        whole = {
            "info": {},
            "images": [{"id": 100 + n, "file_name": NAMES[n], "license": 3} for n in numbers],
            "annotations": [
                {"image_id": 100 + n, "id": 1000 + 2 * n + k, "caption": text}
                for k in range(2)
                for n in numbers
                for text in [CAPTIONS[NAMES[n]][k]]
            ],
        }
        write_json(root / "annotations" / f"captions_{['train', 'val'][part]}2014.json", whole)


def coco(root: Path) -> None:
    _coco(root)
    images = [
        {
            "filepath": "val2014" if number % 2 else "train2014",
            "filename": name,
            "cocoid": 100 + number,
            "split": "restval" if number == 0 else SPLIT_OF[name],
            "sentences": [{"raw": text, "sentid": 1000 + 2 * number + k} for k, text in enumerate(CAPTIONS[name])],
        }
        for number, name in enumerate(NAMES)
    ]
    write_json(root / "dataset_coco.json", {"images": images, "dataset": "coco"})


def coco_ids(root: Path) -> None:
    _coco(root)
    for split in SIZES:
        (root / f"coco_{split}.txt").write_text("".join(f"{100 + NAMES.index(name)}\n" for name in named(split)))


def coco_numbers(root: Path) -> None:
    _coco(root)
    for split, part in DEV.items():
        numbers = [1000 + 2 * NAMES.index(name) + k for name in named(split) for k in range(2)]
        np.save(root / f"coco_{part}_ids.npy", np.array(numbers))


def precomp(root: Path) -> None:
    root.mkdir(parents=True)
    for split, part in DEV.items():
        rows = [NAMES.index(name) for name in named(split)]
        np.save(root / f"{part}_ims.npy", FEATURES[rows].astype(np.float16))
        (root / f"{part}_caps.txt").write_text("".join(f"{text}\n" for n in named(split) for text in CAPTIONS[n]))
        (root / f"{part}_ids.txt").write_text("".join(f"{name}\n" for name in named(split)))


def _ids_and_table(root: Path) -> None:
    (root / "ids.txt").write_text("".join(f"{name}\n" for name in NAMES))
    rows = [{"image": name, "caption": CAPTIONS[name], "split": SPLIT_OF[name]} for name in NAMES]
    (root / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def arrays_npz(root: Path) -> None:
    root.mkdir(parents=True)
    np.savez_compressed(root / "vit.npz", features=FEATURES)
    _ids_and_table(root)


def arrays_hdf5(root: Path) -> None:
    root.mkdir(parents=True)
    with h5py.File(root / "vit.h5", "w") as file:
        file["features"] = FEATURES
    _ids_and_table(root)


def table_csv(root: Path) -> None:
    pictures(root / "pictures")
    with (root / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        writer.writerows((name, text) for name in NAMES for text in CAPTIONS[name])


def table_jsonl(root: Path) -> None:
    for split in SIZES:  # the imagefolder layout
        (root / split).mkdir(parents=True)
        for name in named(split):
            (root / split / name).write_bytes(PICTURES[name])
        rows = [{"file_name": name, "text": CAPTIONS[name]} for name in named(split)]
        (root / split / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def table_parquet(root: Path) -> None:
    pictures(root)
    rows = [{"Image": n, "caption_0": CAPTIONS[n][0], "caption_1": CAPTIONS[n][1], "split": SPLIT_OF[n]} for n in NAMES]
    pq.write_table(pa.Table.from_pylist(rows), root / "captions.parquet")


def hub(root: Path) -> None:
    (root / "data").mkdir(parents=True)
    for split, part in {"train": "train", "val": "validation", "test": "test"}.items():
        rows = [{"image": {"bytes": PICTURES[n], "path": n}, "caption": CAPTIONS[n]} for n in named(split)]
        pq.write_table(pa.Table.from_pylist(rows), root / "data" / f"{part}-00000-of-00001.parquet")


def hub_rows(root: Path) -> None:
    """One file, a row per caption, the split in a column."""
    root.mkdir(parents=True)
    rows = [
        {"image": {"bytes": PICTURES[name], "path": None}, "text": text, "split": SPLIT_OF[name], "filename": name}
        for name in NAMES
        for text in CAPTIONS[name]
    ]
    pq.write_table(pa.Table.from_pylist(rows), root / "all.parquet")


def _tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def shards(root: Path) -> None:
    """As webdataset: a line per caption in the text."""
    for split in SIZES:
        members: dict[str, bytes] = {}
        for name in named(split):
            members[name] = PICTURES[name]
            members[name.replace(".jpg", ".txt")] = "\n".join(CAPTIONS[name]).encode()
        _tar(root / f"{split}-000000.tar", members)


def shards_json(root: Path) -> None:
    """As img2dataset in a folder per split, with its side files."""
    for split in SIZES:
        members: dict[str, bytes] = {}
        for name in named(split):
            key = name.removesuffix(".jpg")
            about = {"captions": CAPTIONS[name], "key": key, "status": "success", "width": 24}
            members |= {name: PICTURES[name], f"{key}.txt": b"another", f"{key}.json": json.dumps(about).encode()}
        members["failed.json"] = json.dumps({"caption": "gone", "status": "failed_to_download"}).encode()
        _tar(root / split / "00000.tar", members)
        (root / split / "00000_stats.json").write_text('{"count": 3}')
        pq.write_table(
            pa.table({"url": ["x"], "caption": ["y"], "key": ["0"], "status": ["success"]}),
            root / split / "00000.parquet",
        )


def reid(root: Path) -> None:
    """A person in every two pictures of a split."""
    pictures(root / "imgs" / "cam")
    rows = [
        {
            "split": SPLIT_OF[n],
            "captions": CAPTIONS[n],
            "file_path": f"cam/{n}",
            "processed_tokens": [["a"]],
            "id": k // 2,
        }
        for k, n in enumerate(sorted(NAMES, key=lambda name: list(SIZES).index(SPLIT_OF[name])))
    ]
    write_json(root / "reid_raw.json", rows)


def reid_img_path(root: Path) -> None:
    """As RSTPReid has it."""
    pictures(root / "imgs")
    rows = [{"id": k, "img_path": n, "captions": CAPTIONS[n], "split": SPLIT_OF[n]} for k, n in enumerate(NAMES)]
    write_json(root / "data_captions.json", rows)


def vse_inf(root: Path) -> None:
    """Ids of dev repeated, others not; COCO's name of the test split."""
    pictures(root / "images")
    write_json(root / "id_mapping.json", {str(7 * number): name for number, name in enumerate(NAMES)})
    (root / "precomp").mkdir()
    for split, part in {"train": "train", "val": "dev", "test": "testall"}.items():
        ids = [str(7 * NAMES.index(name)) for name in named(split) for _ in range(2 if part == "dev" else 1)]
        (root / "precomp" / f"{part}_ids.txt").write_text("\n".join(ids))  # no newline at the end
        texts = [f"{text}\n" for name in named(split) for text in CAPTIONS[name]]
        (root / "precomp" / f"{part}_caps.txt").write_text("".join(texts))


def multi30k(root: Path) -> None:
    """As its task 2: several sentences for each picture in two languages; two test sets."""
    pictures(root / "flickr30k-images")
    (root / "image_splits").mkdir()
    (root / "raw").mkdir()
    for split, part in {"train": "train", "val": "val", "test": "test_2016"}.items():
        (root / "image_splits" / f"{part}_images.txt").write_text("".join(f"{name}\n" for name in named(split)))
        for k in range(2):
            texts = "".join(f"{CAPTIONS[name][k]}\n" for name in named(split))
            (root / "raw" / f"{part}.{k + 1}.en.gz").write_bytes(gzip.compress(texts.encode(), mtime=0))
            german = texts.replace("caption", "Beschreibung").encode()
            (root / "raw" / f"{part}.{k + 1}.de.gz").write_bytes(gzip.compress(german, mtime=0))


def entities(root: Path) -> None:
    tokens(root)
    wrong = named("train")[0].removesuffix(".jpg")
    (root / "UNRELATED_CAPTIONS").write_text(f"# format: <imageID> <sentence number>\n{wrong} 2\n129602216 5")


def headerless(root: Path) -> None:
    pictures(root / "pictures")
    with (root / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows((name, text) for name in NAMES for text in CAPTIONS[name])


def keyed(root: Path) -> None:
    pictures(root / "pictures")
    write_json(root / "captions.json", CAPTIONS)


def keyed_by_number(root: Path) -> None:
    """As SugarCrepe, with a list of caption objects."""
    pictures(root / "pictures")
    rows = {
        str(k): {"filename": name, "captions": [{"caption": text} for text in CAPTIONS[name]], "negative_caption": "no"}
        for k, name in enumerate(NAMES)
    }
    write_json(root / "all.json", rows)


FORMAT_OF = {"vse_inf": "vse-inf"}
"""Format of a sample whose name does not begin with it."""
SAMPLES: dict[str, tuple[str, Callable[[Path], None]]] = {
    maker.__name__: (FORMAT_OF.get(maker.__name__, maker.__name__.partition("_")[0]), maker)
    for maker in (
        flickr8k,
        tokens,
        tokens_csv,
        tokens_bars,
        karpathy,
        albef,
        coco,
        coco_ids,
        coco_numbers,
        precomp,
        arrays_npz,
        arrays_hdf5,
        table_csv,
        table_jsonl,
        table_parquet,
        hub,
        hub_rows,
        shards,
        shards_json,
        reid,
        reid_img_path,
        vse_inf,
        multi30k,
        entities,
        headerless,
        keyed,
        keyed_by_number,
    )
}
"""Sample to format and what writes it into a folder."""
