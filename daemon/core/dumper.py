"""Writes documents as YAML that `document` reads: the only place where YAML is written."""

from typing import Any

import yaml

# those of Unicode, which are no line feeds
LINE_ENDS = ("\r", "\x85", "\u2028", "\u2029")


def dump_document(value: dict[str, Any]) -> bytes:
    """Return a document as YAML, in the order of its keys. Equal values give equal bytes."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=None, sort_keys=False, allow_unicode=True, width=120
    )
    return text.encode()


class _Dumper(yaml.SafeDumper):
    """YAML's safe dumper without anchors: this program reads none."""

    def ignore_aliases(self, _data: object) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Return a text, in double quotes if it has a line end that YAML would read as a space or a line feed."""
        style = '"' if any(each in text for each in LINE_ENDS) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)
