"""docker/'s compose file, dashboard and DaemonSet: each fits its schema, and names what edgecsp really has."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Set

import pytest

from edgecsp.serve import site
from edgecsp.serve.guard import ALIVE
from support.repository import REPO

DOCKER = REPO / "docker"


def load_yaml(path: Path) -> List[Any]:
    yaml = pytest.importorskip("yaml", reason="no PyYAML here: pip install pyyaml")
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document is not None]


def load_site(text: str, folder: Path) -> Any:
    """The site file as the server reads it, with its token beside it."""
    (folder / "token").write_text("0123456789abcdef")
    (folder / "token").chmod(0o600)
    (folder / "site.toml").write_text(text)
    return site.load(folder / "site.toml")


# -- compose


def compose() -> Any:
    (document,) = load_yaml(DOCKER / "compose.yaml")
    return document


def compose_schema() -> Any:
    """The Compose specification's own schema, which check-jsonschema brings."""
    found = importlib.util.find_spec("check_jsonschema")
    if found is None or found.origin is None:
        pytest.skip("no check-jsonschema here, which has the schema of compose files: pip install check-jsonschema")
    path = Path(found.origin).with_name("builtin_schemas") / "vendor" / "compose-spec.json"
    return json.loads(path.read_text("utf-8"))


def test_the_compose_file_fits_its_schema() -> None:
    schema = compose_schema()
    jsonschema = pytest.importorskip("jsonschema", reason="no jsonschema here")
    validator = jsonschema.validators.validator_for(schema)(schema)
    document = compose()
    assert [error.message for error in validator.iter_errors(document)] == []
    document["services"]["edgecsp"]["comand"] = ["up"]  # and a typing error does not
    assert [error.message for error in validator.iter_errors(document)] != []


def test_every_service_is_bounded_and_pinned() -> None:
    for name, service in compose()["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"] and service["pids_limit"], name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        if name != "edgecsp":
            assert re.fullmatch(r"[\w/-]+:[\w.-]+@sha256:[0-9a-f]{64}", service["image"]), name
            # What is not edgecsp's own is seen by this machine alone.
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert compose()["services"]["edgecsp"]["healthcheck"]["test"] == ["CMD", "edgecsp-health"]


def test_the_files_that_compose_mounts_are_there(tmp_path: Path) -> None:
    secrets = set()
    for service in compose()["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./compose/secrets/"):
                secrets.add(Path(source).name)
            elif source.startswith("./"):
                assert (DOCKER / source).exists(), source
            else:
                assert source in compose()["volumes"]
    page = (DOCKER / "README.md").read_text("utf-8")
    assert secrets == {"token", "prometheus-token"}
    assert all(f"secrets/{name}" in page for name in secrets)
    made = load_site((DOCKER / "compose" / "site.toml").read_text("utf-8"), tmp_path)
    assert made.broker is not None and made.broker.name == "mqtt://mosquitto:1883/site/box"
    assert made.host == "0.0.0.0"
    for name in ("prometheus.yml", "grafana-datasource.yaml", "grafana-dashboards.yaml"):
        assert len(load_yaml(DOCKER / "compose" / name)) == 1


# -- Kubernetes


def test_the_daemonset_fits_its_schema() -> None:
    try:
        validate = importlib.import_module("kubernetes_validate")
    except ImportError:
        pytest.skip("no kubernetes-validate here, which has Kubernetes' schemas: pip install kubernetes-validate")
    documents = load_yaml(DOCKER / "kubernetes" / "daemonset.yaml")
    assert [each["kind"] for each in documents] == ["Namespace", "ConfigMap", "DaemonSet"]
    for version in ("1.25", validate.latest_version()):
        for document in documents:
            validate.validate(document, version, strict=True)
    documents[2]["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(validate.ValidationError):
        validate.validate(documents[2], "1.25", strict=True)


def test_the_daemonset_asks_and_mounts_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, config, daemon = load_yaml(DOCKER / "kubernetes" / "daemonset.yaml")
    pod = daemon["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {
        container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    } == set(ALIVE)
    assert pod["securityContext"]["runAsUser"] == 10001 and container["securityContext"]["readOnlyRootFilesystem"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    for name in [each["name"] for each in container["env"]]:
        monkeypatch.setenv(name, "rtsp://camera/stream")
    text = config["data"]["site.toml"].replace("file:/run/secrets/edgecsp/token", "file:token")
    made = load_site(text, tmp_path)
    assert [view.name for view in made.stream_configs] == ["door"]
    assert container["args"] == ["up", "/etc/edgecsp/site.toml"]


# -- Grafana

DASHBOARD: Dict[str, Any] = json.loads((DOCKER / "grafana" / "edgecsp.json").read_text("utf-8"))
FUNCTIONS = {"sum", "count", "rate", "increase", "histogram_quantile", "by", "vector", "or", "le"}


def exported(tmp_path: Path) -> Set[str]:
    """Every metric that a server exports, by the names of its families and of a histogram's parts."""
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed (edgecsp[serve])")
    from edgecsp.serve.metrics import Metrics
    from edgecsp.system.jetson import Board

    engine = SimpleNamespace(model=SimpleNamespace(name="codes"), healthy=True, restarts=0, depth=0, observe=None)
    metrics = Metrics(engine, [], SimpleNamespace(listeners=0), board=Board(tmp_path))  # type: ignore[arg-type]
    metrics.mqtt = SimpleNamespace(connected=1, connects=1, sent=1, spool=_Spool())  # type: ignore[assignment]
    metrics.webhooks = SimpleNamespace(sent={}, dropped={}, waiting={})  # type: ignore[assignment]
    found = set()
    for line in metrics.render()[0].decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            found |= {name, *(f"{name}_{part}" for part in ("bucket", "sum", "count") if kind == "histogram")}
    return found


class _Spool:
    dropped = 0

    def __len__(self) -> int:
        return 0


def expressions() -> List[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_the_dashboard_asks_only_for_metrics_that_are_exported(tmp_path: Path) -> None:
    known = exported(tmp_path) | {"up"}  # Prometheus' own
    asked = [*expressions(), *(each["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query")]
    named = {name for text in asked for name in re.findall(r"\b(?:edgecsp|process)_\w+", text)}
    assert len(named) >= 20
    assert named <= known, named - known
    for text in expressions():
        bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)', " ", text)
        assert set(re.findall(r"[a-z_]\w+", bare)) <= known | FUNCTIONS, text


def test_the_dashboard_is_one() -> None:
    """The parts of Grafana's model that it uses: there is no published JSON schema to hold it against."""
    assert set(DASHBOARD) == {
        "uid", "title", "description", "tags", "schemaVersion", "version", "editable", "timezone", "refresh", "time",
        "templating", "annotations", "panels",
    }  # fmt: skip
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"]) and isinstance(DASHBOARD["schemaVersion"], int)
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    taken: Set[Any] = set()
    for panel in DASHBOARD["panels"]:
        assert set(panel) == {"id", "title", "type", "datasource", "gridPos", "targets", "fieldConfig", "options"}
        assert panel["type"] in ("stat", "timeseries")
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            text = target["expr"]
            assert all(text.count(a) == text.count(b) for a, b in ("()", "{}", "[]")), text
            assert set(re.findall(r"\$(\w+)", text)) <= variables, text
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
