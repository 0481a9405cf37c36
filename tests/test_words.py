"""The words of the documents: what a page must not say, and the word that readers search for (docs/glossary.md)."""

from __future__ import annotations

import re
from typing import List

from support.repository import REPO

AVOIDED = {
    r"at hand": "available, connected",
    r"told|shown|held": "reported, displayed, compared",
    r"delays?": "latency",
    r"data-?sets?": "data set",
    r"(?:frames|images|boxes|milliseconds|ms) an? (?:second|frame|image)": "per second, per frame, per image",
    r"whoever": "a caller who, anyone who",
    r"goes by": "uses",
    r"bounding box(?:es)?": "box",
    r"simply|just|easily|obviously": "nothing in its place",
    r"e\.g\.|i\.e\.|etc\.": "for example, that is, and others",
    r"post-?processing|pre-?processing": "decoding and NMS; preprocess",
    r"lag(?:s|ging)? behind": "falls behind",
    r"confidence score": "score",
    r"inference engine": "engine",
    r"video tracks?|footage": "stream, video",
}
# Names as their owners write them, and ways in which they are miswritten.
SPELLED = {
    "ONNX": r"Onnx",
    "onnxruntime": r"Onnxruntime|ONNX ?Runtime|OnnxRuntime",
    "OpenVINO": r"Open[Vv]ino|openVINO",
    "TensorRT": r"Tensor[Rr]t|TensorRt",
    "OpenCV": r"Opencv|OpenCv",
    "ncnn": r"Ncnn|NCNN",
    "PyTorch": r"(?<!/)Pytorch|pyTorch",
    "ultralytics": r"Ultralytics|UltraLytics",
    "darknet": r"Darknet(?! Reference)",
    "CUDA": r"Cuda",
    "JetPack": r"Jetpack",
    "numpy": r"Numpy|NumPy",
    "NVIDIA": r"Nvidia",
    "GitHub": r"Github",
    "macOS": r"MacOS|Mac OS",
    "YOLO": r"(?<!-)Yolo(?!-Fastest)",
    "MQTT": r"Mqtt",
    "RTSP": r"Rtsp",
    "JSON": r"Json",
    "Home Assistant": r"Home assistant",
}
RULES = [(re.compile(rf"\b(?:{each})\b", re.IGNORECASE), better) for each, better in AVOIDED.items()]
RULES += [(re.compile(rf"\b(?:{each})\b"), name) for name, each in SPELLED.items()]
FOLDERS = ("start", "how-to", "tutorials", "explanation", "reference")
OF_FOLDERS = ("calib", "edgecsp", "edgecsp/zoo")
PATTERNS = [
    "*.md",
    "docs/*.md",
    *(f"docs/{each}/*.md" for each in FOLDERS),
    *(f"{each}/README.md" for each in OF_FOLDERS),
]
PROSE = [
    path
    for pattern in PATTERNS
    for path in sorted(REPO.glob(pattern))
    if path.name not in ("glossary.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md")
]
# Blocks of code, code in a line, targets of links, addresses, comments.
CODE = re.compile(
    r"^```.*?^```|^    \S[^\n]*|`[^`\n]+`|\]\([^)\s]+\)|https?://\S+|<!--.*?-->", re.DOTALL | re.MULTILINE
)


def find_words(text: str) -> List[str]:
    """List the words of a document's prose that it must not have, with what to write instead."""
    prose = CODE.sub(lambda match: "\n" * match[0].count("\n"), text)
    return [
        f"line {number}: {found[0]!r}; write: {better}"
        for number, line in enumerate(prose.splitlines(), 1)
        for rule, better in RULES
        for found in rule.finditer(line)
    ]


def test_documents_use_the_words_of_the_list() -> None:
    assert len(PROSE) > 50
    wrong = {str(path.relative_to(REPO)): find_words(path.read_text("utf-8")) for path in PROSE}
    assert {path: words for path, words in wrong.items() if words} == {}


def test_the_list_finds_its_words() -> None:
    text = (
        "A bounding box.\n\n```sh\nOnnx at hand\n```\n\nOne `Onnx` file of [Onnx](Onnx.md)\n    Darknet\n"
        "Darknet Reference, Darknet\n"
    )
    assert find_words(text) == [
        "line 1: 'bounding box'; write: box",
        "line 7: 'Onnx'; write: ONNX",
        "line 9: 'Darknet'; write: darknet",
    ]


def test_terms_of_the_glossary_are_in_use() -> None:
    glossary = (REPO / "docs" / "glossary.md").read_text("utf-8")
    rows = re.findall(r"^\| ([a-z][^|]*?) \|", glossary, re.MULTILINE)[1:]
    terms = [term for row in rows for term in row.split(", ")]
    texts = "".join(path.read_text("utf-8") for path in PROSE).lower()
    assert len(terms) > 30 and [term for term in terms if not re.search(rf"\b{term.lower()}", texts)] == []
