"""What can be told about the deployment's files without an engine that runs them."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.main import create_app
from app.parts import build_parts
from app.sandbox.config import sandbox_config
from app.section import LOOPBACK
from app.settings import Settings
from app.settings.configuration import build_settings, read_yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = (ROOT / "docker-compose.yml", DEPLOY / "compose" / "own-models.yml")
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((DEPLOY / "prometheus").glob("*.yml"))
TOOLS = Path(sys.executable).parent
WELL_KNOWN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is missing; Debian: apt-get install prometheus",
)


def run(*command: str | Path) -> str:
    ran = subprocess.run(  # noqa: S603
        list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, lines joined: the word and the rest."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_is_small_unprivileged_and_says_how_it_is() -> None:
    words = [word for word, _ in instructions()]
    last = words[len(words) - 1 - words[::-1].index("FROM") :]
    of = dict(instructions()[-len(last) :])

    assert "ADD" not in words, "ADD fetches and unpacks; COPY does what it says"
    assert words.count("FROM") == 2, "what builds stays behind"
    assert of["USER"].split(":")[0].isdigit(), "Kubernetes tells root by the number"
    assert int(of["USER"].split(":")[0]) >= 10000
    assert "/healthz" in of["HEALTHCHECK"]
    assert of["ENTRYPOINT"] == '["autoshift"]', "as a list: signals reach it"
    assert of["STOPSIGNAL"] == "SIGTERM"
    assert not any("pip" in rest or "apt" in rest for word, rest in instructions() if word == "ENV")


def test_the_image_is_built_from_what_is_pinned() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+):(\S+)$", text, re.MULTILINE)

    assert base is not None
    assert base.group(2) != "latest"
    assert all(
        rest.startswith("${PYTHON_IMAGE}") for word, rest in instructions() if word == "FROM"
    )
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in rest or "--no-deps" in rest for rest in installs)
    assert not any("curl" in rest or "wget" in rest for _, rest in instructions())


def test_the_image_gets_only_what_it_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]

    assert ignored[0] == "*", "nothing goes in unless it is named: no keys, no records"
    assert sorted(copied) == sorted(line[1:] for line in ignored if line.startswith("!"))
    assert all((ROOT / source).exists() for source in copied)


def test_compose_files_are_as_compose_wants_them() -> None:
    assert "ok" in run(
        TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE
    )


def services() -> dict[str, Any]:
    found: dict[str, Any] = loaded(COMPOSE[0])["services"]
    return found


def test_compose_publishes_only_to_this_machine_and_pins_what_it_runs() -> None:
    assert set(services()) == {"gateway", "qdrant", "prometheus", "grafana"}
    for name, service in services().items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert name == "gateway" or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_compose_mounts_what_is_there() -> None:
    mounted = [
        volume.split(":")[0] for service in services().values() for volume in service["volumes"]
    ]
    ours = [source for source in mounted if source.startswith("./")]

    assert ours
    assert all((ROOT / source).exists() for source in ours)
    assert {source for source in mounted if not source.startswith("./")} == set(
        loaded(COMPOSE[0])["volumes"]
    )


def compose_settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the gateway of the compose file is configured to be."""
    for name, value in services()["gateway"]["environment"].items():
        default = re.fullmatch(r"\$\{\w+:-(.*)\}", value)
        monkeypatch.setenv(name, default.group(1) if default else value)
    values = {**read_yaml(sandbox_config()), "providers": {"sandbox": {"base_url": "http://s/v1"}}}
    return build_settings(values)


