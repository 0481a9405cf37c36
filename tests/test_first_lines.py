"""The lines of Python that people type first, each with its right value: the bundled model on a frame of its demo."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import pickle
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, Dict, Iterator, List

import cv2
import numpy as np
import pytest

import edgecsp
from edgecsp.errors import SourceError, UnknownName, UsageError
from edgecsp.options import THRESHOLDS
from edgecsp.system import cpu
from support import media
from support.repository import REPO

DEMO = REPO / "benchmarks" / "codes.mp4"
# Where the codes are in the demo's first frame: the QR code by the corners that zxing-cpp reads it at, the bars by eye.
QR, BARCODE = (283, 192, 385, 295), (520, 206, 640, 304)


@pytest.fixture(scope="module")
def detector() -> Iterator[edgecsp.Detector]:
    with edgecsp.load("codes", "ort") as opened:
        yield opened


@pytest.fixture(scope="module")
def image() -> Any:
    capture = cv2.VideoCapture(str(DEMO))
    ok, frame = capture.read()
    capture.release()
    assert ok and frame.shape == (480, 640, 3)
    return frame


@pytest.fixture
def photos(image: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with photos/a.png, photos/b.png (a grey one) and video.mp4 (4 frames)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    cv2.imwrite("photos/a.png", image)
    cv2.imwrite("photos/b.png", np.full((60, 80, 3), 128, np.uint8))
    media.video(tmp_path / "video.mp4", 4, size=(640, 480), draw=lambda index, width, height: image)
    return tmp_path / "photos"


def check(result: edgecsp.Detections) -> None:
    """A QR code and a barcode, where they are."""
    assert result.counts() == {"qr": 1, "barcode": 1} and result.labels.tolist() == ["qr", "barcode"]
    for box, truth in zip(result.xyxy, (QR, BARCODE)):
        assert np.abs(box - truth).max() < 8, (box, truth)


# -- what goes in --------------------------------------------------------------------------------------------------


def test_an_image_by_its_path(detector: edgecsp.Detector, photos: Path) -> None:
    for path in ("photos/a.png", photos / "a.png"):
        result = detector(path)
        check(result)
        assert result.path == str(path) and result.orig_shape == (480, 640)
        assert [(each.label, each.class_id) for each in result] == [("qr", 0), ("barcode", 4)]


def test_an_array_as_opencv_reads_it_and_an_rgb_one(detector: edgecsp.Detector, image: Any) -> None:
    result = detector(image)
    check(result)
    assert result.image is image, "the array is not copied"
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    assert np.array_equal(detector(rgb[:, :, ::-1]).xyxy, result.xyxy)
    assert np.array_equal(detector(rgb[..., ::-1]).image, image)


def test_a_pil_image(detector: edgecsp.Detector, image: Any) -> None:
    pil = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    result = detector(pil.fromarray(image[:, :, ::-1]))
    check(result)
    assert np.array_equal(result.image, image)


def test_the_bytes_of_a_file(detector: edgecsp.Detector, photos: Path) -> None:
    check(detector((photos / "a.png").read_bytes()))


def test_a_list_is_answered_in_full(detector: edgecsp.Detector, photos: Path, image: Any) -> None:
    results = detector(["photos/a.png", photos / "b.png", image, (photos / "a.png").read_bytes()])
    assert [len(result) for result in results] == [2, 0, 2, 2]
    assert [result.path for result in results] == ["photos/a.png", str(photos / "b.png"), "image2", "image3"]
    assert [result.orig_shape for result in results[:2]] == [(480, 640), (60, 80)]
    check(results[0])
    assert [len(result) for result in detector(np.stack([image] * 3))] == [2, 2, 2]
    assert detector([]) == [] and [len(each) for each in detector((image,))] == [2]


def test_a_file_of_a_list_that_cannot_be_read_is_an_error(detector: edgecsp.Detector, photos: Path) -> None:
    (photos / "c.jpg").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"c\.jpg"):
        detector(["photos/a.png", "photos/c.jpg"])


@pytest.mark.parametrize(
    ("source", "what"),
    [("photos", "a folder"), ("photos/*.png", "a pattern"), ("video.mp4", "a video"), (0, "0 is a camera"), ("7", "7")],
)
def test_more_than_an_image_is_an_error_that_names_stream(
    source: Any, what: str, detector: edgecsp.Detector, photos: Path
) -> None:
    with pytest.raises(UsageError, match=rf"{what}.*detector\.stream"):
        detector(source)


def test_what_cv2_did_not_read_and_other_arrays_are_sentences(detector: edgecsp.Detector, image: Any) -> None:
    with pytest.raises(SourceError, match=r"None, which cv2\.imread returns"):
        detector(cv2.imread("missing.jpg"))
    with pytest.raises(SourceError, match="uint8 BGR array; found float64"):
        detector(image / 255)
    with pytest.raises(UsageError, match="one image or a list"):
        detector(each for each in [image])


def test_a_folder_a_pattern_a_video_and_a_path(detector: edgecsp.Detector, photos: Path) -> None:
    def stream(*source: Any) -> List[tuple]:
        return [(Path(frame.stream.name).name, frame.index, len(result)) for frame, result in detector.stream(*source)]

    folder = [("a.png", 0, 2), ("b.png", 0, 0)]
    assert stream("photos") == stream(photos) == stream("photos/*.png") == stream(["photos/a.png", photos / "b.png"])
    assert stream("photos") == folder
    video = [("video.mp4", index, 2) for index in range(4)]
    assert stream("video.mp4") == stream(photos.parent / "video.mp4") == video
    for both in (("photos", "video.mp4"), (["photos", ["video.mp4"]],)):
        assert sorted(stream(*both)) == folder + video


def test_a_stream_of_arrays_in_a_list_or_as_they_come(detector: edgecsp.Detector, photos: Path, image: Any) -> None:
    grey = np.full((60, 80, 3), 128, np.uint8)
    assert [len(result) for _, result in detector.stream([image, grey, image])] == [2, 0, 2]
    assert [len(result) for _, result in detector.stream(image)] == [2]
    assert [len(result) for _, result in detector.stream(each for each in (image, grey))] == [2, 0]
    assert [len(result) for _, result in detector.stream(photos.glob("a.*"))] == [2]

    def endless() -> Iterator[Any]:
        while True:
            yield image

    for taken, (_, result) in enumerate(detector.stream(endless())):
        check(result)
        if taken == 3:
            break


def test_a_camera_that_is_absent(detector: edgecsp.Detector) -> None:
    if Path("/dev/video97").exists():
        pytest.skip("this machine has 98 cameras")
    with pytest.raises(SourceError, match="cannot open camera 97; cameras here: "):
        next(iter(detector.stream(97)))


# -- options of a call ---------------------------------------------------------------------------------------------


def test_thresholds_of_a_call(detector: edgecsp.Detector, image: Any) -> None:
    low, usual = detector(image, conf=0.001), detector(image)
    assert len(low) > len(usual) == 2 and low.scores.min() < 0.25
    assert detector(image, conf=0.96).labels.tolist() == ["qr"]
    assert len(detector(image, conf=0.001, max_det=3)) == 3
    assert detector(image, classes="barcode").labels.tolist() == ["barcode"]
    assert detector(image, classes=["qr", 4]).counts() == {"qr": 1, "barcode": 1}
    assert detector(image, classes=4).labels.tolist() == ["barcode"]
    assert [each.counts() for each in detector([image, image], classes="qr")] == [{"qr": 1}] * 2
    assert [each.counts() for _, each in detector.stream([image], classes="qr")] == [{"qr": 1}]
    assert len(detector(image)) == 2, "the detector's own are as they were"
    settings = edgecsp.Thresholds(conf=0.001, max_det=4)
    assert len(detector(image, settings)) == 4 and len(detector(image, settings, max_det=2)) == 2


def test_load_takes_one_class_by_its_name(image: Any) -> None:
    with edgecsp.load("codes", "ort", classes="qr") as detector:
        assert detector(image).counts() == {"qr": 1}
    assert edgecsp.Options(classes="qr").classes == ("qr",)
    with pytest.raises(UnknownName, match=r"class of codes is called 'qrr'\. Did you mean 'qr'"):
        edgecsp.load("codes", "ort", classes="qrr")


def test_wrong_options_are_sentences(detector: edgecsp.Detector, image: Any) -> None:
    with pytest.raises(UsageError, match="conf 2: a number from 0 to 1"):
        detector(image, conf=2)
    with pytest.raises(UnknownName, match="Did you mean 'barcode'"):
        detector(image, classes="barcodes")
    with pytest.raises(UnknownName, match="class of codes is called '99'"):
        detector(image, classes=99)
    with pytest.raises(TypeError, match=r"imgsz is an option of edgecsp\.load"):
        detector(image, imgsz=640)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="confidence is no option"):
        detector.stream([image], confidence=0.5)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match=r"no attribute 'conf' to set.*detector\(image, conf=0\.5\)"):
        detector.conf = 0.5  # type: ignore[attr-defined]


def test_editors_and_help_see_the_declared_options() -> None:
    from edgecsp import options

    declared = list(THRESHOLDS)
    keywords = [each.name for each in inspect.signature(edgecsp.Detector.__call__).parameters.values()]
    assert keywords == ["self", "image", "settings", *declared]
    assert list(inspect.signature(edgecsp.Detector.stream).parameters)[-len(declared) :] == declared
    source = inspect.getsource(options)
    changes = source[source.index("class Changes(") :].partition('"""\n\n')[2].splitlines()
    listed = [line.split(":")[0].strip() for line in changes[: len(declared)]]
    assert listed == declared, "Changes and Thresholds have the same fields"


