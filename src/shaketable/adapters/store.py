"""The run folder: appended while it happens, columnar at the end, and a usable prefix if it is killed in between."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any

import duckdb

from shaketable.checks.slices import slice_rows
from shaketable.model.audit import AuditFinding, Place
from shaketable.model.errors import ShakeError, UsageError
from shaketable.model.history import FaultRecord, LoadBeat, Look, LookBeat, Request, TrialHistory, Tripped, Witnessed
from shaketable.model.result import Result

VERSION = 3
WRITTEN = "written"
"""Name of the file with what stood in the scenario's own, where it extends another."""
_TABLES = {
    "requests": "lane INTEGER, scheduled DOUBLE, started DOUBLE, ended DOUBLE, name VARCHAR, ok BOOLEAN, status INTEGER,"
    " error VARCHAR, served_by VARCHAR, upstreams VARCHAR[], wrote VARCHAR, cohort VARCHAR",
    "looks": "lane INTEGER, at DOUBLE, holder VARCHAR, list VARCHAR, entries VARCHAR[]",
    "beats": "lane INTEGER, at DOUBLE, holder VARCHAR, looks INTEGER, max_gap DOUBLE, planned INTEGER, not_started INTEGER",
}
_ROWS = ("requests", "load_beats", "looks", "look_beats")


@contextmanager
def _on_disk(folder: Path) -> Iterator[None]:
    """Say in one sentence what the disk refused."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(
            f"the run's record cannot be written to {folder}: {why}",
            hint="free some space, or name another folder with --out",
        ) from error


class RunStore:
    """Writes one run's folder; called from many threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._failed: ShakeError | None = None
        with _on_disk(folder):
            self._files: dict[str, IO[str]] = {
                name: (folder / f"{name}.jsonl").open("x") for name in ("events", *_TABLES)
            }

    @classmethod
    def create(
        cls, out: Path, scenarios: Sequence[tuple[Path, str]], written: Mapping[Path, str] | None = None
    ) -> RunStore:
        """Make the folder and keep the scenarios' text as run, and as `written` where that is something else.

        Raises UsageError if it holds something or is not writable.
        """
        with _on_disk(out):
            out.mkdir(parents=True, exist_ok=True)
            if any(out.iterdir()):
                raise UsageError(f"{out} is not empty; a run is never mixed with another", hint="name a new folder")
            for number, (path, text) in enumerate(scenarios):
                copy = out / "scenarios" / f"{number:02}" / path.name
                copy.parent.mkdir(parents=True)
                copy.write_text(text)
                if written and path in written:
                    (copy.parent / WRITTEN).write_text(written[path])
            (out / "scenarios" / "origins").write_text("".join(f"{path.absolute()}\n" for path, _ in scenarios))
        return cls(out)

    def check(self) -> None:
        """Raise what a writing thread could not."""
        if self._failed is not None:
            raise self._failed

    def _append(self, table: str, row: dict[str, Any], *, fsync: bool = False) -> None:
        line = json.dumps(row, separators=(",", ":")) + "\n"
        with self._lock:
            if self._failed is not None or self._files[table].closed:
                return
            try:
                with _on_disk(self.folder):
                    file = self._files[table]
                    file.write(line)
                    if table == "events":
                        file.flush()
                    if fsync:
                        os.fsync(file.fileno())
            except ShakeError as error:
                self._failed = error

    def event(self, kind: str, at: float, *, fsync: bool = False, **fields: Any) -> None:
        """Something happened at `at` (engine seconds); `fsync` at fault boundaries."""
        self._append("events", {"kind": kind, "at": at, **fields}, fsync=fsync)

    def request(self, lane: int, request: Request) -> None:
        """An arrival has ended."""
        self._append("requests", {"lane": lane, **asdict(request)})

    def look(self, lane: int, look: Look) -> None:
        """A holder's list changed."""
        self._append("looks", {"lane": lane, **asdict(look)})

    def look_beat(self, lane: int, beat: LookBeat) -> None:
        """How closely a holder was watched."""
        self._append("beats", {"lane": lane, **asdict(beat)})

    def load_beat(self, lane: int, beat: LoadBeat) -> None:
        """What the load says of itself; its holder is empty."""
        self._append("beats", {"lane": lane, "holder": "", **asdict(beat)})

    def trial(self, history: TrialHistory) -> None:
        """A trial is over: everything of it that is not rows, and all rows so far on disk.

        `rows` says how many there must be when it is read back, and `looks_from` since when the lane's present topology
        was looked at: what was seen of an earlier one is not its state.
        """
        with self._lock:
            try:
                with _on_disk(self.folder):
                    for name in _TABLES:
                        if not self._files[name].closed:
                            self._files[name].flush()
            except ShakeError as error:
                self._failed = self._failed or error
        self.event(
            "trial",
            history.ended,
            fsync=True,
            version=VERSION,
            rows={name: len(getattr(history, name)) for name in _ROWS},
            looks_from=min((look.at for look in history.looks), default=None),
            trial=_plain(history),
        )

    def close(self, result: Result) -> None:
        """Turn the rows into Parquet, then write result.json: a folder that has it is complete.

        Each takes its place in one step, so that a kill in between loses nothing. Raises UsageError when the disk refuses.
        """
        self.abandon()
        self.check()
        with _on_disk(self.folder):
            for table, columns in _TABLES.items():
                rows, made = self.folder / f"{table}.jsonl", self.folder / f"{table}.parquet.new"
                with duckdb.connect() as db:
                    db.execute(
                        f"COPY ({_read_rows(columns, torn=False)}) TO '{_quoted(made)}' (FORMAT parquet, COMPRESSION zstd)",
                        [str(rows)],
                    )
                made.replace(self.folder / f"{table}.parquet")
                rows.unlink()
            made = self.folder / "result.json.new"
            made.write_text(result.to_json() + "\n")
            made.replace(self.folder / "result.json")

    def abandon(self) -> None:
        """Close the files as they are; the rows so far stay readable."""
        with self._lock:
            for file in self._files.values():
                try:
                    with _on_disk(self.folder):
                        file.close()
                except ShakeError as error:
                    self._failed = self._failed or error


