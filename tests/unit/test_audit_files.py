"""The audit of real compose files, read by compose itself; no engine is asked, and no image is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli import ROOT, shaketable

from shaketable.adapters.audit import audited_topology, compose_files
from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.compose_command import compose_version
from shaketable.checks.audit import audit_findings
from shaketable.model.audit import AuditFinding
from shaketable.model.errors import ScenarioError
from shaketable.model.result import Trial
from shaketable.run.campaign import Campaign, Request
from shaketable.run.prepare import load_all

pytestmark = pytest.mark.skipif(not compose_version(), reason="compose v2 is not on this machine")

GOOD = """
    image: web:1
    restart: always
    mem_limit: 64m
    pids_limit: 50
    healthcheck: {test: [CMD, look]}
"""
QUOTED_NO = '"no"'


def write(folder: Path, **files: str) -> None:
    """Write files by name, with `__` for a slash and `_` for a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def findings(folder: Path, *files: str) -> list[AuditFinding]:
    """What is found in a folder's compose files."""
    return list(audit_findings(audited_topology(ComposeProject(*compose_files(folder, files), "st-audit", "audit"))))


def places(found: list[AuditFinding], folder: Path) -> list[str]:
    """Rule, service and place of each finding, the folder left out."""
    return [f"{f.rule} {f.service} {str(f.at).removeprefix(f'{folder}/')}" for f in found]


def test_a_good_service_has_no_finding(tmp_path: Path) -> None:
    """What is written in either of compose's forms counts."""
    deployed = "deploy: {restart_policy: {condition: any}, resources: {limits: {memory: 64M, pids: 50}}}"
    other = f"    image: web@sha256:{'0' * 64}\n    {deployed}\n    healthcheck: {{test: [CMD, look]}}\n"
    write(tmp_path, compose_yaml=f"services:\n  web:{GOOD}  other:\n{other}")
    assert findings(tmp_path) == []


def test_a_finding_stands_where_it_is_set(tmp_path: Path) -> None:
    """The file that sets something last is to blame; what nobody sets is the service's, where it is first declared."""
    write(
        tmp_path,
        compose_yaml=f"services:\n  web:{GOOD}  bare: {{image: web:1}}\n",
        more_yaml="services:\n  bare: {environment: {A: b}}\n  web:\n    restart: 'no'\n    mem_limit: 0\n",
        last_yaml="services:\n  web:\n    image: web\n    healthcheck: {disable: true}\n",
    )
    assert places(findings(tmp_path, "compose.yaml", "more.yaml", "last.yaml"), tmp_path) == [
        "restart-policy web more.yaml:4:5",
        "restart-policy bare compose.yaml:8:3",
        "pinned-versions web last.yaml:3:5",
        "limits web more.yaml:5:5",
        "limits bare compose.yaml:8:3",
        "health-check web last.yaml:4:5",
        "health-check bare compose.yaml:8:3",
    ]


def test_anchors_extended_and_included_files(tmp_path: Path) -> None:
    """A setting that comes from elsewhere stands there."""
    write(
        tmp_path,
        compose_yaml=f"""include: [part/compose.yaml, {{path: second.yaml}}]
x-any: &any
  restart: on-failure:3
services:
  anchored:
    <<: *any{GOOD.replace("restart: always", "")}
  extended:
    extends: {{file: part/base.yaml, service: base}}
  own:
    extends: anchored
""",
        part__compose_yaml=f"services:\n  inside:{GOOD.replace('web:1', 'web:latest')}",
        part__base_yaml=f"services:\n  base:{GOOD.replace('always', QUOTED_NO)}",
        second_yaml=f"services:\n  second:{GOOD.replace('64m', '0')}",
    )
    assert places(findings(tmp_path), tmp_path) == [
        "restart-policy anchored compose.yaml:3:3",
        "restart-policy extended part/base.yaml:4:5",
        "restart-policy own compose.yaml:3:3",
        "pinned-versions inside part/compose.yaml:3:5",
        "limits second second.yaml:5:5",
    ]


def test_swarm_settings_come_first(tmp_path: Path) -> None:
    """`deploy.restart_policy` is what counts for compose too, where both are there."""
    good = GOOD.replace("restart: always", "restart: always\n    deploy: {restart_policy: {condition: none}}")
    write(tmp_path, compose_yaml=f"services:\n  web:{good}")
    assert places(findings(tmp_path), tmp_path) == ["restart-policy web compose.yaml:5:31"]


def test_jobs_may_end(tmp_path: Path) -> None:
    """A service whose completion is waited for needs neither a restart policy nor a health check; limits it needs."""
    waits = "    depends_on: {job: {condition: service_completed_successfully}}\n"
    write(tmp_path, compose_yaml=f"services:\n  job: {{image: web:1, mem_limit: 9m}}\n  web:{GOOD}{waits}")
    assert places(findings(tmp_path), tmp_path) == ["limits job compose.yaml:2:3"]


