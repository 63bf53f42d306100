"""The systems that packages are built for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One release of Debian on one kind of processor. `arch` is Debian's name of the processor."""

    suite: str
    debian: int
    python: str  # the one Python of this release, such as 3.11
    glibc: tuple[int, int]
    arch: str
    machine: str  # what `uname -m` says

    @property
    def name(self) -> str:
        """What names the target in options and files, such as deb12-arm64."""
        return f"deb{self.debian}-{self.arch}"

    @property
    def platforms(self) -> list[str]:
        """The platform tags of the wheels that run here, best first."""
        major, minor = self.glibc
        # 5: the oldest glibc that has a tag
        known = [f"manylinux_{major}_{each}_{self.machine}" for each in range(minor, 4, -1)]
        return [*known, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]

    @property
    def environment(self) -> dict[str, str]:
        """The values of all variables that a marker of a requirement may name."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


TARGETS = [
    Target(suite, debian, python, glibc, arch, machine)
    for suite, debian, python, glibc in (("bookworm", 12, "3.11", (2, 36)), ("trixie", 13, "3.13", (2, 41)))
    for arch, machine in (("amd64", "x86_64"), ("arm64", "aarch64"))
]


def target_named(name: str) -> Target:
    """Return the target with this name; KeyError if there is none."""
    return {target.name: target for target in TARGETS}[name]