def _read_rows(columns: str, *, torn: bool) -> str:
    """Read appended rows; where one may be torn it becomes a row of NULLs."""
    spec = ", ".join(f"'{c.split()[0]}': '{c.split()[1]}'" for c in columns.split(", "))
    return (
        f"SELECT * FROM read_json(?, format='newline_delimited', ignore_errors={str(torn).lower()}, columns={{{spec}}})"
    )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _plain(history: TrialHistory) -> dict[str, Any]:
    plain = {f.name: getattr(history, f.name) for f in fields(history) if f.name not in _ROWS}
    plain["axis"], plain["environment"] = dict(history.axis), dict(history.environment)
    plain["faults"] = [{**asdict(fault), "members": dict(fault.members)} for fault in history.faults]
    plain["audit"] = None if history.audit is None else [asdict(found) for found in history.audit]
    plain["tripped"] = None if history.tripped is None else asdict(history.tripped)
    return plain


def _typed(plain: dict[str, Any]) -> dict[str, Any]:
    plain["faults"] = tuple(
        FaultRecord(
            **{
                **fault,
                "targets": tuple(fault["targets"]),
                "notes": tuple(fault["notes"]),
                "witness": Witnessed(**fault["witness"]),
            }
        )
        for fault in plain["faults"]
    )
    if plain.get("audit") is not None:  # earlier records say nothing of it
        plain["audit"] = tuple(AuditFinding(**{**found, "at": Place(**found["at"])}) for found in plain["audit"])
    if plain.get("tripped") is not None:
        plain["tripped"] = Tripped(**plain["tripped"])
    return plain


