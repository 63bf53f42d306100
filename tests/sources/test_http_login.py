"""Answers to the login of a web server, against the examples of the RFCs."""

import base64
import re

import pytest

from daemon.sources.http.login import Login


def parameters(header: str | None) -> dict[str, str]:
    assert header is not None
    return {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^ ,]+))', header)}


RFC_2617 = (
    "Mufasa:Circle%20Of%20Life",
    "0a4f113b",
    'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5cc"',
    "6629fae49393a05397450978507c4ef1",
)
RFC_7616 = ("Mufasa:Circle%20of%20Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
RFC_7616_CHALLENGE = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
MD5 = (*RFC_7616, RFC_7616_CHALLENGE.format("MD5"), "8ca523f5e9506fed4657c9700eebdbec")
SHA_256 = (
    *RFC_7616,
    RFC_7616_CHALLENGE.format("SHA-256"),
    "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
)


@pytest.mark.parametrize(("user_info", "nonce", "challenge", "response"), [RFC_2617, MD5, SHA_256])
def test_a_digest_is_that_of_the_rfc(user_info: str, nonce: str, challenge: str, response: str) -> None:
    login = Login(user_info, make_nonce=lambda: nonce)
    assert login.learn([challenge], was_refused=False)
    sent = parameters(login.authorization("GET", "/dir/index.html"))
    assert sent["response"] == response
    assert (sent["qop"], sent["nc"], sent["cnonce"]) == ("auth", "00000001", nonce)
    assert sent["opaque"]
    assert parameters(login.authorization("GET", "/dir/index.html"))["nc"] == "00000002"


@pytest.mark.parametrize(
    ("challenges", "expected"),
    [
        (['Basic realm="a"'], "Basic"),
        (["basic"], "Basic"),
        (['Basic realm="a", Digest realm="b", nonce="1"'], "Digest"),
        (["Basic realm=a", 'DIGEST realm="b", nonce="1", algorithm=md5-sess, qop="auth"'], "Digest"),
        (['Digest realm="b", nonce="1", algorithm=SHA-512', "Basic realm=a"], "Basic"),
        (['Digest realm="b", nonce="1", qop="auth-int"', "Basic realm=a"], "Basic"),
        (["Negotiate", 'NTLM realm="x"'], None),
        (["", ",,,", "Digest", 'Digest realm="no nonce"'], None),
        ([], None),
    ],
)
def test_the_best_known_kind_of_login_is_used(challenges: list[str], expected: str | None) -> None:
    login = Login("user:secret")
    assert login.authorization("GET", "/") is None
    assert login.learn(challenges, was_refused=False) == (expected is not None)
    header = login.authorization("GET", "/")
    assert header is None if expected is None else header and header.startswith(f"{expected} ")


def test_of_several_digests_the_stronger_one_is_used() -> None:
    login = Login("user:secret")
    for challenges in ((MD5[2], SHA_256[2]), (f"{SHA_256[2]}, {MD5[2]}",)):
        login.learn(challenges, was_refused=False)
        assert parameters(login.authorization("GET", "/"))["algorithm"] == "SHA-256"


def test_users_and_passwords_may_contain_any_character() -> None:
    login = Login("us%22er%5C:p%3A%40%2F%3F%23%C3%A4%20%25")
    login.learn(["Basic realm=a"], was_refused=False)
    header = login.authorization("GET", "/") or ""
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == 'us"er\\:p:@/?#ä %'
    login.learn(['Digest realm="say \\"a\\"", nonce="1"'], was_refused=False)
    header = login.authorization("GET", "/") or ""
    assert r'username="us\"er\\", realm="say \"a\"", nonce="1"' in header


def test_a_refused_login_is_sent_again_only_if_the_nonce_was_too_old() -> None:
    login = Login("user:secret")
    assert not login.learn(["Basic realm=a"], was_refused=True)
    assert not login.learn(['Digest realm="b", nonce="1"'], was_refused=True)
    assert login.learn(['Digest realm="b", nonce="2", stale=TRUE'], was_refused=True)
