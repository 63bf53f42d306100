"""GPUs, in directory trees like a machine's."""

import os
from pathlib import Path

import pytest

from daemon.doctor.machine import access_remedy, gpu_findings, group_of
from tests.inference.test_hardware import touch

RELEASE = "# R36 (release), REVISION: 4.0, GCID: 37537400\n"


def test_no_gpu_is_needed(tmp_path: Path) -> None:
    (finding,) = gpu_findings(tmp_path)
    assert (finding.level, finding.found) == ("good", "no GPU found, none needed")


def test_a_jetson_and_its_nodes(tmp_path: Path) -> None:
    touch(tmp_path, "etc/nv_tegra_release")[0].write_text(RELEASE)
    nodes = touch(tmp_path, "dev/nvmap", "dev/dri/renderD128")
    findings = list(gpu_findings(tmp_path))
    assert [(finding.check, finding.level) for finding in findings] == [
        ("jetson", "good"),
        ("gpu nvmap", "good"),
        ("gpu renderD128", "good"),
    ]
    assert [finding.found for finding in findings] == ["Jetson Linux R36.4.0", *map(str, nodes)]


def test_a_jetson_without_nodes(tmp_path: Path) -> None:
    touch(tmp_path, "etc/nv_tegra_release")[0].write_text(RELEASE)
    (finding,) = gpu_findings(tmp_path)
    assert finding.level == "warning"
    assert "--runtime nvidia" in (finding.remedy or "")


def test_a_forbidden_gpu_node_names_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (node,) = touch(tmp_path, "dev/nvhost-gpu")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, as which tests may run, may use everything
    (finding,) = gpu_findings(tmp_path)
    assert (finding.level, finding.remedy) == ("warning", access_remedy(group_of(node)))


@pytest.mark.parametrize(("group", "remedy"), [("video", "usermod -aG video"), ("root", "udev rule")])
def test_remedies(group: str, remedy: str) -> None:
    assert remedy in access_remedy(group)


def test_groups_of_nodes(tmp_path: Path) -> None:
    assert group_of(Path("/dev/null")) == "root"
    assert group_of(tmp_path / "none") == "video"