def _rows(folder: Path, table: str, make: Callable[[tuple[Any, ...]], Any]) -> dict[int, list[Any]]:
    """All rows of a table by lane, from Parquet or, where a run was killed, from what had been appended."""
    parquet, appended = folder / f"{table}.parquet", folder / f"{table}.jsonl"
    by_lane: dict[int, list[Any]] = {}
    found: list[tuple[Any, ...]] = []
    try:
        with duckdb.connect() as db:
            if parquet.exists():
                found = db.execute("SELECT * FROM read_parquet(?)", [str(parquet)]).fetchall()
            elif appended.exists():
                found = db.execute(_read_rows(_TABLES[table], torn=True), [str(appended)]).fetchall()
                if found and found[-1][0] is None and not appended.read_bytes().endswith(b"\n"):
                    del found[-1]  # the line that was being written when the run was killed
    except (duckdb.Error, OSError) as error:
        raise UsageError(f"{table} of {folder} cannot be read: {str(error).splitlines()[0]}") from error
    for lane, *row in found:
        if lane is None:
            raise UsageError(f"{appended} is damaged: it holds a line that is no row")
        by_lane.setdefault(lane, []).append(make(tuple(row)))
    return by_lane


def _look(row: tuple[Any, ...]) -> Look:
    return Look(row[0], row[1], row[2], None if row[3] is None else tuple(row[3]))


def _beat(row: tuple[Any, ...]) -> LookBeat | LoadBeat:
    at, holder, looks, max_gap, planned, not_started = row
    return LookBeat(at, holder, looks, max_gap) if holder else LoadBeat(at, planned, not_started)


def _events(folder: Path) -> Iterable[dict[str, Any]]:
    path = folder / "events.jsonl"
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"{folder} holds no readable record: {error.strerror}") from error
    for number, line in enumerate(lines[:-1], 1):  # what follows the last line end was torn by a kill, or is nothing
        try:
            yield json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}:{number}:1: is no event; the record is damaged") from error


def read_histories(folder: Path) -> list[TrialHistory]:
    """Every trial of a run, with exactly the rows that the live judge saw.

    Of a run that was killed, trials whose rows are not all on disk are left out. Raises UsageError when there is no
    record, or it is damaged or of another version.
    """
    requests = _rows(folder, "requests", Request.from_row)
    looks = _rows(folder, "looks", _look)
    beats = _rows(folder, "beats", _beat)
    histories = []
    for event in _events(folder):
        if event["kind"] != "trial":
            continue
        if event["version"] != VERSION:
            raise UsageError(f"{folder} was recorded by another version (record {event['version']}, not {VERSION})")
        plain = _typed(event["trial"])
        lane = plain["lane"]
        since = event.get("looks_from") or 0.0
        rows = slice_rows(
            plain["began"],
            plain["ended"],
            plain["heard"],
            requests=requests.get(lane, ()),
            load_beats=[b for b in beats.get(lane, ()) if isinstance(b, LoadBeat)],
            looks=[look for look in looks.get(lane, ()) if look.at >= since],
            look_beats=[b for b in beats.get(lane, ()) if isinstance(b, LookBeat)],
        )
        history = TrialHistory(**plain, **rows)
        if all(len(getattr(history, name)) >= count for name, count in event.get("rows", {}).items()):
            histories.append(history)
        elif (folder / "result.json").exists():
            raise UsageError(f"rows of trial {history.index} ({history.variant}) are missing from {folder}")
    return histories


def read_result(folder: Path) -> Result:
    """The run's result.json. Raises UsageError when there is none, as after a run that was killed."""
    try:
        return Result.from_json((folder / "result.json").read_text())
    except OSError as error:
        raise UsageError(f"{folder} has no result.json: {error.strerror}", hint="was the run killed?") from error
    except ValueError as error:
        raise UsageError(f"{folder / 'result.json'} is not a result of this version") from error
