"""KServe's protocol, by Triton's own client and by hand."""

from __future__ import annotations

import base64
import json
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp import pipeline
from support import images, served
from support.tiny import Tiny

BASE = "/v2/models/tiny"


@pytest.fixture(scope="module")
def site(tiny: Tiny) -> Iterator[served.Site]:
    with served.served(tiny.model) as running:
        yield running


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return images.gradient()


def infer(site: served.Site, said: Any, rest: bytes = b"", **headers: str) -> served.Answer:
    head = json.dumps(said).encode()
    if rest:
        headers.setdefault("Inference-Header-Content-Length", str(len(head)))
    return site.ask(f"{BASE}/infer", head + rest, headers=headers)


def raw(tiny: Tiny, **changes: Any) -> Dict[str, Any]:
    return {
        "name": "images",
        "datatype": "FP32",
        "shape": [1, 3, 64, 64],
        "data": tiny.batch.ravel().tolist(),
        **changes,
    }


def test_health_and_metadata(site: served.Site) -> None:
    assert site.ask("/v2").json["extensions"] == ["binary_tensor_data"]
    assert site.ask("/v2/health/live").status == site.ask("/v2/health/ready").status == 200
    assert site.ask(f"{BASE}/ready").json == {"name": "tiny", "ready": True}
    said = site.ask(BASE).json
    assert said == site.ask(f"{BASE}/versions/1").json
    assert said["inputs"][0] == {"name": "images", "datatype": "FP32", "shape": [1, 3, 64, 64]}
    assert said["inputs"][1]["datatype"] == "BYTES"
    assert [each["name"] for each in said["outputs"]][-4:] == ["boxes", "scores", "class_ids", "labels"]
    assert site.ask("/v2/models/other/ready").status == site.ask(f"{BASE}/versions/2").status == 404


def test_raw_tensors_are_the_sessions(site: served.Site, tiny: Tiny) -> None:
    with pipeline.load(tiny.model, "ort", threads=1) as detector:
        wanted = detector.infer(tiny.batch)
    said = infer(site, {"id": "7", "inputs": [raw(tiny)]}).json
    assert said["id"] == "7" and said["model_name"] == "tiny"
    for head, output, array in zip(tiny.model.heads, said["outputs"], wanted):
        assert output["name"] == head.name and output["shape"] == list(array.shape)
        assert np.array_equal(np.array(output["data"], np.float32).reshape(output["shape"]), array)
    behind = infer(
        site,
        {
            "inputs": [{**raw(tiny), "data": None, "parameters": {"binary_data_size": tiny.batch.nbytes}}],
            "outputs": [{"name": tiny.model.heads[1].name, "parameters": {"binary_data": True}}],
        },
        tiny.batch.tobytes(),
    )
    length = int(behind.headers["inference-header-content-length"])
    entry = json.loads(behind.body[:length])["outputs"]
    assert [each["name"] for each in entry] == [tiny.model.heads[1].name]
    assert entry[0]["parameters"]["binary_data_size"] == len(behind.body) - length
    assert np.array_equal(np.frombuffer(behind.body[length:], "<f4").reshape(entry[0]["shape"]), wanted[1])


def test_a_picture_gives_boxes(site: served.Site, tiny: Tiny, image: np.ndarray) -> None:
    with pipeline.load(tiny.model, "ort", threads=1, conf=0.001, classes=["class0", "class2"]) as detector:
        wanted = detector(image)
    assert len(wanted) > 2
    given = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1],
        "data": [base64.b64encode(served.encoded(image)).decode()],
    }
    said = infer(site, {"inputs": [given], "parameters": {"conf": 0.001, "classes": "class0,2"}}).json
    columns = {each["name"]: each for each in said["outputs"]}
    assert columns["boxes"]["shape"] == [len(wanted), 4] and columns["labels"]["datatype"] == "BYTES"
    assert np.allclose(np.array(columns["boxes"]["data"]).reshape(-1, 4), wanted.xyxy)
    assert columns["class_ids"]["data"] == wanted.class_ids.tolist()
    assert columns["labels"]["data"] == [wanted.name_of(i) for i in wanted.class_ids]


PICTURE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["/9j/"]}
TENSOR = {"name": "images", "datatype": "FP32", "shape": [1, 3, 64, 64]}
CASES: List[Any] = [
    ({}, "inputs"), ([], "JSON object"), ({"inputs": []}, "0 inputs"), ({"inputs": [1]}, "JSON object"),
    ({"inputs": [{"name": "data"}]}, "takes images or image"), ({"inputs": [{"name": "images"}]}, "must be FP32"),
    ({"inputs": [{"name": "images", "datatype": "FP16"}]}, "must be FP32"),
    ({"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 32, 32]}]}, r"[1, 3, 64, 64]"),
    ({"inputs": [{"name": "images", "datatype": "FP32", "shape": [True, 3, 64, 64]}]}, "must be"),
    ({"inputs": [{**TENSOR, "data": [1, 2]}]}, "2 numbers"),
    ({"inputs": [{**TENSOR, "data": [[1], [1, 2]]}]}, "not numbers"),
    ({"inputs": [{**TENSOR, "data": "x"}]}, "not numbers"),
    ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%%"]}]}, "base64"),
    ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["", ""]}]}, "one image"),
    ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [""]}]}, "empty"),
    ({"inputs": [PICTURE], "outputs": [{"name": "y"}]}, "no output"),
    ({"inputs": [PICTURE], "parameters": {"conf": 3}}, "conf"),
    ({"inputs": [{**PICTURE, "parameters": {"binary_data_size": 3}}]}, "follow"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "why"), CASES)
