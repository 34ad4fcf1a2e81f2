"""The datasets the field reports on: what they must look like, and where a person gets them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """One thing a person fetches."""

    what: str
    provider: str
    page: str
    """The project's own page; files behind it move, so no file is named by address."""
    terms: str


@dataclass(frozen=True)
class Known:
    """A dataset everybody means the same thing by."""

    title: str
    counts: dict[str, int]
    """Images per split; asserted, because numbers on other splits cannot be compared."""
    protocol: str
    """Name of the test protocol."""
    files: str
    """What a person needs."""
    provider: str
    """Who hands it out, and where."""
    terms: str
    """Licence or terms of use."""
    encoder: str
    """The encoder used when none is named."""
    citation: str
    downloads: tuple[Download, ...]
    tree: str
    """The files ``bench data add`` reads, as they come out of the archives."""
    note: str
    """What people stumble over."""
    cut_val: int | None = None
    """Images of the validation split in the files of the VSE++ line, which cut it to 5,000 captions; accepted, too."""

    def expected(self, found: Mapping[str, int]) -> dict[str, int]:
        """Images per split that ``found`` must have."""
        cut = self.cut_val is not None and found.get("val") == self.cut_val
        return self.counts | {"val": found["val"]} if cut else self.counts

    def how_to_add(self, name: str) -> str:
        """One line: what is needed, where it comes from, the command."""
        return (
            f"dataset '{name}' ({self.title}) is not added yet: it needs {self.files}, from {self.provider}"
            f" ({self.terms}); then run: bench data add {name} --from DIR; more: bench data where {name}"
        )


SPLITS_PAGE = "https://cs.stanford.edu/people/karpathy/deepimagesent/"
NO_LICENCE = "no licence is known to us; cite Karpathy and Fei-Fei, CVPR 2015"
RESEARCH = "non-commercial research and education only; photographs belong to their Flickr owners"