def test_dockerfiles(tmp_path: Path) -> None:
    """Of an image that is built the bases are looked at, in the Dockerfile, and its health check counts."""
    good = GOOD.replace("    healthcheck: {test: [CMD, look]}\n", "")
    inline = "    build:\n      context: .\n      dockerfile_inline: |\n        FROM debian:12\n        FROM debian\n"
    write(
        tmp_path,
        compose_yaml=f"""services:
  built:{good.replace("web:1", "mine")}    build: {{context: app, args: {{BASE: "x:latest"}}, target: checked}}
  same:{good.replace("web:1", "mine")}
  other:{good.replace("web:1", "other:1")}
  inline:{GOOD.replace("image: web:1", "")}{inline}
  far:{GOOD.replace("image: web:1", "build: https://git.example.org/far.git")}
""",
        app__Dockerfile="ARG BASE=debian:12\nFROM --platform=$BUILDPLATFORM ${BASE} AS one\nHEALTHCHECK CMD x\n"
        "FROM one AS checked\nCOPY --from=tools /a /a\nFROM y:2\n",
    )
    assert places(findings(tmp_path), tmp_path) == [
        "pinned-versions built app/Dockerfile:2:32",
        "pinned-versions built app/Dockerfile:5:13",
        "pinned-versions inline compose.yaml:30:14",
        "health-check other compose.yaml:14:3",
    ]


def test_nested_hosts(tmp_path: Path) -> None:
    """Inner services are read with the host's name put in, and its engine's settings stand in the outer file."""
    nested = "x-shaketable:\n  nested:\n    host-1:\n      compose: [in/compose.yaml, in/more.yaml]\n"
    write(
        tmp_path,
        compose_yaml=f"{nested}      daemon: {{live-restore: false}}\n    host-2:\n      compose: [in/compose.yaml]\n"
        f'      engine: "26.1"\n      daemon: {{live-restore: true}}\n      hold: true\nservices:\n  web:{GOOD}',
        in__compose_yaml=f"services:\n  web:{GOOD.replace('web:1', '${SHAKETABLE_HOST?}')}",
        in__more_yaml="services: {web: {image: web:2, restart: 'no'}}\n",
    )
    found = findings(tmp_path)
    assert places(found, tmp_path) == [
        "restart-policy host-1/web in/more.yaml:1:32",
        "live-restore host-1 compose.yaml:5:16",
        "held-packages host-1 compose.yaml:3:5",
        "pinned-versions host-2/web in/compose.yaml:3:5",
        "pinned-versions host-1 compose.yaml:3:5",
    ]
    assert "runs host-2, which has no tag" in found[3].text


def test_what_cannot_be_read_has_its_place(tmp_path: Path) -> None:
    """A Dockerfile that is not there, an inner file that is wrong: every problem at once, as file:line:col."""
    nested = "x-shaketable:\n  nested:\n    host-1: {compose: [in.yaml]}\n"
    write(
        tmp_path,
        compose_yaml=f"{nested}services:\n  a: {{build: nowhere}}\n  b:\n    build: beyond\n",
        in_yaml="services: {web: {imag: x}}\n",
    )
    with pytest.raises(ScenarioError) as caught:
        findings(tmp_path)
    assert [f"{Path(p.file).name}:{p.line}:{p.col}" for p in caught.value.problems] == [
        "compose.yaml:5:7",
        "compose.yaml:7:5",
        "in.yaml:1:18",
    ]
    assert "the Dockerfile of service a cannot be read" in caught.value.problems[0].message


@pytest.mark.parametrize(
    ("present", "named", "taken"),
    [
        (["compose.yaml", "docker-compose.yml"], [], ("compose.yaml",)),
        (
            ["docker-compose.yml", "docker-compose.override.yml"],
            [],
            ("docker-compose.yml", "docker-compose.override.yml"),
        ),
        (["compose.yml", "docker-compose.override.yaml"], [], ("compose.yml", "docker-compose.override.yaml")),
        (["compose.yaml", "compose.override.yaml"], ["compose.yaml", "b.yaml"], ("compose.yaml", "b.yaml")),
    ],
)
def test_a_folder_has_the_files_that_compose_would_take(
    tmp_path: Path, present: list[str], named: list[str], taken: tuple[str, ...]
) -> None:
    """Any folder that `docker compose up` takes is taken as it takes it; named files are those alone."""
    for name in present:
        (tmp_path / name).write_text("")
    assert compose_files(tmp_path, named) == (tmp_path, taken)