def test_the_gateway_of_the_compose_file_would_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = compose_settings(monkeypatch)

    assert settings.server.host == "0.0.0.0"  # noqa: S104 - inside its container
    assert settings.keys, "whoever reaches it from other containers needs a key"
    assert settings.simulated
    assert settings.store.url == "http://qdrant:6333"
    assert settings.server.admin is not None
    scraped = loaded(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"][0]
    assert scraped["static_configs"][0]["targets"] == [f"gateway:{settings.server.admin.port}"]
    assert int(services()["gateway"]["stop_grace_period"].rstrip("s")) > settings.server.drain_s
    store = settings.store.model_copy(update={"path": tmp_path, "url": None})
    create_app(settings.model_copy(update={"store": store}))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_would_take_the_manifests(manifest: Path) -> None:
    run(TOOLS / "kubernetes-validate", "--strict", "--quiet", manifest)


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in MANIFESTS:
        for each in yaml.safe_load_all(manifest.read_text("utf-8")):
            yield manifest.name, each


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, each in objects():
        if each["kind"] in {"Deployment", "StatefulSet"}:
            yield name, each["spec"]["template"]["spec"]


def test_what_kubernetes_runs_is_unprivileged_bounded_and_probed() -> None:
    for name, pod in pods():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"], name
            assert "memory" in container["resources"]["limits"], name
            assert re.search(r":v?\d+\.\d+\.\d+", container["image"]), name
            if container["name"] != "application":
                assert {"startupProbe", "livenessProbe"} <= set(container), name


def test_the_configurations_in_the_manifests_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found: dict[str, Settings] = {}
    for name, each in objects():
        if each["kind"] == "ConfigMap":
            file = tmp_path / name
            file.write_text(each["data"]["autoshift.yaml"])
            found[name] = build_settings(read_yaml(file))
    for variable in ("OPENAI_API_KEY", "QDRANT_API_KEY", "TEAM_A_KEY"):
        monkeypatch.setenv(variable, f"of-{variable.lower()}-{'0' * 24}")
    for settings in found.values():
        store = settings.store.model_copy(update={"path": tmp_path, "url": None})
        build_parts(settings.model_copy(update={"store": store}))

    shared, sidecar = found["shared.yaml"], found["sidecar.yaml"]
    assert sidecar.server.host in LOOPBACK
    assert not sidecar.keys
    assert shared.keys
    pod = dict(pods())["shared.yaml"]
    assert pod["terminationGracePeriodSeconds"] > shared.server.drain_s + 10
    assert shared.server.admin is not None
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert ports == {"http": shared.server.port, "admin": shared.server.admin.port}


def test_the_shared_deployment_scales_survives_drains_and_is_fenced_in() -> None:
    kinds = [each["kind"] for name, each in objects() if name == "shared.yaml"]

    wanted = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert wanted | {"NetworkPolicy", "ConfigMap", "ServiceAccount"} == set(kinds)


@promtool
def test_prometheus_takes_its_configuration_rules_and_alerts() -> None:
    folder = DEPLOY / "prometheus"
    run("promtool", "check", "config", "--lint=all", "--lint-fatal", folder / "prometheus.yml")
    run("promtool", "check", "rules", folder / "rules.yml", folder / "alerts.yml")


@promtool
def test_the_alerts_go_off_when_they_should() -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", DEPLOY / "prometheus" / "alerts_test.yml")


def test_every_alert_is_tested() -> None:
    groups = loaded(DEPLOY / "prometheus" / "alerts.yml")["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    tests = loaded(DEPLOY / "prometheus" / "alerts_test.yml")["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }

    assert alerts == fired


def panels() -> Iterator[dict[str, Any]]:
    for dashboard in DASHBOARDS:
        yield from (
            panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"
        )


def expressions() -> Iterator[str]:
    """Every PromQL expression, of the dashboards, the rules and the alerts."""
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h")
            yield text.replace("$job", ".*")
    for file in RULES:
        for group in loaded(file).get("groups", []):
            yield from (rule["expr"] for rule in group["rules"])


def test_every_metric_that_is_drawn_or_watched_is_one_that_we_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = compose_settings(monkeypatch)
    store = settings.store.model_copy(update={"path": tmp_path, "url": None})
    text = build_parts(settings.model_copy(update={"store": store})).metrics.render()[0].decode()
    have = set()
    for family in text_string_to_metric_families(text):
        endings = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
            "summary": ("_sum", "_count"),
        }.get(family.type, ("",))
        have |= {f"{family.name}{ending}" for ending in endings}
    quoted = re.compile(r"\"[^\"]*\"|\{[^}]*\}|\[[^\]]*\]")
    named = {
        name
        for expression in expressions()
        for name in re.findall(r"\b(?:autoshift|process)_\w+", quoted.sub("", expression))
    }

    assert named
    assert sorted(named - have - WELL_KNOWN) == []


@promtool
def test_what_the_dashboard_asks_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    assert f"SUCCESS: {len(rules)} rules found" in run("promtool", "check", "rules", file)


def test_the_dashboard_is_one_that_grafana_finds() -> None:
    provisioned = loaded(DEPLOY / "grafana" / "provisioning" / "dashboards" / "autoshift.yml")
    mounted = dict(volume.split(":")[:2] for volume in services()["grafana"]["volumes"])
    ids = [panel["id"] for panel in panels()]

    assert provisioned["providers"][0]["options"]["path"] == mounted["./deploy/grafana/dashboards"]
    assert len(ids) == len(set(ids))
    assert all(panel["title"] and panel["targets"] for panel in panels())
    places = [tuple(panel["gridPos"].values()) for panel in panels()]
    assert all(x + width <= 24 for _, width, x, _ in places)
    assert len(places) == len(set(places))
