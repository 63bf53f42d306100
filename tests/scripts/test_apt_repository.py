"""The apt repository: apt takes a package from it with the key, and refuses it with another key or after a change."""

import subprocess
from pathlib import Path

import pytest
from packages.repository import PUBLIC_KEY, write_repository
from packages.targets import Target, target_named

TARGETS = [target_named("deb12-amd64"), target_named("deb12-arm64"), target_named("deb13-amd64")]
TIME_S = 1_790_000_000


def made_deb(target: Target, directory: Path, version: str = "2") -> Path:
    """A package with nothing in it."""
    root = directory / f"{target.name}-{version}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN").chmod(0o755)
    (root / "DEBIAN/control").write_text(
        f"Package: perceptd\nVersion: {version}+deb{target.debian}\nArchitecture: {target.arch}\n"
        "Maintainer: nobody <nobody@localhost>\nDescription: recognition\n of nothing\n"
    )
    file = directory / f"perceptd_{version}+deb{target.debian}_{target.arch}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, file], check=True, capture_output=True)
    return file


def made_key(directory: Path, name: str) -> Path:
    """A secret key in a file, as the option --sign-apt takes it."""
    home = directory / f"gpg-{name}"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--batch", "--homedir", home, "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", f"{name} <{name}@localhost>", "ed25519"], check=True, capture_output=True)
    key = directory / f"{name}.key"
    subprocess.run([*gpg, "--armor", "--output", key, "--export-secret-keys"], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)
    return key


class Apt:
    """apt-get with directories of its own, which trusts one key."""

    def __init__(self, directory: Path, repository: Path, key: Path) -> None:
        for name in ("lists/partial", "archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/trusted.gpg.d"):
            (directory / name).mkdir(parents=True)
        (directory / "status").touch()
        sources = directory / "sources.list"
        sources.write_text(f"deb [arch=amd64 signed-by={key}] file:{repository} bookworm main\n")
        places = {
            "Dir::Etc": directory / "etc",
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::State": directory,
            "Dir::State::lists": directory / "lists",
            "Dir::State::status": directory / "status",
            "Dir::Cache": directory,
            "Dir::Cache::archives": directory / "archives",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
        }
        self._options = [option for name, value in places.items() for option in ("-o", f"{name}={value}")]
        self._directory = directory

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["apt-get", *self._options, *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=self._directory)


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Target, Path]]:
    directory = tmp_path_factory.mktemp("debs")
    return [(target, made_deb(target, directory)) for target in TARGETS]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_key(tmp_path_factory.mktemp("key"), "maker")


@pytest.fixture(scope="module")
def repository(debs: list[tuple[Target, Path]], key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("repository")
    write_repository(debs, directory / "apt", TIME_S, key)
    return directory / "apt"


def test_apt_takes_the_package_of_its_debian_and_processor(repository: Path, tmp_path: Path) -> None:
    apt = Apt(tmp_path, repository, repository / PUBLIC_KEY)
    updated = apt.run("update")
    assert updated.returncode == 0, updated.stderr
    assert "W:" not in updated.stderr
    downloaded = apt.run("download", "perceptd")
    assert downloaded.returncode == 0, downloaded.stderr
    assert [path.name for path in tmp_path.glob("*.deb")] == ["perceptd_2+deb12_amd64.deb"]


def test_an_older_package_stays(debs: list[tuple[Target, Path]], key: Path, tmp_path: Path) -> None:
    older = [(TARGETS[0], made_deb(TARGETS[0], tmp_path, "1"))]
    for each in (older, debs[:1]):
        write_repository(each, tmp_path / "apt", TIME_S, key)
    apt = Apt(tmp_path / "device", tmp_path / "apt", tmp_path / "apt" / PUBLIC_KEY)
    assert apt.run("update").returncode == 0
    assert apt.run("download", "perceptd=1+deb12").returncode == 0
    assert apt.run("download", "perceptd").returncode == 0
    names = {path.name for path in (tmp_path / "device").glob("*.deb")}
    assert names == {"perceptd_1+deb12_amd64.deb", "perceptd_2+deb12_amd64.deb"}


def test_apt_refuses_another_key(repository: Path, debs: list[tuple[Target, Path]], tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_repository(debs, other, TIME_S, made_key(tmp_path, "other"))
    apt = Apt(tmp_path / "apt", repository, other / PUBLIC_KEY)
    assert "is not signed" in apt.run("update").stderr


def test_the_same_packages_give_the_same_index(
    repository: Path, debs: list[tuple[Target, Path]], tmp_path: Path
) -> None:
    again = tmp_path / "again"
    write_repository(debs, again, TIME_S, None)
    for suite in ("bookworm", "trixie"):
        release = Path("dists") / suite / "Release"
        assert (again / release).read_bytes() == (repository / release).read_bytes()
    assert not list(again.rglob("InRelease"))
