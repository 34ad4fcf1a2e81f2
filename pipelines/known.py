"""The datasets the field reports on: what they must look like, and where a person gets them."""

from dataclasses import dataclass


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
    cut_val: int | None = None
    """Images of the validation split in the files of the VSE++ line, which cut it to 5,000 captions; accepted, too."""

    def how_to_add(self, name: str) -> str:
        """One line: what is needed, where it comes from, the command."""
        return (
            f"dataset '{name}' ({self.title}) is not added yet: it needs {self.files}, from {self.provider}"
            f" ({self.terms}); then run: bench data add {name} --from DIR"
        )


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
        cut_val=1000,
    ),
}
