"""How the machine's package sources are read, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from shaketable.adapters import apt
from shaketable.adapters.base_image import configure
from shaketable.adapters.host_engine import packages_for

DEB822 = """\
# a comment
Types: deb deb-src
# another
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /keys/debian.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
"""


def test_both_forms_of_sources_are_read(tmp_path: Path) -> None:
    """A machine's mirror is found however its sources are written; what is switched off is not used."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb-src http://src.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/keys/a.gpg] https://a.example/debian trixie main contrib # why\n"
    )
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "other.sources.disabled").write_text(DEB822)
    assert apt.sources(tmp_path) == [
        apt.Source("https://a.example/debian", ("trixie",), ("main", "contrib"), "/keys/a.gpg"),
        apt.Source(
            "http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main", "contrib"), "/keys/debian.gpg"
        ),
        apt.Source("http://mirror.example/security", ("bookworm-security",), ("main",)),
    ]


def test_the_mirror_of_a_release_comes_with_its_security_fixes() -> None:
    """An image is built from the mirror of its own release only, and with that release's security source."""
    found = [
        apt.Source("cdrom:[Debian]/", ("bookworm",), ("main",)),
        apt.Source("http://third.example", ("bookworm",), ("stable",)),
        apt.Source("http://mirror.example/debian", ("bookworm",), ("main",), "/keys/debian.gpg"),
        apt.Source("http://mirror.example/security", ("bookworm-security",), ("main",)),
    ]
    assert apt.debian_mirror("bookworm", found) == apt.Mirror(
        "http://mirror.example/debian", "http://mirror.example/security", "/keys/debian.gpg"
    )
    assert apt.debian_mirror("trixie", found) is None


def test_a_newer_release_is_only_for_what_is_asked_for_by_name(tmp_path: Path) -> None:
    """Installing an engine must not upgrade the rest of the machine; an existing source is left as it is."""
    for folder in ("sources.list.d", "preferences.d"):
        (tmp_path / folder).mkdir()
    mirror = apt.Mirror("http://mirror.example/debian", "", "/keys/debian.gpg")
    apt.add_newer_release("trixie", mirror, tmp_path)
    assert apt.sources(tmp_path) == [
        apt.Source("http://mirror.example/debian", ("trixie",), ("main",), "/keys/debian.gpg")
    ]
    pin = (tmp_path / "preferences.d" / "shaketable-trixie").read_text()
    assert "Pin: release n=trixie" in pin
    assert "Pin-Priority: 100" in pin
    (tmp_path / "preferences.d" / "shaketable-trixie").unlink()
    apt.add_newer_release("trixie", mirror, tmp_path)
    assert list((tmp_path / "preferences.d").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
            ["docker.io/trixie", "docker-cli/trixie", "docker-compose/trixie"],
        ),
        ('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n', ["docker.io", "docker-cli", "docker-compose"]),
        ("ID=debian\nVERSION_CODENAME=forky\n", ["docker.io", "docker-cli", "docker-compose"]),
        ('ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n', ["docker.io", "docker-compose-v2"]),
        ('ID=debian\nVERSION_ID="11"\nVERSION_CODENAME=bullseye\n', []),
        ("ID=fedora\nVERSION_ID=41\n", []),
        ("", []),
    ],
)
def test_each_distribution_has_its_own_packages(text: str, wanted: list[str]) -> None:
    """Debian 12 alone has no compose v2; where no way is known, nothing is tried."""
    assert packages_for(apt.release(text), ("docker.io", "docker-cli")) == wanted


def test_a_made_image_can_install_packages_and_security_fixes(tmp_path: Path) -> None:
    """The stand-in for the public image names the machine's mirrors, starts no services, and carries no ballast."""
    for folder in ("etc/apt/apt.conf.d", "usr/sbin", "usr/share/doc/x", "var/lib/apt/lists", "var/cache/apt"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/share/doc/x/y").write_text("ballast")
    configure(tmp_path, apt.Mirror("http://m/debian", "http://m/security", ""), ('Acquire::Check-Date "false";',))
    assert (tmp_path / "etc/apt/sources.list").read_text().splitlines() == [
        "deb http://m/debian bookworm main",
        "deb http://m/debian bookworm-updates main",
        "deb http://m/security bookworm-security main",
    ]
    assert "Check-Date" in (tmp_path / "etc/apt/apt.conf.d/90container").read_text()
    assert (tmp_path / "usr/sbin/policy-rc.d").stat().st_mode & 0o111
    assert list((tmp_path / "usr/share/doc").iterdir()) == []
    assert (tmp_path / "var/lib/apt/lists/partial").is_dir()
