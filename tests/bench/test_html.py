"""The report's page in a real browser without a network: its pictures have marks, its table sorts, nobody complains.

Debian: chromium
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Dict, List

import pytest

from edgecsp import bench
from edgecsp.errors import UsageError
from edgecsp.media.html import svg
from support import chromium

browser = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed (Debian: chromium)")
MODELS = ("yolov3-tiny", "cspdensenetb-ref-prn")
HOSTILE = "</td><script>alert(1)</script>"


@pytest.fixture(scope="module")
def report() -> Dict[str, Any]:
    """A real run, and beside its rows one that went wrong, one of another engine and one of unstable figures."""
    short: Dict[str, Any] = {"engines": ("ort",), "duration_s": 0.2, "rounds": 2}
    made = bench.run(MODELS, bench.BenchSettings(**short, weights="random"), command=("edgecsp", "bench"))
    with pytest.MonkeyPatch.context() as known:  # the machine is the same
        known.setattr(bench.peak, "measure_peak", lambda *_, **__: made["machine"]["peak_gflops"])
        made["rows"] += bench.run(["codes"], bench.BenchSettings(**short, mode="pipeline"))["rows"]
    assert [row["reason"] for row in made["rows"]] == [None] * 3
    for row in made["rows"]:
        row.update(unstable=False, causes=[])  # whatever else the machine was doing
    other, shaky = copy.deepcopy(made["rows"][0]), copy.deepcopy(made["rows"][1])
    other.update(engine="openvino", reason=f"died: {HOSTILE}", ms=[], stages=None, wall_ms=None)
    other.update(dict.fromkeys(("median_ms", "p90_ms", "p99_ms", "p999_ms", "iqr_ms", "fps", "relative")))
    shaky.update(engine="openvino", precision="int8", unstable=True, causes=["a <b>neighbour</b>"])
    made["rows"] += [other, shaky]
    return made


@pytest.fixture(scope="module")
def place(report: Dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("page") / "report.html"
    target.write_text(bench.html(report), encoding="utf-8")
    return target


COUNT = """Object.fromEntries([...document.querySelectorAll("svg.plot")].map(plot => [plot.classList[1],
  [...plot.querySelectorAll(".mark, .violin, .stage")].filter(mark => {
    const box = mark.getBoundingClientRect(), whole = plot.getBoundingClientRect();
    return box.width > 0.3 && box.height > 2 && box.left >= whole.left && box.right <= whole.right &&
      box.top >= whole.top && box.bottom <= whole.bottom && getComputedStyle(mark).fill !== "none";
  }).length]))"""
LABELS = """[...document.querySelectorAll("svg.plot")].flatMap(plot => {
  const boxes = [...plot.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
  const whole = plot.getBoundingClientRect();
  const out = boxes.filter(([, box]) => box.left < whole.left - 1 || box.right > whole.right + 1).map(([said]) => said);
  const over = boxes.flatMap(([a, one], at) => boxes.slice(at + 1).filter(([, two]) => one.left < two.right - 1 &&
    two.left < one.right - 1 && one.top < two.bottom - 4 && two.top < one.bottom - 4).map(([b]) => a + " on " + b));
  return [...out, ...over];
})"""


@browser
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_it_shows_its_plots_without_a_network(place: Path, tmp_path: Path, width: int, dark: bool) -> None:
    with chromium.opened(place, tmp_path / "profile", width, dark) as page:
        # Four rows with figures, of which three are the paper's models, with two printed figures; one has four stages.
        assert page.value(COUNT) == {"accuracy": 5, "relative": 5, "latencies": 4, "stages": 4}
        assert page.value(LABELS) == []
        assert page.value("document.documentElement.scrollWidth") <= width
        assert page.value("getComputedStyle(document.body).backgroundColor") == (
            "rgb(20, 23, 27)" if dark else "rgb(251, 250, 248)"
        )
        asked = [said["request"]["url"] for said in page.received("Network.requestWillBeSent")]
        assert asked == [place.as_uri()], "it loads nothing"
        assert page.complaints() == []


@browser
def test_the_table_sorts_and_the_lights_turn(place: Path, tmp_path: Path, report: Dict[str, Any]) -> None:
    column = "[...document.querySelectorAll('thead th')].findIndex(head => head.textContent == 'median ms')"
    with chromium.opened(place, tmp_path / "profile") as page:
        values = f"[...document.querySelectorAll('tbody tr')].map(row => row.cells[{column}].dataset.sort)"
        expected = sorted(row["median_ms"] for row in report["rows"] if row["median_ms"])
        for order in (expected, expected[::-1]):
            page.value(f"document.querySelectorAll('thead th')[{column}].querySelector('button').click()")
            found: List[str] = page.value(values)
            assert [float(each) for each in found[:-1]] == order and found[-1] == "", "what has none stays below"
        assert page.value(f"document.querySelectorAll('thead th')[{column}].ariaSort") == "descending"
        page.value("document.getElementById('lights').click()")
        assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
        assert page.complaints() == []


@browser
def test_a_page_that_would_load_something_is_found_out(place: Path, tmp_path: Path) -> None:
    """The browser test can fail: the policy stops what is not the page's own, and that is heard."""
    spoilt = tmp_path / "spoilt.html"
    text = place.read_text("utf-8")
    spoilt.write_text(text.replace("</main>", '<img src="http://127.0.0.1:9/a.png"><script>alert(1)</script></main>'))
    with chromium.opened(spoilt, tmp_path / "profile") as page:
        assert len(page.complaints()) >= 2


def test_what_the_page_says(place: Path, report: Dict[str, Any]) -> None:
    page = place.read_text("utf-8")
    assert HOSTILE not in page and "a <b>" not in page, "names and reasons are text"
    assert "&lt;/td&gt;&lt;script&gt;alert(1)" in page and "a &lt;b&gt;neighbour&lt;/b&gt; " not in page
    assert page.count("http") == page.count("http-equiv") == 1, "no address of anything"
    assert "Unreliable or missing: 2 of 5 rows" in page
    assert "<dd>edgecsp bench</dd>" in page and report["machine"]["name"] in page
    for row in report["rows"][:2]:
        assert f'<td data-sort="{row["median_ms"]!r}">{svg.short(row["median_ms"])}</td>' in page
    assert ">102<" in page, "the paper's figure stands in a column of its own"


def test_a_report_in_which_nothing_was_measured_is_a_page_too(report: Dict[str, Any]) -> None:
    bare = {**report, "rows": [report["rows"][3]], "rank": []}
    page = bench.html(bare)
    assert 'class="plot' not in page and "Nothing was measured." in page


def test_other_json_is_an_error(report: Dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="edgecsp-bench/1"):
        bench.html({**report, "schema": "edgecsp/1"})


@pytest.mark.parametrize("wanted", [[10.0, 10.0, 10.0], [5.0, 99.0, 98.0], [99.0, 98.0, 97.0, 1.0]])
def test_labels_stay_apart_and_within(wanted: List[float]) -> None:
    places = svg.spread(wanted, 17, 0, 100)
    ordered = sorted(places)
    assert all(b - a >= 17 - 1e-9 for a, b in zip(ordered, ordered[1:])) and max(places) <= 100
    assert sorted(range(len(wanted)), key=lambda i: places[i]) == sorted(range(len(wanted)), key=lambda i: wanted[i])


def test_ticks_are_round_and_within() -> None:
    assert svg.Scale(18, 240, 0, 1, log=True).ticks() == [20, 50, 100, 200]
    assert svg.Scale(32.5, 45.2, 0, 1).ticks(6) == [35, 40, 45]
    assert len(svg.Scale(0.9, 1.6, 0, 1, log=True).ticks()) >= 3, "less than a decade has ticks too"