def test_a_file_may_be_named_itself(tmp_path: Path) -> None:
    """Further files go on top of it."""
    (tmp_path / "stack.yaml").write_text("")
    assert compose_files(tmp_path / "stack.yaml", ["b.yaml"]) == (tmp_path, ("stack.yaml", "b.yaml"))


@pytest.mark.parametrize(("name", "services"), [("backoffice", 21), ("ledger", 3)])
def test_our_own_topologies(name: str, services: int, tmp_path: Path) -> None:
    """Theirs is a table's life: nothing restarts by itself; memory is limited and versions are pinned."""
    found = findings(ROOT / "compose" / name)
    counts = {rule: sum(f.rule == rule for f in found) for rule in {f.rule for f in found}}
    assert counts == {"restart-policy": services, "limits": services, "health-check": services}
    assert {f.text for f in found if f.rule == "limits"} == {"has no limit of processes"}
    done = shaketable("audit", str(ROOT / "compose" / name), DOCKER_HOST=f"unix://{tmp_path}/no.sock", COLUMNS="80")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"compose/{name}/compose.yaml: {services} services"
    assert lines[1].startswith("after a restart or upgrade of the engine these stay down: ")
    assert lines[-1].startswith(f"{3 * services} findings: restart-policy {services}, limits {services}")


def test_the_command(tmp_path: Path) -> None:
    """Exit 0 without findings, 1 with some, 2 for what cannot be read; rules can be chosen, and JSON has it all."""
    gone = f"unix://{tmp_path}/no.sock"
    write(
        tmp_path, compose_yaml=f"services:\n  web:{GOOD.replace('always', 'unless-stopped')}", wrong_yaml="services: ["
    )
    done = shaketable("audit", str(tmp_path), DOCKER_HOST=gone)
    assert done.returncode == 0, done.stderr
    assert "every service runs again\nafter a kill of the engine these stay down too: web" in done.stdout
    assert done.stdout.endswith("nothing to object to\n")
    done = shaketable("audit", str(tmp_path / "wrong.yaml"), DOCKER_HOST=gone)
    assert done.returncode == 2
    assert "wrong.yaml:1:12: is not YAML" in done.stderr
    write(tmp_path, more_yaml="services: {web: {restart: on-failure, image: web}}")
    words = ["audit", str(tmp_path), "--file", "compose.yaml", "--file", "more.yaml"]
    done = shaketable(*words, "--rule", "restart-policy", "--except", "limits", "--json", DOCKER_HOST=gone)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["stays_down"]["engine_restarted_if_it_ends_well"] == ["web"]
    (finding,) = told["findings"]
    assert (finding["rule"], finding["service"], finding["line"], finding["col"]) == ("restart-policy", "web", 1, 18)
    assert finding["text"].startswith("web has the restart policy on-failure")
    assert finding["mend"].startswith("restart: always")
    done = shaketable(*words, "--rule", "restart-polcy")
    assert done.returncode == 2
    assert "did you mean 'restart-policy'?" in done.stderr


SCENARIO = """
shaketable: 1
name: sound
topology: {compose: .}
variants:
  incident: {files: [compose.yaml], expect: fail}
  fixed: {files: [compose.yaml, fixed.yaml]}
load: {locustfile: load.py, target: "http://web:8080", rate: 20 /s}
observers: {holders: {web: {kind: http-json, at: "web:8080", lists: {servers: backends}}}}
steady: {lists: {servers: 1}}
faults: [{id: crash, kind: kill, target: {host: web}, lasts: 4s}]
expectations: [{id: sound, kind: audit}]
"""


def test_a_campaign_audits_each_variant_once_before_it_starts(tmp_path: Path) -> None:
    """Whatever the trials' engine has, only the variant's own files are judged; without an audit nothing is read."""
    write(
        tmp_path,
        compose_yaml=f"services:\n  web:{GOOD.replace('restart: always', '')}",
        fixed_yaml="services: {web: {restart: always}}",
        load_py="",
        sound_yaml=SCENARIO,
        other_yaml=SCENARIO.replace("kind: audit", "kind: recovers, within: 1s").replace("name: sound", "name: other"),
    )
    loaded = load_all([tmp_path / "sound.yaml", tmp_path / "other.yaml"])
    campaign = Campaign(Request("prove", loaded, tmp_path / "run"), NoProgress())
    for one in loaded:
        campaign._check(one)
    audits = campaign._audits
    assert [(f.rule, f.service, f.at.line) for f in audits["sound", "incident"] or ()] == [("restart-policy", "web", 2)]
    assert audits["sound", "fixed"] == ()
    assert ("other", "incident") not in audits


class NoProgress:
    """Nobody is told anything."""

    def say(self, text: str) -> None:
        """Pass over it."""

    def begin(self, total: int) -> None:
        """Pass over it."""

    def trial(self, variant: str, trial: Trial) -> None:
        """Pass over it."""