def test_use_after_close_is_a_sentence(image: Any) -> None:
    detector = edgecsp.load("codes", "ort")
    detector.close()
    detector.close()
    for call in (lambda: detector(image), lambda: detector([image] * 40), lambda: detector.stream(image)):
        with pytest.raises(UsageError, match=r"the detector of codes is closed; open another: edgecsp\.load"):
            call()


# -- results -------------------------------------------------------------------------------------------------------


def test_boxes_in_other_forms_and_fewer_of_them(detector: edgecsp.Detector, image: Any) -> None:
    result = detector(image)
    x0, y0, x1, y1 = result.xyxy[0].tolist()
    assert result.xywh[0].tolist() == pytest.approx([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
    assert result.xyxyn[0].tolist() == pytest.approx([x0 / 640, y0 / 480, x1 / 640, y1 / 480])
    assert len(result) == 2 and repr(result) == "<Detections: 1 qr, 1 barcode in image, 640x480>"
    for fewer in (
        result["qr"],
        result[result.labels == "qr"],
        result[result.scores >= result.scores[0]],
        result[["QR", "aztec"]],
    ):
        assert fewer.labels.tolist() == ["qr"] and fewer.path == "image"
    with pytest.raises(UnknownName, match="no class of this result is called 'cat'"):
        result["cat"]
    assert set(result.speed) == {"preprocess", "inference", "postprocess"} and min(result.speed.values()) > 0


def test_crops(detector: edgecsp.Detector, image: Any, tmp_path: Path) -> None:
    result = detector(image)
    qr, barcode = result.crop()
    for crop, box in zip((qr, barcode), result.xyxy):
        (x0, y0), (x1, y1) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
        assert np.array_equal(crop, image[y0:y1, x0:x1]) and not np.shares_memory(crop, image)
    paths = result.save_crops(tmp_path) + result.save_crops(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    assert names == ["qr/image.png", "barcode/image.png", "qr/image-2.png", "barcode/image-2.png"]
    assert np.array_equal(cv2.imread(str(paths[0])), qr)


def test_plot_draws_on_a_copy(detector: edgecsp.Detector, image: Any) -> None:
    before = image.copy()
    plotted = detector(image).plot()
    assert np.array_equal(image, before) and plotted.shape == image.shape
    changed = np.abs(plotted.astype(int) - image).sum(2) > 30
    x0, y0, x1, y1 = detector(image).xyxy[0].round().astype(int)
    assert changed[y0:y1, x0].mean() > 0.9 and changed[y0:y1, x1].mean() > 0.9, "the sides of the box"
    assert not changed[320:].any(), "nothing is below the codes"


def test_save_writes_the_annotated_image(detector: edgecsp.Detector, photos: Path) -> None:
    result = detector("photos/a.png")
    assert result.save("out.png") == Path("out.png") and np.array_equal(cv2.imread("out.png"), result.plot())
    assert result.save("out") == Path("out/a.png") and result.save("out") == Path("out/a-2.png")
    with pytest.raises(UsageError, match="would replace a source"):
        result.save("photos/a.png")
    frames = [result.save("frames") for _, result in detector.stream("video.mp4")]
    assert frames == [Path(f"frames/video_{index}.png") for index in range(4)]


def test_show_says_so_without_a_display(
    detector: edgecsp.Detector, image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UsageError, match="no display here"):
        detector(image).show()


def test_show_shows_the_plot(detector: edgecsp.Detector, image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: List[Any] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append((title, image)))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda title, which: 1.0)
    result = detector(image)
    result.show(wait_ms=1)
    assert shown[0][0] == "image" and np.array_equal(shown[0][1], result.plot())


def test_json_is_that_of_the_command_line(detector: edgecsp.Detector, photos: Path) -> None:
    entry = json.loads(detector("photos/a.png").to_json())
    assert (entry["source"], entry["width"], entry["height"]) == ("photos/a.png", 640, 480)
    assert [row["label"] for row in entry["detections"]] == ["qr", "barcode"]
    assert detector("photos/a.png").to_dict() == entry
    frames = [json.loads(result.to_json()) for _, result in detector.stream("video.mp4")]
    assert [frame["frame"] for frame in frames] == [0, 1, 2, 3] and frames[1]["pts_s"] == pytest.approx(
        1 / 30, abs=1e-4
    )


def test_a_table(detector: edgecsp.Detector, photos: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    results = detector(["photos/a.png", "photos/b.png"])
    table = pandas.concat([each.to_df() for each in results if len(each)])
    columns = ["source", "frame", "pts_s", "class_id", "label", "score", "x0", "y0", "x1", "y1"]
    assert list(table.columns) == columns == list(results[1].to_df().columns)
    assert table.label.tolist() == ["qr", "barcode"] and set(table.source) == {"photos/a.png"}
    assert table[["x0", "y0", "x1", "y1"]].to_numpy()[0] == pytest.approx(results[0].xyxy[0], abs=0.01)


def test_yolo_text_and_labelme_and_coco(detector: edgecsp.Detector, photos: Path) -> None:
    result = detector("photos/a.png")
    x0, y0, x1, y1 = QR
    lines = [[float(word) for word in line.split()] for line in result.to_yolo(conf=True).splitlines()]
    wanted = [0, (x0 + x1) / 2 / 640, (y0 + y1) / 2 / 480, (x1 - x0) / 640, (y1 - y0) / 480, result.scores[0]]
    assert lines[0] == pytest.approx(wanted, abs=0.01) and lines[1][0] == 4
    assert [len(line.split()) for line in result.to_yolo().splitlines()] == [5, 5]
    about = result.to_labelme()
    assert (about["imagePath"], about["imageHeight"], about["imageWidth"]) == ("photos/a.png", 480, 640)
    assert [each["label"] for each in about["shapes"]] == ["qr", "barcode"]
    assert np.ravel(about["shapes"][0]["points"]) == pytest.approx(QR, abs=8)
    rows = result.to_coco()
    assert [(row["image_id"], row["category_id"]) for row in rows] == [("a", 1), ("a", 5)]
    assert rows[0]["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=8)
    assert result.to_coco(image_id=7)[0]["image_id"] == 7


def test_supervision_and_back(detector: edgecsp.Detector, image: Any) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    result = detector(image)
    other = result.to_supervision()
    assert isinstance(other, supervision.Detections) and other["class_name"].tolist() == ["qr", "barcode"]
    assert np.array_equal(other.xyxy, result.xyxy) and np.array_equal(other.confidence, result.scores)
    drawn = supervision.BoxAnnotator().annotate(image.copy(), other)
    assert (drawn != image).any()
    back = edgecsp.Detections.from_supervision(other[other.confidence > 0][::-1])
    assert np.array_equal(back.xyxy, result.xyxy) and back.labels.tolist() == ["qr", "barcode"]
    assert back.counts() == result.counts() and repr(back) == "<Detections: 1 qr, 1 barcode>"
    assert len(edgecsp.Detections.from_supervision(supervision.Detections.empty())) == 0
    with pytest.raises(UsageError, match="does not know its image"):
        back.plot()
    assert np.array_equal(back.plot(image), result.plot())
    assert len(edgecsp.Detections.empty().to_supervision()) == 0


def test_conversions_name_the_package_that_they_need(
    detector: edgecsp.Detector, image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = detector(image)
    for name in ("pandas", "polars", "supervision"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="needs pandas or polars, not installed here; type: pip install pandas"):
        result.to_df()
    with pytest.raises(UsageError, match="needs supervision, not installed here; type: pip install supervision"):
        result.to_supervision()


def test_polars_stands_in_for_pandas(detector: edgecsp.Detector, image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Polars:
        DataFrame = dict

    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", Polars)
    assert detector(image).to_df()["label"] == ["qr", "barcode"]


def test_a_classifier_has_rows_and_no_boxes() -> None:
    best = edgecsp.Classes(np.array((0.75, 0.25), np.float32), np.array((1, 0), np.int32), ("cat", "dog"))
    assert [(each.label, each.score) for each in best] == [("dog", 0.75), ("cat", 0.25)]
    assert repr(best) == "<Classes: dog 0.750, cat 0.250>" and best["cat"].scores.tolist() == [0.25]
    assert best.counts() == {"dog": 1} and best[0].labels.tolist() == ["dog"]
    for convert in (best.to_yolo, best.to_supervision, best.to_labelme, best.to_coco):
        with pytest.raises(UsageError, match="boxes"):
            convert()


def test_label_of_an_id_has_another_name(detector: edgecsp.Detector, image: Any) -> None:
    result = detector(image)
    with pytest.warns(DeprecationWarning, match=r"Result\.label is deprecated.*0\.3; use Result\.name_of"):
        assert result.label(4) == "barcode"
    assert result.name_of(4) == result.names[4] == "barcode" and result.name_of(99) == "class99"


# -- what results hold ---------------------------------------------------------------------------------------------


def test_results_of_files_and_videos_hold_no_images(detector: edgecsp.Detector, photos: Path) -> None:
    results = [result for _, result in detector.stream("photos/a.png", "video.mp4")]  # in whatever order they come
    gc.collect()
    (photo,) = [result for result in results if result.path == "photos/a.png"]
    assert photo.image.shape == (480, 640, 3), "an image file is read again"
    last = [result for result in results if result.path == "video.mp4"][-1]
    with pytest.raises(UsageError, match=r"the image of frame 3 of video\.mp4 has gone with its frame"):
        last.plot()
    (again,) = detector(["photos/a.png"])
    Path("photos/a.png").unlink()
    with pytest.raises(SourceError, match=r"a\.png"):
        _ = again.image


def test_a_stream_that_nobody_iterates_opens_nothing(detector: edgecsp.Detector) -> None:
    detector.stream("no such file")
    with pytest.raises(SourceError, match="no such file"):
        next(iter(detector.stream("no such file")))


def test_an_array_is_held_by_the_result_of_a_call_alone(detector: edgecsp.Detector, image: Any) -> None:
    def alive(keep: Any) -> bool:
        mine = image.copy()
        reference = weakref.ref(mine)
        kept = keep(mine)
        del mine
        gc.collect()
        return reference() is not None and kept is not None

    assert alive(detector) and alive(lambda each: detector([each]))
    assert not alive(lambda each: [result for _, result in detector.stream([each])])


def test_a_result_goes_to_another_process(detector: edgecsp.Detector, photos: Path, image: Any) -> None:
    for result in (detector("photos/a.png"), detector(image)):
        again = pickle.loads(pickle.dumps(result))
        check(again)
        assert np.array_equal(again.image, image) and again.path == result.path
    for _, result in detector.stream("video.mp4"):
        again = pickle.loads(pickle.dumps(result))
        assert len(again) == 2 and again.path == "video.mp4"
        with pytest.raises(UsageError, match="has gone with its frame"):
            _ = again.image


# -- async, threads, and what there is -----------------------------------------------------------------------------


def test_async_calls_leave_the_loop_free(detector: edgecsp.Detector, photos: Path, image: Any) -> None:
    async def main() -> List[Any]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        results = await asyncio.gather(
            detector.adetect(image), detector.adetect("photos/a.png", classes="qr"), detector.adetect([image])
        )
        ticking.cancel()
        assert ticks > 3
        return results

    first, second, (third,) = asyncio.run(main())
    check(first)
    check(third)
    assert second.counts() == {"qr": 1}


def test_threads_share_a_detector(detector: edgecsp.Detector, image: Any) -> None:
    results: Dict[int, Any] = {}
    threads = [threading.Thread(target=lambda i=i: results.update({i: detector(image)})) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for result in results.values():
        check(result)


def test_models_engines_and_options() -> None:
    assert "codes" in edgecsp.models() and "yolov4-tiny" in edgecsp.models()
    assert "ort" in edgecsp.engines() and "null" not in edgecsp.engines()
    with edgecsp.load("codes", engine=edgecsp.engines()[-1], conf=0.5) as detector:
        assert detector.settings.conf == 0.5
    assert edgecsp.Options(conf=0.5).conf == 0.5


def test_many_images_are_computed_side_by_side(image: Any) -> None:
    if cpu.threads() < 2:
        pytest.skip("this machine has one core")
    with edgecsp.load("codes", "ort", threads=2) as detector:
        few = detector([image] * 2)
        assert detector._for_many is None, "two are not worth a second session"
        many = detector([image] * 40, conf=0.9)
        assert detector._for_many is not None and detector._for_many.session.concurrency == 2
        assert detector.session.concurrency == 1
        assert len(many) == 40 and len(list(detector.stream([image] * 40))) == 40
        for result in many:
            assert np.allclose(result.xyxy, few[0].xyxy, atol=0.01) and np.allclose(
                result.scores, few[0].scores, atol=1e-4
            )
        second = detector._for_many
    with pytest.raises(UsageError, match="is closed"):
        second(image)
    with edgecsp.load("codes", "ort", threads=2, concurrency=2) as detector:
        assert len(detector([image] * 40)) == 40 and detector._for_many is None
