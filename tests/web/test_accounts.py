"""Passwords, sessions, links and tokens, and the file that holds them."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon.web.accounts import DAY_S, IDLE_S, KNOWN_S, LINK_S, LONGEST_S, MOST_SESSIONS, MOST_TOKENS, Accounts
from daemon.web.passwords import COST, hash_password, is_password, password_problem
from tests.helpers.page import store_password


class Clock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Accounts:
    return Accounts(tmp_path / "page", clock)


def test_a_password_logs_in_its_role(accounts: Accounts, tmp_path: Path) -> None:
    assert not accounts.has_password()
    store_password(tmp_path / "page", "correct horse", "owner")
    store_password(tmp_path / "page", "only looking", "viewer")
    assert accounts.has_password()
    assert [accounts.role_by_password(each) for each in ("correct horse", "only looking", "Correct horse", "")] == [
        "owner",
        "viewer",
        None,
        None,
    ]


def test_two_roles_have_two_passwords(accounts: Accounts, tmp_path: Path) -> None:
    store_password(tmp_path / "page", "correct horse", "owner")
    with pytest.raises(ValueError, match="owner"):
        accounts.set_password("viewer", "correct horse")
    assert accounts.role_by_password("correct horse") == "owner"


@pytest.mark.parametrize(("password", "is_good"), [("1234567", False), ("12345678", True), ("x" * 1001, False)])
def test_passwords_that_can_be_used(password: str, is_good: bool) -> None:
    assert (password_problem(password) is None) is is_good


@pytest.mark.parametrize(
    "damage",
    [{"hash": None}, {"salt": "zz"}, {"n": 3}, {"n": 1 << 30}, {"n": "16384"}, {"p": 0}, {"r": None}],
)
def test_a_damaged_password_matches_nothing(damage: dict[str, object]) -> None:
    assert not is_password("correct horse", hash_password("correct horse", {"n": 2, "r": 1, "p": 1}) | damage)


def test_a_password_is_hashed_with_a_salt_and_a_cost() -> None:
    first, second = (hash_password("correct horse", {"n": 2, "r": 1, "p": 1}) for _ in range(2))
    assert first["hash"] != second["hash"]
    stored = hash_password("correct horse")
    assert {key: stored[key] for key in COST} == COST
    assert is_password("correct horse", stored)


def test_a_session_that_is_used_ends_after_a_month(accounts: Accounts, clock: Clock) -> None:
    session, began_s = accounts.begin_session("owner", "192.168.1.5"), clock.now_s
    for day in range(6, 30, 6):
        clock.now_s = began_s + day * DAY_S
        assert accounts.role_by_session(session) == "owner"
    clock.now_s = began_s + LONGEST_S
    assert accounts.role_by_session(session) is None


def test_a_session_without_use_ends_after_a_week(accounts: Accounts, clock: Clock) -> None:
    session = accounts.begin_session("viewer", "192.168.1.5")
    clock.now_s += IDLE_S - 1
    assert accounts.role_by_session(session) == "viewer"
    clock.now_s += IDLE_S - 1
    assert accounts.role_by_session(session) == "viewer", "each use counts"
    clock.now_s += IDLE_S
    assert accounts.role_by_session(session) is None


def test_a_clock_that_was_set_back_lengthens_no_session(accounts: Accounts, clock: Clock) -> None:
    session = accounts.begin_session("owner", "192.168.1.5")
    clock.now_s -= 365 * DAY_S
    assert accounts.role_by_session(session) is None


def test_sessions_end_by_logout_by_another_password_and_all_at_once(accounts: Accounts) -> None:
    first, second = (accounts.begin_session("owner", "192.168.1.5") for _ in range(2))
    viewer = accounts.begin_session("viewer", "192.168.1.6")
    accounts.end_session(first)
    assert [accounts.role_by_session(each) for each in (first, second, viewer)] == [None, "owner", "viewer"]
    accounts.set_password("owner", "correct horse")
    assert [accounts.role_by_session(each) for each in (second, viewer)] == [None, "viewer"]
    link = accounts.new_link()
    assert accounts.end_all_sessions() == 1
    assert accounts.role_by_session(viewer) is None
    assert not accounts.use_link(link)


def test_sessions_are_bounded_in_number(accounts: Accounts, clock: Clock) -> None:
    sessions = []
    for _ in range(MOST_SESSIONS + 1):
        clock.now_s += 1
        sessions.append(accounts.begin_session("owner", "192.168.1.5"))
    assert [accounts.role_by_session(each) for each in (sessions[0], *sessions[-2:])] == [None, "owner", "owner"]


def test_a_link_is_valid_once_and_for_ten_minutes(accounts: Accounts, clock: Clock) -> None:
    used, late = accounts.new_link(), accounts.new_link()
    assert accounts.use_link(used)
    assert not accounts.use_link(used)
    clock.now_s += LINK_S
    assert not accounts.use_link(late)
    assert not accounts.use_link("nonsense")


def test_of_many_who_open_a_link_at_once_one_gets_in(tmp_path: Path) -> None:
    for _ in range(5):
        link = Accounts(tmp_path / "page").new_link()
        each_their_own = [Accounts(tmp_path / "page") for _ in range(4)]
        with ThreadPoolExecutor(4) as visitors:
            assert sum(visitors.map(Accounts.use_link, each_their_own, [link] * 4)) == 1


def test_tokens_of_machines(accounts: Accounts) -> None:
    first = accounts.new_token("board", "viewer")
    assert accounts.role_by_token(first) == "viewer"
    second = accounts.new_token("board", "owner")
    assert [accounts.role_by_token(each) for each in (first, second, "")] == [None, "owner", None]
    assert accounts.tokens() == {"board": "owner"}
    assert accounts.revoke_token("board")
    assert not accounts.revoke_token("board")
    assert accounts.role_by_token(second) is None
    for number in range(MOST_TOKENS):
        accounts.new_token(f"machine-{number}", "viewer")
    with pytest.raises(ValueError, match="--revoke"):
        accounts.new_token("one-more", "viewer")


def test_addresses_that_have_logged_in_are_known_for_a_while(accounts: Accounts, clock: Clock) -> None:
    accounts.begin_session("owner", "192.168.1.5")
    assert accounts.is_known("192.168.1.5")
    assert not accounts.is_known("192.168.1.6")
    # a telephone changes its address of IPv6 each day, within its network
    accounts.begin_session("owner", "2001:db8::1:2")
    assert accounts.is_known("2001:db8::3:4")
    assert not accounts.is_known("2001:db8:0:1::3")
    clock.now_s += 91 * DAY_S
    assert not accounts.is_known("192.168.1.5")


def test_an_address_that_counts_no_more_is_not_stored(accounts: Accounts, clock: Clock, tmp_path: Path) -> None:
    accounts.begin_session("owner", "192.168.1.5")
    clock.now_s += KNOWN_S
    accounts.begin_session("owner", "192.168.1.6")
    assert list(json.loads((tmp_path / "page/accounts.json").read_text())["known"]) == ["192.168.1.6"]


def test_the_file_holds_no_secret_and_nobody_else_may_read_it(accounts: Accounts, tmp_path: Path) -> None:
    accounts.set_password("owner", "correct horse")
    secrets = [
        "correct horse",
        accounts.begin_session("owner", "192.168.1.5"),
        accounts.new_link(),
        accounts.new_token("board", "owner"),
    ]
    file = tmp_path / "page" / "accounts.json"
    assert [secret for secret in secrets if secret in file.read_text()] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_two_processes_see_what_the_other_changes(tmp_path: Path) -> None:
    page, command = Accounts(tmp_path), Accounts(tmp_path)
    assert page.use_link(command.new_link())
    session = page.begin_session("owner", "192.168.1.5")
    assert command.end_all_sessions() == 1
    assert page.role_by_session(session) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"passwords": []}', b"\xff" * 10, b"x" * 600_000])
def test_a_damaged_file_is_set_aside_and_lets_nobody_in(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "accounts.json"
    file.write_bytes(content)
    accounts = Accounts(tmp_path)
    assert not accounts.has_password()
    assert accounts.use_link(accounts.new_link())
    assert (tmp_path / "accounts.damaged").read_bytes() == content
    assert json.loads(file.read_text())["sessions"] == {}


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text('{"passwords": {}, "tokens": {}, "links": {}, "sessions": {}, "known": {}}')
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "accounts.json").symlink_to(other)
    accounts = Accounts(tmp_path / "page")
    accounts.begin_session("owner", "192.168.1.5")
    assert '"sessions": {}' in other.read_text()


@pytest.mark.parametrize(
    ("began_s", "now_s", "goes_on"),
    [
        (1.8e9, 1.8e9 + DAY_S, True),
        (0.0, 60.0, True),  # before the clock is set
        (0.0, 1.8e9, False),  # the clock was set: log in again
        (1.8e9, 60.0, False),  # a restart with a clock that is not set yet
        (1.9e9, 1.8e9, False),  # the clock was ahead
    ],
)
def test_a_clock_that_is_set_lengthens_no_session_and_no_link(
    began_s: float, now_s: float, goes_on: bool, accounts: Accounts, clock: Clock
) -> None:
    clock.now_s = began_s
    session, link = accounts.begin_session("owner", "192.0.2.7"), accounts.new_link()
    clock.now_s = now_s
    assert (accounts.role_by_session(session) == "owner") is goes_on
    assert accounts.use_link(link) is (goes_on and now_s - began_s < LINK_S)


def test_a_session_goes_on_once_the_clock_is_right_again(accounts: Accounts, clock: Clock) -> None:
    began_s, session = clock.now_s, accounts.begin_session("owner", "192.0.2.7")
    clock.now_s = 60.0
    assert accounts.role_by_session(session) is None
    clock.now_s = began_s + DAY_S
    assert accounts.role_by_session(session) == "owner"
