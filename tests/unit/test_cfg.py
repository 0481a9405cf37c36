"""The syntax of a cfg: what counts, at which line, and what is said when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecsp.errors import BadModel, SourceError
from edgecsp.importers.darknet.cfg import parse, read


def section(text: str):
    return parse(f"[net]\n{text}")[0]


def test_sections_options_and_lines() -> None:
    found = parse("# one\n\n[ Net ]\nwidth = 416\n; another\nheight=416 # and one here\r\n[convolutional]\rfilters=3")
    assert [(s.kind, s.line) for s in found] == [("net", 3), ("convolutional", 7)]
    assert found[0].options == {"width": ("416", 4), "height": ("416", 6)}
    assert found[1].options == {"filters": ("3", 8)}


def test_the_first_of_two_equal_keys_counts_as_in_darknet() -> None:
    assert section("width=1\nwidth=2").integer("width", 0) == 1


def test_form_feeds_do_not_count_as_lines() -> None:
    assert parse("[net]\nangle=0\x0c\x1c\nwidth=x")[0].options["width"] == ("x", 3)


def test_numbers() -> None:
    s = section("a=-3\nb= 1, 2 ,3,\nc=0.5,1e3\nd=\n")
    assert s.integer("a", 9) == -3 and s.integer("none", 9) == 9
    assert s.integers("b") == [1, 2, 3] and s.integers("none") == []
    assert s.numbers("c", 0, 1e4) == [0.5, 1000.0] and s.number("none", 0.25, 0, 1) == 0.25
    assert s.text("d", "x") == "" and s.flag("a") and not s.flag("none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=abc", "line 2: [net] a='abc' is not a whole number"),
        ("\na=1.5", "line 3: [net] a='1.5' is not a whole number"),
        ("a=", "line 2: [net] a='' is not a whole number"),
        ("a=1,2", "line 2: [net] a='1,2': one number is expected, found 2"),
        ("a=1,,2", "a='' is not a whole number"),
        ("a=101", "a=101 is outside 0 to 100"),
        ("a=-1", "a=-1 is outside 0 to 100"),
        ("a=1e309", "a='1e309' is not a whole number"),
        ("a=" + "9" * 5000, "a=" + "9" * 37 + "... is outside 0 to 100"),
        ("a=" + "1," * 5000, "a= lists 5,000 numbers; at most 4,096"),
    ],
)
def test_a_whole_number_that_is_none(text: str, said: str) -> None:
    with pytest.raises(BadModel) as caught:
        section(text).integer("a", 0, 0, 100)
    assert said in str(caught.value) and str(caught.value).startswith("cfg, line ")


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e309", "1001", "x"])
def test_a_real_number_that_is_none(word: str) -> None:
    with pytest.raises(BadModel, match=r"^cfg, line 2: \[net\] a="):
        section(f"a={word}").number("a", 0, -1000, 1000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[net\n", "line 1: '[net' opens a section without a closing"),
        ("[net]\nwidth\n", "line 2: 'width' is neither [section], key=value nor a # comment"),
        ("width=3\n[net]", "line 1: 'width=3' stands before any [section]"),
        ("\n# nothing\n", "holds no [section]"),
        ("[a]\n" * 5000, "line 4097: more than 4096 sections"),
        ("[net]\n" + "x" * 999, "line 2: '" + "x" * 37 + "...'"),
    ],
)
def test_what_is_no_cfg(text: str, said: str) -> None:
    with pytest.raises(BadModel) as caught:
        parse(text, "a.cfg")
    assert str(caught.value).startswith("a.cfg") and said in str(caught.value)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "yolov3.cfg"
    path.write_bytes(b"\xef\xbb\xbf[net]\nwidth=3\xff\n")
    assert read(path)[0].kind == "net"
    with pytest.raises(SourceError, match=r"no cfg file at .*yolov3\.cgf; did you mean .*yolov3\.cfg\?"):
        read(tmp_path / "yolov3.cgf")
    with pytest.raises(SourceError, match="there is no folder"):
        read(tmp_path / "nowhere" / "a.cfg")
    with pytest.raises(SourceError):
        read(tmp_path)
    path.write_bytes(bytes(100))
    with pytest.raises(BadModel, match=r"binary file; the order is: edgecsp import MODEL\.cfg MODEL\.weights"):
        read(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(BadModel, match="over 1 MB"):
        read(path)
