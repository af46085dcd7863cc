"""How this machine's package manager is set up, so that what we install and build comes from the mirrors it uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shaketable.adapters import command
from shaketable.adapters.command import Say
from shaketable.model.errors import EngineError

APT = Path("/etc/apt")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)")
_KEPT_SETTINGS = re.compile(r'Acquire::(?:Check-Valid-Until|Check-Date|https?::Proxy) "[^"]*";')
_LIMIT = 900.0


@dataclass(frozen=True, slots=True)
class Release:
    """The distribution: `debian` or `ubuntu` or another id, its code name, and its number (0 if it has none)."""

    id: str
    codename: str
    number: int


@dataclass(frozen=True, slots=True)
class Source:
    """One place packages come from."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where a Debian release's main and security packages come from; `security` is empty where the machine has none."""

    main: str
    security: str
    signed_by: str
    settings: tuple[str, ...] = field(default=())
    """Lines of apt's configuration that a container needs too: time checks and proxies."""


def release(text: str) -> Release:
    """Read the text of /etc/os-release."""
    found = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, re.MULTILINE))
    number = re.match(r"\d+", found.get("VERSION_ID", ""))
    return Release(found.get("ID", ""), found.get("VERSION_CODENAME", ""), int(number[0]) if number else 0)


def this_release() -> Release:
    """Tell this machine's distribution; an empty id where that cannot be told, as on macOS."""
    try:
        return release(Path("/etc/os-release").read_text())
    except OSError:
        return Release("", "", 0)


def sources(folder: Path = APT) -> list[Source]:
    """All package sources in apt's configuration that are switched on, in apt's own order of files."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    found: list[Source] = []
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if file.suffix == ".list":
            found += _one_line(text)
        elif file.suffix == ".sources":
            found += _deb822(text)
    return found


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.strip()):
            signed = re.search(r"signed-by=(\S+)", match["options"] or "")
            key = signed[1] if signed else ""
            yield Source(match["uri"], (match["suite"],), tuple(match["components"].split()), key)


def _deb822(text: str) -> Iterator[Source]:
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", kept):
        unfolded = re.sub(r"\n[ \t]+", " ", paragraph)
        fields = {key.lower(): value.strip() for key, value in re.findall(r"^([\w-]+):(.*)$", unfolded, re.MULTILINE)}
        if "deb" not in fields.get("types", "deb").split() or fields.get("enabled", "yes").lower() in {"no", "false"}:
            continue
        for uri in fields.get("uris", "").split():
            yield Source(
                uri,
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                fields.get("signed-by", ""),
            )


def debian_mirror(codename: str, found: Sequence[Source]) -> Mirror | None:
    """Give the mirror that serves the Debian release `codename` by the machine's own sources; None without one."""
    usable = [s for s in found if s.uri.startswith(("http://", "https://")) and "main" in s.components]
    main = next((s for s in usable if codename in s.suites), None)
    if main is None:
        return None
    security = next((s.uri for s in usable if f"{codename}-security" in s.suites), "")
    return Mirror(main.uri, security, main.signed_by or _KEYRING)


def container_settings() -> tuple[str, ...]:
    """Lines of this machine's apt configuration without which a container could not use the same mirror."""
    try:
        dump = command.run(["apt-config", "dump"], limit=20).stdout
    except FileNotFoundError:
        return ()
    kept = [line for line in dump.splitlines() if _KEPT_SETTINGS.fullmatch(line)]
    return tuple(line for line in kept if not re.search(r"localhost|//127\.", line))


def update(say: Say) -> None:
    """Fetch the package lists. A source that fails is only reported: the packages wanted may be in the others."""
    say("apt: fetching the package lists")
    done = command.run(["apt-get", "-q", "update"], limit=_LIMIT, environment=_QUIET)
    if not done.ok:
        say(f"apt: not every list could be fetched: {done.last(1)}")


def install(packages: Sequence[str], say: Say) -> None:
    """Install packages, without what they only recommend. Raises EngineError."""
    say(f"apt: installing {' '.join(packages)}")
    options = ["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    done = command.run(["apt-get", *options, "install", *packages], limit=_LIMIT, environment=_QUIET)
    if not done.ok:
        raise EngineError(
            f"apt could not install {' '.join(packages)}:\n{done.last()}",
            hint="repair the machine's package sources, or install Docker and its compose plugin yourself",
        )


def add_newer_release(codename: str, mirror: Mirror, folder: Path = APT) -> None:
    """Add a newer release's packages at a priority so low that only what is asked for by name comes from it."""
    if any(codename in source.suites for source in sources(folder)):
        return
    (folder / "sources.list.d" / f"shaketable-{codename}.sources").write_text(
        f"Types: deb\nURIs: {mirror.main}\nSuites: {codename}\nComponents: main\nSigned-By: {mirror.signed_by}\n"
    )
    (folder / "preferences.d" / f"shaketable-{codename}").write_text(
        f"Package: *\nPin: release n={codename}\nPin-Priority: 100\n"
    )
