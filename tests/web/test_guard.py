"""By which names the page answers, and which sites may change something."""

import pytest

from daemon.web.guard import Trust, Visit, host_problem, origin_problem, visit_of

NOBODY = Trust()
HERE = "192.168.1.20"
PROXY = Trust.of(["page.example.org"], ["172.30.32.0/23", "::1"])


def environ(host: str | None, address: str = "192.168.1.5", **headers: str) -> dict[str, str]:
    given = {"REMOTE_ADDR": address, "wsgi.url_scheme": "http"}
    if host is not None:
        given["HTTP_HOST"] = host
    return given | {f"HTTP_{name.upper()}": value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("host", "trust", "is_allowed"),
    [
        ("localhost", NOBODY, True),
        ("LocalHost:8099", NOBODY, True),
        ("node.localhost:8099", NOBODY, True),
        ("127.0.0.1:8099", NOBODY, True),
        ("127.1.2.3", NOBODY, True),
        ("[::1]:8099", NOBODY, True),
        ("192.168.1.20:8099", NOBODY, True),
        ("[::ffff:192.168.1.20]", NOBODY, True),
        # another machine's address, and all that a name server of an attacker can make of this machine's
        ("192.168.1.21:8099", NOBODY, False),
        ("evil.example", NOBODY, False),
        ("localhost.evil.example", NOBODY, False),
        ("evillocalhost", NOBODY, False),
        ("192.168.1.20.evil.example", NOBODY, False),
        ("0.0.0.0:8099", NOBODY, False),
        ("page.example.org", NOBODY, False),
        ("page.example.org", PROXY, True),
        ("Page.Example.ORG.:443", PROXY, True),
        ("page.example.org.evil.example", PROXY, False),
        # no host at all
        (None, NOBODY, False),
        ("", NOBODY, False),
        ("localhost:", NOBODY, False),
        ("localhost@evil.example", NOBODY, False),
        ("localhost, evil.example", NOBODY, False),
        ("[localhost]", NOBODY, False),
        ("[::1", NOBODY, False),
        ("localhost/evil", NOBODY, False),
    ],
)
def test_the_page_answers_only_by_names_of_this_machine(host: str | None, trust: Trust, is_allowed: bool) -> None:
    assert (host_problem(visit_of(environ(host), trust), trust, HERE) is None) is is_allowed


@pytest.mark.parametrize(
    ("login", "address", "user", "role"),
    [
        ("owner", "172.30.32.2", "4711", "owner"),
        ("viewer", "172.30.32.2", "4711", "viewer"),
        # the proxy does not say that somebody has logged in
        ("owner", "172.30.32.2", None, None),
        ("owner", "172.30.32.2", "", None),
        # it may not log in anybody
        (None, "172.30.32.2", "4711", None),
        ("root", "172.30.32.2", "4711", None),
        # another add-on of the same network, and a browser that knows the header
        ("owner", "172.30.33.9", "4711", None),
        ("owner", "192.168.1.5", "4711", None),
    ],
)
def test_only_a_trusted_proxy_logs_in_and_only_where_it_may(
    login: str | None, address: str, user: str | None, role: str | None
) -> None:
    trust = Trust.of([], ["172.30.32.2"], login)
    came = visit_of(environ("hass.local", address, **({} if user is None else {"x_remote_user_id": user})), trust)
    assert came is not None
    assert came.role == role


def test_the_answer_to_a_foreign_name_says_what_to_do() -> None:
    problem = host_problem(visit_of(environ("node.lan"), NOBODY), NOBODY, HERE)
    assert problem is not None
    assert "node.lan" in problem
    assert "page.trusted_hosts" in problem


FORWARDED = {
    "x_forwarded_host": "home.example.org",
    "x_forwarded_proto": "https",
    "x_forwarded_for": "203.0.113.9, 198.51.100.7",
    "x_forwarded_prefix": "/node/",
}


def test_what_a_trusted_proxy_forwards_counts() -> None:
    came = visit_of(environ("172.30.32.2:8099", "172.30.33.1", **FORWARDED), PROXY)
    # the last address is the one that the proxy itself has seen
    assert came == Visit("198.51.100.7", "https", "home.example.org", 443, "/node", is_forwarded=True)
    assert host_problem(came, PROXY, HERE) is None


