"""`perceptd verify`: what is as it was signed passes, and each kind of difference is said."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packages.provenance import write_provenance

from daemon.cli.main import main
from daemon.core.errors import EXIT_REFUSED, Refused
from daemon.publisher.keys import read_signer
from daemon.publisher.provenance import Provenance, signed, verified
from daemon.publisher.public_keys import read_public_keys
from daemon.publisher.verification import verify_file
from tests.helpers.artefacts import COMMIT, SBOM_PATH, deb, flipped, image, release_key, sbom

PARAMETERS = {"target": "deb12-amd64"}
MAKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {"deb": deb, "image": image}


class Product:
    """A package or an image with its provenance, and the public key."""

    def __init__(self, directory: Path, kind: Any) -> None:
        self.private, self.public = release_key(directory)
        self.kind, self.file = kind, directory / f"perceptd.{kind}"
        self.make(sbom())

    def make(self, inside: bytes, bill: bytes | None = None, commit: str = COMMIT) -> None:
        """Make the file, and sign it with the SBOM `bill`."""
        self.file.write_bytes(MAKERS[self.kind]({SBOM_PATH: inside, "opt/perceptd/LICENSE": b"free"}))
        self.provenance = write_provenance(self.file, self.kind, bill or inside, commit, PARAMETERS, self.private)

    def refused(self, commit: str | None = None) -> str:
        with pytest.raises(Refused) as refused:
            verify_file(self.file, read_public_keys(self.public), None, commit)
        return str(refused.value)


@pytest.fixture(params=["deb", "image"])
def product(tmp_path: Path, request: pytest.FixtureRequest) -> Product:
    return Product(tmp_path, request.param)


def test_a_package_and_an_image_are_followed_back_to_the_commit(product: Product) -> None:
    found = verify_file(product.file, read_public_keys(product.public), None, COMMIT[:7])
    assert (found.provenance.kind, found.provenance.commit, found.provenance.parameters) == (
        product.kind,
        COMMIT,
        PARAMETERS,
    )
    assert [(one.name, one.version, one.licence) for one in found.components] == [("av", "18.1.0", "BSD-3-Clause")]


def test_two_builds_of_one_commit_have_the_same_provenance(product: Product) -> None:
    before = product.provenance.read_bytes()
    product.make(sbom())
    assert product.provenance.read_bytes() == before
    statement = verified(before, read_public_keys(product.public), "it")[0]
    assert statement.subjects.keys() == {product.file.name}


def test_any_byte_of_the_file_counts(product: Product) -> None:
    size = product.file.stat().st_size
    for at in (0, 8, 100, size // 2, size - 1):
        flipped(product.file, at)
        assert "the digest differs: it has sha256" in product.refused()
        flipped(product.file, at)
    with product.file.open("ab") as file:
        file.write(b"\0")
    assert "the digest differs" in product.refused()


def test_any_byte_of_the_provenance_counts(tmp_path: Path) -> None:
    product = Product(tmp_path, "deb")
    keys, content = read_public_keys(product.public), product.provenance.read_bytes()
    for at in range(len(content) - 1):  # the last one ends the line
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        with pytest.raises(Refused):
            verified(changed, keys, "it")


def test_the_key_of_somebody_else_is_refused(product: Product, tmp_path: Path) -> None:
    product.public = release_key(tmp_path, "other")[1]
    assert re.search(
        r"the signature differs: it is signed by \w{16}, and not validly by \w{16} of --key", product.refused()
    )


def test_another_commit_is_refused(product: Product) -> None:
    assert f"the commit differs: it is made of {COMMIT}, expected 1234567" in product.refused("1234567")
    product.make(sbom("f" * 40))
    assert f"the commit differs: the SBOM says {'f' * 40}, the provenance {COMMIT}" in product.refused()


def test_another_sbom_is_refused(product: Product) -> None:
    product.make(sbom() + b" ", bill=sbom())
    assert "the SBOM differs: it has sha256" in product.refused()
    product.file.write_bytes(MAKERS[product.kind]({"opt/perceptd/LICENSE": b"free"}))
    write_provenance(product.file, product.kind, sbom(), COMMIT, PARAMETERS, product.private)
    assert product.refused().endswith("has no SBOM inside")


@pytest.mark.parametrize(
    "inside",
    [b"", b"[]", b'{"components": []}', b'{"metadata": {"component": {}}}', b"[" * 100_000],
    ids=["empty", "a list", "no product", "no parts", "nested"],
)
def test_an_sbom_of_another_form_is_refused(tmp_path: Path, inside: bytes) -> None:
    product = Product(tmp_path, "deb")
    product.make(inside)
    assert product.refused().endswith("the SBOM is as it was signed, but is no CycloneDX document in JSON")


def test_licences_are_shown_in_each_form_that_others_write(product: Product) -> None:
    licences = [{"license": {"id": "MIT"}}, {"license": {"name": "own"}}]
    component = {"name": "part", "licenses": licences}
    product.make(json.dumps({"metadata": {"component": {}}, "components": [component]}).encode())
    (part,) = verify_file(product.file, read_public_keys(product.public), None, None).components
    assert part.licence == "MIT, own"


def test_a_provenance_of_something_else_is_refused(product: Product, tmp_path: Path) -> None:
    other = Provenance("bundle", {"bundle.yaml": "a" * 64}, COMMIT, "b" * 64)
    product.provenance.write_bytes(signed(other, read_signer(product.private)))
    assert "cannot be read as a zip or tar of a bundle" in product.refused() or "is missing" in product.refused()
    product.provenance.unlink()
    assert "there is no such provenance of" in product.refused()
    product.file.unlink()
    assert product.refused().endswith("no such file or directory")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b'{"payload": 1}', b"[" * 100_000, b" " * 1_100_000],
    ids=["empty", "no text", "a list", "no keys", "a number", "nested", "long"],
)
def test_what_is_no_envelope_is_refused(product: Product, content: bytes) -> None:
    product.provenance.write_bytes(content)
    assert "no DSSE envelope" in product.refused() or "it is no provenance" in product.refused()


def test_a_signed_document_of_another_kind_is_no_provenance(tmp_path: Path) -> None:
    private, public = release_key(tmp_path)
    package: Any = "package"
    content = signed(Provenance(package, {"file": "a" * 64}, COMMIT, "b" * 64), read_signer(private))
    with pytest.raises(Refused, match="the signed statement is no provenance of perceptd"):
        verified(content, read_public_keys(public), "it")


def envelopes(content: bytes) -> list[bytes]:
    """Return envelopes with a valid signature, and something that a reader may trip over or read otherwise."""
    value = json.loads(content)
    (own,) = value["signatures"]
    signatures: list[Any] = [[{**own, "keyid": 1}], [{**own, "keyid": None}], [own, {**own, "sig": ""}], [own, own]]
    changed = [json.dumps({**value, "signatures": each}).encode() for each in signatures]
    return [*changed, content.replace(b'"payload":', b'"payload": "e30=", "payload":')]


def test_an_envelope_that_can_be_read_in_two_ways_is_refused(product: Product) -> None:
    for content in envelopes(product.provenance.read_bytes()):
        product.provenance.write_bytes(content)
        assert product.refused().endswith("is no DSSE envelope in JSON")


def test_a_further_signature_of_somebody_else_does_not_count(product: Product) -> None:
    value = json.loads(product.provenance.read_bytes())
    value["signatures"].insert(0, {"keyid": "00" * 32, "sig": "AAAA"})
    product.provenance.write_bytes(json.dumps(value).encode())
    keys = read_public_keys(product.public)
    assert verify_file(product.file, keys, None, COMMIT).key_id == keys[0].keyid


def test_the_command_prints_what_it_has_verified(product: Product, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["verify", str(product.file), "--key", str(product.public)]
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{product.file}: is as it was signed"
    assert printed[3] == f"commit      {COMMIT}"
    assert printed[5] == "  av 18.1.0 BSD-3-Clause"
    assert main([*command, "--json", "--commit", COMMIT]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True
    flipped(product.file, 0)
    assert main([*command, "--json"]) == EXIT_REFUSED
    found = capsys.readouterr()
    assert json.loads(found.out) == {"verified": False, "problem": found.err.strip()}


def test_the_provenance_may_lie_elsewhere(product: Product, tmp_path: Path) -> None:
    moved = shutil.move(product.provenance, tmp_path / "proof")
    assert verify_file(product.file, read_public_keys(product.public), Path(moved), None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected a public key in PEM, or the root.json of a repository"),
        (b"{}", "expected a public key in PEM, or the root.json of a repository"),
        (b"-----BEGIN PRIVATE KEY-----", "is a private key. The public one is made by: openssl pkey -in FILE -pubout"),
    ],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(Refused, match=re.escape(said)):
        read_public_keys(tmp_path / "key")