def test_what_cannot_be_meant_is_named(site: served.Site, said: Any, why: str) -> None:
    answer = infer(site, said)
    assert answer.status == 400 and why in answer.json["error"], answer.json


def test_bytes_that_do_not_fit_their_header(site: served.Site, tiny: Tiny) -> None:
    for length in ("x", "-1", "99999999"):
        assert site.ask(f"{BASE}/infer", b"{}", headers={"Inference-Header-Content-Length": length}).status == 400
    given = {**raw(tiny), "data": None, "parameters": {"binary_data_size": 8}}
    assert "8 bytes" in infer(site, {"inputs": [given]}, b"12345678").json["error"]
    given = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 8}}
    assert "length" in infer(site, {"inputs": [given]}, b"12345678").json["error"]
    assert "compressed" in site.ask(f"{BASE}/infer", b"x", headers={"Content-Encoding": "gzip"}).json["error"]


def test_numbers_that_json_lacks(site: served.Site, tiny: Tiny) -> None:
    given = raw(tiny, data=[3e38] * tiny.batch.size)
    plain = infer(site, {"inputs": [given]})
    assert plain.status == 400 and "binary_data" in plain.json["error"]
    assert infer(site, {"inputs": [given], "parameters": {"binary_data_output": True}}).status == 200


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.sampled_from(["images", "image", "FP32", "BYTES"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "name", "datatype", "shape", "data", "parameters", "outputs", "id"]), inner
        )
    ),
    max_leaves=12,
)


@given(said=JSON, rest=st.binary(max_size=12))
def test_no_request_is_a_crash(site: served.Site, said: Any, rest: bytes) -> None:
    assert infer(site, said, rest).status in (200, 400)


def test_tritons_client(site: served.Site, tiny: Tiny, image: np.ndarray) -> None:
    http = pytest.importorskip(
        "tritonclient.http", reason="tritonclient[http] is not installed: pip install 'tritonclient[http]'"
    )
    client = http.InferenceServerClient(f"127.0.0.1:{site.port}")
    try:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("tiny")
        assert client.get_server_metadata()["name"] == "edgecsp"
        said = client.get_model_metadata("tiny")
        tensor = http.InferInput(said["inputs"][0]["name"], said["inputs"][0]["shape"], said["inputs"][0]["datatype"])
        tensor.set_data_from_numpy(tiny.batch)
        answer = client.infer("tiny", [tensor])
        with pipeline.load(tiny.model, "ort", threads=1, conf=0.001) as detector:
            for head, array in zip(tiny.model.heads, detector.infer(tiny.batch)):
                assert np.array_equal(answer.as_numpy(head.name), array)
            wanted = detector(image)
        tensor.set_data_from_numpy(tiny.batch, binary_data=False)
        plain = client.infer(
            "tiny", [tensor], outputs=[http.InferRequestedOutput(tiny.model.heads[0].name, binary_data=False)]
        )
        assert np.array_equal(plain.as_numpy(tiny.model.heads[0].name), answer.as_numpy(tiny.model.heads[0].name))
        picture = http.InferInput("image", [1], "BYTES")
        picture.set_data_from_numpy(np.array([served.encoded(image)], np.object_))
        found = client.infer("tiny", [picture], request_id="a", parameters={"conf": 0.001})
        assert np.array_equal(found.as_numpy("boxes"), wanted.xyxy) and found.get_response()["id"] == "a"
        assert [name.decode() for name in found.as_numpy("labels")] == [wanted.name_of(i) for i in wanted.class_ids]
        with pytest.raises(Exception, match="no model named 'other'"):
            client.get_model_metadata("other")
    finally:
        client.close()


def test_a_detector_of_two_graphs_takes_pictures_alone(image: np.ndarray) -> None:
    model = pipeline.load("snet49-thundernet", "ort", weights="random", threads=1).model
    with served.served(model) as site:
        base = f"/v2/models/{model.name}"
        said = site.ask(base).json
        assert [each["name"] for each in said["inputs"]] == ["image"] and len(said["outputs"]) == 4
        data = [base64.b64encode(served.encoded(image)).decode()]
        given = {"name": "image", "datatype": "BYTES", "shape": [1], "data": data}
        answer = site.ask(f"{base}/infer", json.dumps({"inputs": [given]}).encode())
        assert answer.status == 200 and len(answer.json["outputs"]) == 4