@pytest.mark.parametrize("forwarded", ["", "unknown", "x" * 10_000, "198.51.100.7, nonsense"])
def test_what_is_no_address_is_not_the_visitors(forwarded: str) -> None:
    came = visit_of(environ("localhost", "::1", x_forwarded_for=forwarded), PROXY)
    assert came is not None
    assert came.address == "::1"


def test_what_anybody_else_forwards_does_not_count() -> None:
    came = visit_of(environ("evil.example", "192.168.1.5", **FORWARDED), PROXY)
    assert came == Visit("192.168.1.5", "http", "evil.example", 80, "", is_forwarded=False)
    assert host_problem(came, PROXY, HERE) is not None


def test_a_proxy_that_forwards_no_host_gives_no_name() -> None:
    came = visit_of(environ("evil.example", "::1", x_forwarded_for="198.51.100.7"), PROXY)
    assert host_problem(came, PROXY, HERE) is not None


@pytest.mark.parametrize(
    ("headers", "prefix"),
    [
        ({"x_ingress_path": "/api/hassio_ingress/kB-3_x"}, "/api/hassio_ingress/kB-3_x"),
        ({"x_forwarded_prefix": "/node"}, "/node"),
        ({"x_forwarded_prefix": "/"}, ""),
        ({"x_forwarded_prefix": "node"}, ""),
        ({"x_forwarded_prefix": "/node; Domain=evil.example"}, ""),
        ({"x_forwarded_prefix": "//evil.example/"}, ""),
    ],
)
def test_a_prefix_is_a_path_and_nothing_else(headers: dict[str, str], prefix: str) -> None:
    came = visit_of(environ("localhost", "::1", **headers), PROXY)
    assert came is not None
    assert came.prefix == prefix


PLAIN = Visit("192.168.1.5", "http", "192.168.1.20", 8099, "", is_forwarded=False)
SECURE = Visit("192.168.1.5", "https", "home.example.org", 443, "", is_forwarded=True)


@pytest.mark.parametrize(
    ("origin", "visit", "is_allowed"),
    [
        ("http://192.168.1.20:8099", PLAIN, True),
        ("https://home.example.org", SECURE, True),
        ("https://home.example.org:443", SECURE, True),
        ("https://HOME.example.org", SECURE, True),
        (None, PLAIN, False),
        ("null", PLAIN, False),
        ("", PLAIN, False),
        ("https://192.168.1.20:8099", PLAIN, False),
        ("http://192.168.1.20", PLAIN, False),
        ("http://192.168.1.20:8098", PLAIN, False),
        ("http://evil.example", PLAIN, False),
        ("http://192.168.1.20:8099.evil.example", PLAIN, False),
        ("http://192.168.1.20:8099@evil.example", PLAIN, False),
        ("http://evil.example#192.168.1.20:8099", PLAIN, False),
        ("http://home.example.org", SECURE, False),
        ("https://sub.home.example.org", SECURE, False),
        ("file://", PLAIN, False),
    ],
)
def test_only_the_page_itself_may_change_something(origin: str | None, visit: Visit, is_allowed: bool) -> None:
    assert (origin_problem(origin, visit, is_machine=False) is None) is is_allowed


def test_a_machine_need_not_name_its_site_but_a_foreign_one_is_refused() -> None:
    assert origin_problem(None, PLAIN, is_machine=True) is None
    assert origin_problem("http://evil.example", PLAIN, is_machine=True) is not None


def test_a_proxy_that_forwards_no_port_is_told_by_what_came() -> None:
    came = visit_of(environ("localhost:8099", "::1", x_forwarded_host="node.lan", x_forwarded_proto="http"), PROXY)
    assert came is not None
    problem = origin_problem("http://node.lan:8080", came, is_machine=False)
    assert problem is not None
    assert "from http://node.lan:8080, to http://node.lan:80; behind a proxy" in problem
    assert "X-Forwarded-Host with the port" in problem
