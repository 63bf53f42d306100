"""The files of a Debian package outside of /opt/perceptd: units, users, rules, man page, completion, documents."""

import gzip
from email.utils import formatdate
from pathlib import Path

from daemon import __version__
from daemon.cli.parser import new_parser
from packages.completions import completion
from packages.manpages import man_page
from packages.source import ROOT, commit_time_s
from packages.targets import Target
from packages.tree import write

# from the checkout to the package
COPIED = {
    "systemd/perceptd.service": "usr/lib/systemd/system/perceptd.service",
    "systemd/perceptd.socket": "usr/lib/systemd/system/perceptd.socket",
    "systemd/perceptd-page.service": "usr/lib/systemd/system/perceptd-page.service",
    "systemd/perceptd-page.socket": "usr/lib/systemd/system/perceptd-page.socket",
    "systemd/perceptd.sysusers": "usr/lib/sysusers.d/perceptd.conf",
    "systemd/51-perceptd.rules": "usr/lib/udev/rules.d/51-perceptd.rules",
    "scripts/packages/debian/copyright": "usr/share/doc/perceptd/copyright",
    "scripts/packages/debian/lintian-overrides": "usr/share/lintian/overrides/perceptd",
}
CHANGELOG = """perceptd ({version}) {suite}; urgency=medium

  * Version {release}. /opt/perceptd/CHANGELOG.md says what has changed.

 -- {maintainer}  {date}
"""


def write_system_files(target: Target, destination: Path, version: str, maintainer: str) -> None:
    """Write them below `destination`, which stands for /. `version` is the package's, such as 0.8.0+deb12."""
    for name, path in COPIED.items():
        write(destination / path, (ROOT / name).read_bytes())
    parser = new_parser()
    documents = destination / "usr/share"
    write(documents / "man/man1/perceptd.1.gz", _compressed(man_page(parser, commit_time_s())))
    write(documents / "bash-completion/completions/perceptd", completion(parser, "bash").encode())
    write(documents / "zsh/vendor-completions/_perceptd", completion(parser, "zsh").encode())
    changelog = CHANGELOG.format(
        version=version,
        suite=target.suite,
        release=__version__,
        maintainer=maintainer,
        date=formatdate(commit_time_s()),
    )
    write(documents / "doc/perceptd/changelog.gz", _compressed(changelog))


def _compressed(text: str) -> bytes:
    return gzip.compress(text.encode(), 9, mtime=0)
