"""The rooms that use the state directory open its files by the functions of `core/files.py` and by no others."""

import ast
from pathlib import Path

from tests.helpers.daemon import ROOT

ROOMS = ("updates", "updates/fetch", "node", "mqtt", "mqtt/outbox", "mqtt/home_assistant", "teaching")
OPENS = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "copyfile", "copytree", "move", "touch"}
OPENS |= {"connect", "from_file"}

# what else these rooms open, and where
ELSEWHERE = {
    ("updates/guarded_load.py", "read_text"): "/proc/meminfo",
    ("updates/fetch/download.py", "open"): "a file of the source; os.open of a file that was checked before",
    ("mqtt/outbox/store.py", "read_text"): "the id of this boot, in /proc",
    ("mqtt/broker/connection.py", "connect"): "the broker",
    ("mqtt/broker/client.py", "connect"): "the broker",
    ("teaching/sounds.py", "open"): "bytes in memory as WAV",
    ("node/teaching_work.py", "open"): "`TeachingFile.open`, which opens the store",
    ("node/systemd.py", "connect"): "the socket of the service manager",
    ("node/local_socket.py", "connect"): "a socket that another daemon may have left",
}


def calls(path: Path) -> set[str]:
    """The names of functions that open files, as a module calls them."""
    found = {node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    names = {func.attr if isinstance(func, ast.Attribute) else func.id for func in found if not is_other(func)}
    return names & OPENS


def is_other(func: ast.expr) -> bool:
    return not isinstance(func, (ast.Attribute, ast.Name))


def test_files_of_the_state_directory_are_opened_in_one_way() -> None:
    daemon = ROOT / "daemon"
    paths = [path for room in ROOMS for path in sorted((daemon / room).glob("*.py"))]
    found = {(str(path.relative_to(daemon)), name) for path in paths for name in calls(path)}
    assert found - ELSEWHERE.keys() == set()
