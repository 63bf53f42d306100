"""docs/monitoring: its rules, its board and its table of metrics, with a real Prometheus and a real node."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.node.metrics import render
from tests.docs.pages import DOCS, rows, sections
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import wait_until
from tests.helpers.ports import free_port
from tests.helpers.prometheus import Prometheus
from tests.node.test_daemon import write_clip
from tests.node.test_metrics import a_health, observed, some_models

# one server for all tests
pytestmark = pytest.mark.xdist_group("monitoring")

PLACE = DOCS / "monitoring"
RULES = PLACE / "alerts.yml"

BOARD = json.loads((PLACE / "grafana.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]

# what Grafana puts into the queries of the board
VARIABLES = {"$__rate_interval": "1m", "$instance": ".+"}

# a node that is well drops nothing
EMPTY_WHEN_WELL = "perceptd_dropped_total"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a node which plays a recording."""
    directory, address = tmp_path_factory.mktemp("monitored"), f"127.0.0.1:{free_port()}"
    write_bundle(directory / "bundle")
    write_clip(directory / "clip.mp4", 30)
    token = directory / "token"
    token.write_text("s3cret\n")
    token.chmod(0o600)
    config = {
        "node": "monitored",
        "bundle": str(directory / "bundle"),
        "mqtt": {"port": free_port(), "recognitions": {"publish": "every"}},
        "streams": {"s": {"replay": {"file": str(directory / "clip.mp4"), "loop": True}}},
        "metrics": {"listen": address, "token_file": "token"},
    }
    with DaemonProcess(config, directory), Prometheus(address, token, RULES) as prometheus:
        enough = "count_over_time(perceptd_publish_latency_seconds_count[1m]) > 2"
        wait_until(lambda: prometheus.query(enough), "the node is scraped")
        yield prometheus


def filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


@pytest.mark.parametrize("expression", QUERIES)
def test_each_query_of_the_board_gives_what_it_shows(prometheus: Prometheus, expression: str) -> None:
    found = prometheus.query(filled(expression))
    assert found or EMPTY_WHEN_WELL in expression
    assert all("nan" not in series["value"][1].lower() for series in found)


def test_the_board_finds_the_node(prometheus: Prometheus) -> None:
    (node,) = prometheus.query("perceptd_node_info")
    assert node["metric"]["node"] == "monitored"
    (variable,) = [each for each in BOARD["templating"]["list"] if each["name"] == "instance"]
    assert variable["query"]["query"] == "label_values(perceptd_node_info, instance)"


def test_no_rule_fires_for_a_node_that_is_well(prometheus: Prometheus) -> None:
    found = prometheus.rules()
    assert len(found) == 6
    for rule in found:
        assert prometheus.query(rule["query"]) == [], rule["name"]


def test_the_rules_hold_what_promtool_checks() -> None:
    for command in (["check", "rules", str(RULES)], ["test", "rules", str(Path(__file__).parent / "alerts_test.yml")]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_lists_each_alert() -> None:
    alerts = re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))
    listed = [row[0].strip("`") for row in rows(sections("monitoring/README.md")["Prometheus"])]
    assert listed == alerts


def test_the_page_lists_each_metric_with_its_labels() -> None:
    _, text = render(observed(a_health(), some_models()), "")
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^perceptd_(\w+)(?:\{(.*)\})? ", text.decode(), re.MULTILINE):
        name = re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name)
        found.setdefault(name, set()).update(set(re.findall(r'(\w+)="', labels)) - {"le"})
    listed = {
        name: set(re.findall(r"`(\w+)`", labels))
        for names, labels, _ in rows(sections("monitoring/README.md")["The metrics"])
        for name in re.findall(r"`(\w+)`", names)
    }
    assert listed == found
