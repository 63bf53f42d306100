"""Names that a publisher has signed make bundles, or spoil the one they belong to and no other."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.release import MAX_BUNDLE_BYTES, Release
from daemon.core.errors import UpdateError
from daemon.updates.fetch.catalogue import Target, build_catalogue, newest_releases, select_release
from tests.helpers.tufrepo import signed_part

SHA256 = hashlib.sha256(b"").hexdigest()


def target(path: str, custom: object = None, length: int = 1, sha256: str | None = SHA256) -> Target:
    return Target(path, length, sha256, custom)


def bundle(name: str = "digits", version: str = "1.0.0", *more: Target, **changes: object) -> list[Target]:
    custom = {"perceptd": signed_part(name, version, **changes)}
    return [target(f"{name}/{version}/bundle.yaml", custom), target(f"{name}/{version}/head.tflite"), *more]


def release(name: str, version: str) -> Release:
    return build_catalogue(bundle(name, version)).releases[f"{name}@{version}"]


def test_a_bundle_with_its_selftest() -> None:
    offered = build_catalogue(bundle("digits", "1.0.0", target("digits/1.0.0/selftest/cases.yaml", length=7)))
    assert offered.skipped == {}
    [made] = offered.releases.values()
    assert [entry.path for entry in made.files] == ["bundle.yaml", "head.tflite", "selftest/cases.yaml"]
    assert made.size == 9


PLAIN = "which is not a plain name"


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        ("../x", PLAIN),
        ("..", PLAIN),
        ("", PLAIN),
        ("/etc/passwd", PLAIN),
        ("a/../b", PLAIN),
        ("a//b", PLAIN),
        ("selftest/../x", PLAIN),
        ("selftest//x", PLAIN),
        ("selftest/a/b", PLAIN),
        ("selftest/", PLAIN),
        ("demo/clip.mp4", PLAIN),
        ("a\\b", PLAIN),
        ("C:x", PLAIN),
        ("a b", PLAIN),
        ("a\n", PLAIN),
        ("a\x00b", PLAIN),
        (".hidden", PLAIN),
        (".fetching", PLAIN),
        ("-rf", PLAIN),
        ("~root", PLAIN),
        ("%2e%2e%2fx", PLAIN),
        ("x" * 101, PLAIN),
        ("Bundle.yaml", "names of its files are equal, or differ in case only"),
        ("HEAD.tflite", "names of its files are equal, or differ in case only"),
        ("files.txt", "a reserved name"),
        ("FILES.TXT", "a reserved name"),
        ("files.new", "a reserved name"),
        ("selftest", "a reserved name"),
    ],
)
def test_a_hostile_name_spoils_its_bundle_alone(hostile: str, why: str) -> None:
    offered = build_catalogue([*bundle("evil"), target(f"evil/1.0.0/{hostile}"), *bundle(), *bundle("evil", "1.0.1")])
    assert offered.releases.keys() == {"digits@1.0.0", "evil@1.0.1"}
    assert offered.skipped.keys() == {"evil@1.0.0"}
    assert why in offered.skipped["evil@1.0.0"]
    with pytest.raises(UpdateError, match=r"^evil@1\.0\.0 ") as caught:
        select_release(offered, "evil", "1.0.0", "0.1.0")
    assert caught.value.kind == "bundle"


@pytest.mark.parametrize(
    "stranger",
    [
        "",
        "/",
        "readme.txt",
        "/digits/1.0.0/bundle.yaml",
        "../digits/1.0.0/bundle.yaml",
        "digits/../1.0.0/bundle.yaml",
        "digits/1.0.0",
        "digits/1.0/bundle.yaml",
        "digits/v1.0.0/bundle.yaml",
        "Digits/1.0.0/bundle.yaml",
        "digits\\1.0.0\\bundle.yaml",
        "digits/1.0.0\n/bundle.yaml",
        "digits/١.0.0/bundle.yaml",
        "dígits/1.0.0/bundle.yaml",
        "digits/1.0.0/brücke.tflite",
    ],
)
def test_a_name_of_no_bundle_is_skipped(stranger: str) -> None:
    offered = build_catalogue([target(stranger), *bundle()])
    assert offered.releases.keys() == {"digits@1.0.0"}
    assert list(offered.skipped.values()) == ["belongs to no bundle: expected NAME/VERSION/FILE"]
    assert all(name.isprintable() for name in offered.skipped)


@pytest.mark.parametrize(
    ("custom", "why"),
    [
        (None, "has no custom.perceptd"),
        ({}, "has no custom.perceptd"),
        ([], "has no custom.perceptd"),
        ({"perceptd": None}, "has no custom.perceptd"),
        ({"perceptd": "x"}, "has an invalid custom.perceptd"),
        ({"perceptd": {"name": "digits"}}, "has an invalid custom.perceptd: version: Field required"),
        ({"perceptd": signed_part("digits", "1.0.0", memory_mb="64")}, "custom.perceptd: memory_mb: "),
        ({"perceptd": signed_part("digits", "1.0.0", memory_mb=True)}, "custom.perceptd: memory_mb: "),
        ({"perceptd": signed_part("digits", "1.0.0", memory_mb=0)}, "custom.perceptd: memory_mb: "),
        (
            {"perceptd": signed_part("digits", "1.0.0", needs_perceptd="new")},
            "custom.perceptd: needs_perceptd: ",
        ),
        ({"perceptd": signed_part("other", "1.0.0")}, "was signed as other@1.0.0"),
        ({"perceptd": signed_part("digits", "2.0.0")}, "was signed as digits@2.0.0"),
    ],
)
def test_what_the_publisher_must_sign_for_a_bundle(custom: object, why: str) -> None:
    offered = build_catalogue([target("digits/1.0.0/bundle.yaml", custom)])
    assert offered.releases == {}
    assert why in offered.skipped["digits@1.0.0"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ([target(f"digits/1.0.0/{n}") for n in range(999)], "it has 1001 files, more than 400"),
        ([target(f"digits/1.0.0/{n:0100}") for n in range(380)], "the list of its 382 files has more than"),
        ([target("digits/1.0.0/x", sha256=None)], "has a file 'x' that was signed without its sha256"),
        ([target("digits/1.0.0/x", sha256="0" * 63)], "has an invalid file 'x': sha256: "),
        ([target("digits/1.0.0/x", length=-1)], "has an invalid file 'x': length: "),
        ([target("digits/1.0.0/x", length=2**41)], "has an invalid file 'x': length: "),
        ([target("digits/1.0.0/x", length=MAX_BUNDLE_BYTES)], f"bytes, more than {MAX_BUNDLE_BYTES}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bundle_that_is_too_large(more: list[Target], why: str) -> None:
    offered = build_catalogue([*bundle(), *more])
    assert offered.releases == {}
    assert why in offered.skipped["digits@1.0.0"]


def test_a_bundle_without_manifest() -> None:
    assert build_catalogue([target("digits/1.0.0/x")]).skipped == {"digits@1.0.0": "has no bundle.yaml"}


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("digits", "9.9.9", "the source has no digits@9.9.9; it has digits@1.10.0, digits@1.9.0"),
        ("faces", "1.0.0", "the source has no faces@1.0.0; it has digits@1.10.0, digits@1.9.0"),
    ],
)
def test_a_missing_version(name: str, version: str, said: str) -> None:
    offered = build_catalogue([*bundle("digits", "1.9.0"), *bundle("digits", "1.10.0")])
    with pytest.raises(UpdateError) as caught:
        select_release(offered, name, version, "0.1.0")
    assert (caught.value.kind, str(caught.value)) == ("source", said)


def test_a_source_that_has_nothing_or_much() -> None:
    with pytest.raises(UpdateError, match=r"it has nothing that can be used$"):
        select_release(build_catalogue([]), "digits", "1.0.0", "0.1.0")
    many = build_catalogue([one for minor in range(12) for one in bundle("digits", f"1.{minor}.0")])
    with pytest.raises(UpdateError, match=r"digits@1\.11\.0, .*, digits@1\.7\.0 and 7 more$"):
        select_release(many, "digits", "9.9.9", "0.1.0")


@pytest.mark.parametrize(("ours", "runs"), [("0.9.0", False), ("0.10.0", True), ("0.10.1", True), ("1.0.0.dev1", True)])
def test_the_program_must_be_new_enough(ours: str, runs: bool) -> None:
    offered = build_catalogue(bundle(needs_perceptd="0.10.0"))
    if runs:
        assert select_release(offered, "digits", "1.0.0", ours).id == "digits@1.0.0"
    else:
        with pytest.raises(UpdateError, match=r"digits@1\.0\.0 needs perceptd 0\.10\.0; this is 0\.9\.0"):
            select_release(offered, "digits", "1.0.0", ours)


def test_no_name_displaces_another() -> None:
    many = [release("aaa", f"1.0.{n}") for n in range(9)] + [release("zzz", "0.0.1"), release("zzz", "0.0.2")]
    assert [one.id for one in newest_releases(many, 4)] == ["aaa@1.0.7", "aaa@1.0.8", "zzz@0.0.1", "zzz@0.0.2"]
    assert newest_releases(many, 100) == sorted(many, key=lambda one: one.id)


PATHS = st.lists(
    st.lists(
        st.sampled_from(["digits", "1.0.0", "bundle.yaml", "selftest", "..", ".", "", "a", "A", "\\", "é", "\n", "\0"]),
        max_size=5,
    ).map("/".join),
    max_size=5,
    unique=True,
)


@given(paths=PATHS, junk=st.text(max_size=20))
def test_whatever_the_names_are_a_release_stays_in_its_directory(paths: list[str], junk: str) -> None:
    custom = {"perceptd": signed_part("digits", "1.0.0")}
    offered = build_catalogue(target(path, custom) for path in [*paths, junk])
    for made in offered.releases.values():
        names = [entry.path for entry in made.files]
        assert len({name.casefold() for name in names}) == len(names)
        for name in names:
            folder, _, plain = name.rpartition("/")
            assert folder in ("", "selftest")
            assert plain.isascii() and plain.isprintable() and plain not in ("", ".", "..")
            assert not {"\\", "/"} & set(plain)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9.]{0,9}", fullmatch=True), st.integers(0, 2**30), max_size=4))
def test_whatever_files_a_bundle_has_it_is_the_same_release(files: dict[str, int]) -> None:
    targets = [target(f"digits/1.0.0/{name}", length=length) for name, length in files.items() if name != "selftest"]
    first, second = (build_catalogue([*order, *bundle()]) for order in (targets, targets[::-1]))
    assert first == second
