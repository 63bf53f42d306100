"""The maintainer scripts of the Debian package, without a package: their language, and what they share with others."""

import re
import subprocess
from pathlib import Path

import pytest
from packages import tree
from packages.deb import DEBIAN, MAINTAINER_SCRIPTS

from daemon.config import places
from tests.helpers.daemon import ROOT
from tests.systemd.packaged import LATER

STEPS = (DEBIAN / "steps.sh").read_text()
INSTALL = (ROOT / "scripts/install").read_text()


def parts_of_scripts_install() -> list[str]:
    """Return the files and folders that scripts/install copies to /opt/perceptd."""
    (parts,) = re.findall(r"^readonly parts=\(((?:.|\n)*?)\)$", INSTALL, re.MULTILINE)
    return str(parts).split()


@pytest.mark.parametrize("name", MAINTAINER_SCRIPTS)
def test_a_script_is_one_for_the_shell_of_debian(tmp_path: Path, name: str) -> None:
    text = (DEBIAN / name).read_text()
    assert text.startswith("#!/bin/sh\n") and text.count("\n@STEPS@\n") == 1 and "\nset -e\n" in text
    script = tmp_path / name
    script.write_text(text.replace("@STEPS@", STEPS))
    # an action that it does not know, as of a later dpkg: it does nothing
    done = subprocess.run(["dash", script, "unknown-action"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compiling_says_so_before_it_begins(tmp_path: Path) -> None:
    python = tmp_path / ".venv/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho compiled\nexit 1\n")
    python.chmod(0o755)
    script = f"set -e\n{STEPS}\nprogram={tmp_path}\ncompile_bytecode"
    done = subprocess.run(["dash", "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("compiling the Python modules of perceptd, which takes") and second == "compiled"


@pytest.mark.parametrize(
    ("group", "rule", "goes"),
    [
        ("apex:x:990:", "", True),
        ("apex:x:990:sam", "", False),
        ("apex:x:990:", 'SUBSYSTEM=="apex", GROUP="apex"', False),
        ("", "", False),
    ],
)
def test_a_removal_takes_the_group_of_edge_tpus_where_nothing_else_uses_it(
    tmp_path: Path, group: str, rule: str, *, goes: bool
) -> None:
    (tmp_path / "65-apex.rules").write_text(rule)
    getent = f"getent() {{ echo '{group}'; }}" if group else "getent() { return 2; }"
    groupdel = 'groupdel() { echo removed "$@"; }'
    script = f"set -e\n{STEPS}\nudev_rules={tmp_path}\n{getent}\n{groupdel}\nremove_apex\necho done"
    done = subprocess.run(["dash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ("removed apex\n" if goes else "") + "done\n"


def test_scripts_install_installs_all_that_the_package_has_of_a_checkout() -> None:
    assert set(tree.PARTS) <= set(parts_of_scripts_install())


def test_a_take_over_removes_all_that_scripts_install_installs() -> None:
    (removed,) = re.findall(r"for part in ((?:.|\\\n)*?); do\n +rm -rf \"\$\{program", STEPS)
    names = removed.replace("\\\n", " ").split()
    assert sorted(names) == sorted([*parts_of_scripts_install(), ".venv"])
    assert names[-1] == "scripts", "it tells whether the take-over was completed"
    assert set(re.findall(r"/etc/(?:sysusers|udev)\S+", INSTALL)) <= set(
        re.findall(r"/etc/(?:sysusers|udev)\S+", STEPS)
    )


def test_scripts_and_program_agree_on_places() -> None:
    for name, path in (("settings", places.SERVICE_CONFIG.parent), ("state", places.SERVICE_STATE)):
        assert f"\n{name}={path}\n" in STEPS
    assert f"\npage_state={places.PAGE_STATE}\n" in STEPS
    assert f"\nown_units={places.UNIT_DIRECTORY}\n" in STEPS


def test_the_later_version_of_the_campaign_is_made_of_this_one() -> None:
    for name, edits in LATER.items():
        text = (ROOT / "daemon" / name).read_text()
        assert [text.count(before) for before, _after in edits] == [1] * len(edits), name
