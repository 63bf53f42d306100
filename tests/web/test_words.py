"""The words of the page: one table, complete in each language, and nothing but words of it in the views."""

import re
from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "daemon" / "web" / "static"
ROW = re.compile(r'^  (\w+): \["((?:[^"\\]|\\.)+)", "((?:[^"\\]|\\.)+)"\],$', re.MULTILINE)
NAMES = re.compile(r"\{(\w+)\}")

TABLE = {key: (english, german) for key, english, german in ROW.findall((STATIC / "words.js").read_text("utf-8"))}
MODULES = {path.name: path.read_text("utf-8") for path in sorted(STATIC.glob("*.js")) if path.name != "words.js"}


def test_each_row_of_the_table_has_a_word_in_each_language() -> None:
    lines = (STATIC / "words.js").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("  ") and not line.startswith("  //")]
    assert len(rows) == len(TABLE), [row for row in rows if not ROW.match(row)]


def test_both_languages_use_the_same_values() -> None:
    differ = {key for key, words in TABLE.items() if len({frozenset(NAMES.findall(each)) for each in words}) > 1}
    assert not differ


def test_no_word_is_a_plural_that_one_thing_would_make_wrong() -> None:
    counted = re.compile(r"\{(n|events|recognitions|dropped)\} \w+s\b")
    plurals = {key for key, (english, _) in TABLE.items() if counted.search(english)}
    assert not plurals


def test_each_key_of_the_views_is_in_the_table() -> None:
    for name, text in MODULES.items():
        called = re.findall(r"\bt\(([^`;]*?)[,)]", text)
        keys = {key for arguments in called for key in re.findall(r'"(\w+)"', _chosen(arguments))}
        assert keys <= TABLE.keys(), (name, keys - TABLE.keys())


def _chosen(arguments: str) -> str:
    """Return what a call chooses from: without the condition before `?`."""
    return arguments.split("?", 1)[-1]


def test_each_key_of_the_table_is_used() -> None:
    text = "\n".join(MODULES.values())
    prefixes = ("source_", "state_", "ended_by_", "label_", "origin_", "taught_", "status_", "accelerator_", "stage_")
    prefixes += ("device_", "finding_", "kind_", "side_", "verdict_", "sound_gate_", "motion_gate_")
    unused = {key for key in TABLE if not key.startswith(prefixes) and f'"{key}"' not in text}
    assert unused <= {
        "now",
        "events",
        "teach",
        "device",
        "refused",
        "page_down",
        "daemon_down",
        "image",
        "audio",
        "text",
    }


def test_the_views_have_no_words_of_their_own() -> None:
    for name, text in MODULES.items():
        templates = " ".join(re.findall(r"html`(?:[^`\\]|\\.)*`", re.sub(r"//.*", "", text)))
        # words of people stand behind a tag, and are more than one
        assert not re.findall(r">\s*[A-Z][a-z]+ [a-z]+", templates), name