KNOWN = {
    "f8k": Known(
        title="Flickr8k",
        counts={"train": 6000, "val": 1000, "test": 1000},
        protocol="f8k-1k",
        files="the images, Flickr8k.token.txt or captions.txt, and Flickr_8k.{train,dev,test}Images.txt",
        provider="the University of Illinois at Urbana-Champaign (request form of the authors' group)",
        terms="photographs belong to their Flickr owners; non-commercial research only",
        encoder="efficientnet-lite0+minilm",
        citation=(
            "M. Hodosh, P. Young, J. Hockenmaier (2013), Framing Image Description as a Ranking Task, JAIR 47, 853-899"
        ),
        downloads=(
            Download(
                what="Flickr8k_Dataset.zip (8,091 images, 1 GB), Flickr8k_text.zip (captions, splits, judgements)",
                provider="Hockenmaier's group, University of Illinois at Urbana-Champaign; links come by mail",
                page="https://forms.illinois.edu/sec/1713398",
                terms=RESEARCH,
            ),
        ),
        tree="""\
DIR/
├── Flicker8k_Dataset/                  8,091 images; Images/ and images/ work too
├── Flickr8k.token.txt                  5 captions of each; captions.txt works too
├── Flickr_8k.trainImages.txt           6,000 names
├── Flickr_8k.devImages.txt             1,000 names
├── Flickr_8k.testImages.txt            1,000 names
├── ExpertAnnotations.txt               optional: judgements
└── CrowdFlowerAnnotations.txt          optional: judgements""",
        note="'Flicker' in the folder's name is the archive's own spelling; 91 images are in no split and are left out",
    ),
    "f30k": Known(
        title="Flickr30K, Karpathy's split",
        counts={"train": 29000, "val": 1014, "test": 1000},
        protocol="f30k-1k",
        files=(
            "the images with dataset_flickr30k.json, or with results_20130124.token and lists of ids, or ALBEF's"
            " flickr30k_{train,val,test}.json; or precomputed {train,dev,test}_ims.npy with {train,dev,test}_caps.txt"
        ),
        provider=(
            "images: the University of Illinois at Urbana-Champaign (request form);"
            " split: A. Karpathy's dataset_flickr30k.json"
        ),
        terms="photographs belong to their Flickr owners; non-commercial research only",
        encoder="efficientnet-lite0+minilm",
        citation=(
            "P. Young, A. Lai, M. Hodosh, J. Hockenmaier (2014), From image descriptions to visual denotations,"
            " TACL 2, 67-78"
        ),
        downloads=(
            Download(
                what="flickr30k-images (31,783 images)",
                provider="Hockenmaier's group, University of Illinois at Urbana-Champaign; request form on the page",
                page="https://shannon.cs.illinois.edu/DenotationGraph/",
                terms=RESEARCH,
            ),
            Download(
                what="dataset_flickr30k.json, in caption_datasets.zip (captions and splits)",
                provider="A. Karpathy, Stanford",
                page=SPLITS_PAGE,
                terms=NO_LICENCE,
            ),
        ),
        tree="""\
DIR/
├── flickr30k-images/                   31,783 images
└── dataset_flickr30k.json              31,014 of them, each with its split and 5 captions""",
        note="769 images are in no split; val has 1,014 images here, 1,000 in files of the VSE++ line",
        cut_val=1000,
    ),
    "coco": Known(
        title="MS-COCO, Karpathy's split",
        counts={"train": 113287, "val": 5000, "test": 5000},
        protocol="coco-5k",
        files=(
            "the images with dataset_coco.json, or BLIP's coco_karpathy_{train,val,test}.json; or precomputed"
            " {train,dev,testall}_ims.npy with {train,dev,testall}_caps.txt"
        ),
        provider="images and captions: cocodataset.org (2014 train and val); split: A. Karpathy's dataset_coco.json",
        terms="annotations CC BY 4.0; photographs under their Flickr owners' licences",
        encoder="efficientnet-lite0+minilm",
        citation="T.-Y. Lin et al. (2014), Microsoft COCO: Common Objects in Context, ECCV",
        downloads=(
            Download(
                what="2014 train images (82,783; 13 GB) and 2014 val images (40,504; 6 GB)",
                provider="COCO Consortium",
                page="https://cocodataset.org/#download",
                terms="photographs: terms of Flickr and of their owners, https://cocodataset.org/#termsofuse",
            ),
            Download(
                what="dataset_coco.json, in caption_datasets.zip (captions and splits)",
                provider="A. Karpathy, Stanford; captions: COCO Consortium",
                page=SPLITS_PAGE,
                terms="captions CC BY 4.0; of the splits " + NO_LICENCE,
            ),
        ),
        tree="""\
DIR/
├── train2014/                          82,783 images
├── val2014/                            40,504 images
└── dataset_coco.json                   123,287 images, each with its split and 5 to 7 captions""",
        note="'restval' in the file is training; val and test, 5,000 each, come from val2014",
        cut_val=1000,
    ),
    "f30k-entities": Known(
        title="Flickr30K, the Entities split",
        counts={"train": 29783, "val": 1000, "test": 1000},
        protocol="f30k-entities-1k",
        files="the images, results_20130124.token, and train.txt, val.txt, test.txt, UNRELATED_CAPTIONS of Entities",
        provider="the University of Illinois at Urbana-Champaign (request form); lists: B. Plummer",
        terms="photographs belong to their Flickr owners; non-commercial research only",
        encoder="efficientnet-lite0+minilm",
        citation=(
            "B. Plummer et al. (2017), Flickr30K Entities: Collecting Region-to-Phrase Correspondences for Richer"
            " Image-to-Sentence Models, IJCV 123, 74-93"
        ),
        downloads=(
            Download(
                what="flickr30k-images (31,783 images) and results_20130124.token (5 captions of each)",
                provider="Hockenmaier's group, University of Illinois at Urbana-Champaign; request form on the page",
                page="https://shannon.cs.illinois.edu/DenotationGraph/",
                terms=RESEARCH,
            ),
            Download(
                what="train.txt, val.txt, test.txt, UNRELATED_CAPTIONS",
                provider="B. Plummer",
                page="https://github.com/BryanPlummer/flickr30k_entities",
                terms="no licence is known to us; cite Plummer et al., IJCV 2017",
            ),
        ),
        tree="""\
DIR/
├── flickr30k-images/                   31,783 images
├── results_20130124.token              5 captions of each
├── train.txt, val.txt, test.txt        29,783, 1,000 and 1,000 ids
└── UNRELATED_CAPTIONS                  21 captions that are not of their image""",
        note=(
            "not Karpathy's split, of whose 1,000 test images 944 are in this train split: numbers do not compare, and"
            " a model trained here must not be tested there"
        ),
    ),
    "stamps": Known(
        title="Tux Paint's stamps",
        counts={"train": 634, "val": 79, "test": 72},
        protocol="stamps",
        files="the folder stamps of Debian's package tuxpaint-stamps-default, installed or unpacked",
        provider="Debian (apt-get install tuxpaint-stamps-default)",
        terms="GPL 2",
        encoder="efficientnet-lite0+minilm",
        citation="B. Kendrick and others (2002-2022), Tux Paint stamps",
        downloads=(
            Download(
                what="tuxpaint-stamps-default 2022.06.04 (161 MB): apt-get install it, or apt-get download and dpkg -x",
                provider="Debian; made by the Tux Paint project",
                page="https://tuxpaint.org/stamps/",
                terms="GPL 2",
            ),
        ),
        tree="""\
DIR/                                    usr/share/tuxpaint/stamps of the package
├── animals/birds/*.png                 952 stamps in 16 folders, 785 of them pictures
├── animals/birds/*.txt                 of each: English, and up to 77 translations
└── ...""",
        note=(
            "one caption an image, 4 words long: 'A flower.' stands on six stamps, so false negatives are certain; the"
            " image's id decides the split; --languages takes others than English"
        ),
    ),
}
