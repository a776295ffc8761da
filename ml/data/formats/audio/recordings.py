"""Recordings in a zip or tar with a list of what is said in them; or recordings alone."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Final

from ml.data.files.archives import list_members, read_members
from ml.data.files.ignored import is_ignored
from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.upload import parse_split
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations
from ml.data.tables.speech_manifests import Entry, Recordings, entries, is_list, is_recording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

OPTIONAL: Final = ("text", "speaker")


class RecordingsAndLists(Format):
    """The list may lie in the archive or beside it; without any, recordings are for pretraining alone."""

    name = "recordings"
    summary = (
        "Zip or tar of recordings with a list: metadata.csv or .jsonl (file_name, text), NeMo (audio_filepath, text), "
        "Common Voice, LJSpeech or LibriSpeech; or recordings alone"
    )
    columns: ClassVar[Mapping[str, str]] = {"audio": "audio", "text": "text", "speaker": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "audio", "json", "text"})
    has_columns = True

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """Only where there is a recording, in an archive or by itself; then more likely than any table."""
        held = [name for source in sources for name in source.member_names]
        heard = any(source.content == "audio" for source in sources) or any(map(is_recording, held))
        return 2 * super().detect(sources, wanted) if heard else 0

    def read(self) -> Iterator[Batch]:
        """In the order of the archives; what no list names is left out once there is a list."""
        where, texts = self._listed()
        recordings = Recordings(where)
        rows = self._rows(recordings, texts)
        listed = rows if texts else {file: Entry(file, None, None, None, Location(file=file)) for file in where}
        found = {name for entry in listed.values() for name in OPTIONAL if getattr(entry, name) is not None}
        self.detected_columns = {name: name for name in OPTIONAL if name in found}
        for file in recordings.files if texts else ():
            if file not in rows:
                self.issues.add("recording_without_text", at=Location(file=file))
        heard = (
            (file, data)
            for source in self.sources
            for file, data in self._contents(source, {file for file in listed if where[file] is source})
        )
        yield from self._batches(heard, listed, where, [name for name in OPTIONAL if name in found])

    def _listed(self) -> tuple[dict[str, UploadedFile], dict[str, bytes]]:
        """Every recording with the source it lies in, and every list with its content."""
        where: dict[str, UploadedFile] = {}
        texts: dict[str, bytes] = {}
        for source in self.sources:
            if source.content in ("json", "text"):
                if source.path.stat().st_size > self.limits.max_image_bytes:
                    self.issues.add("file_too_large", at=Location(file=source.name))
                else:
                    with source.open(self.limits) as file:
                        texts[source.name] = file.read()
                continue
            if source.content == "audio":
                where[source.name] = source
                continue
            try:
                names = [member.file for member in list_members(source, self.issues, self.limits)]
            except DataRejected as refused:
                self.issues.record(refused, at=Location(file=source.name))
                continue
            where |= {name: source for name in names if is_recording(name)}
            lists = {name for name in names if is_list(name) and not is_ignored(name)}
            for name in names:
                if name not in lists and not is_recording(name):
                    self.issues.add("file_ignored", at=Location(file=name))
            for name, data in read_members(source, lists, self.issues, self.limits):
                if isinstance(data, DataRejected):
                    self.issues.record(data, at=Location(file=name))
                else:
                    texts[name] = data
        return where, texts

    def _rows(self, recordings: Recordings, texts: Mapping[str, bytes]) -> dict[str, Entry]:
        """By recording what the lists say of it together; a line whose recording is not there is an error."""
        rows: dict[str, Entry] = {}
        lists = sorted(texts, key=natural_sort_key)
        ours = [name for name in lists if self._names_any(name, texts[name], recordings)]
        for name in lists:
            if ours and name not in ours:
                self.issues.add("file_ignored", at=Location(file=name), expected="a list of recordings in the upload")
                continue
            try:
                for entry in entries(name, texts[name], self.requested_columns, self.issues):
                    file = recordings.find(entry.name, name)
                    if file is None:
                        expected = "the name of a recording in the upload, such as " + (recordings.files or ["none"])[0]
                        self.issues.add("recording_missing", at=entry.at, actual=entry.name, expected=expected, rows=1)
                        continue
                    together = rows[file].with_what_it_lacks(entry) if file in rows else entry
                    if together is None:
                        self.issues.add("recording_listed_twice", at=entry.at, actual=entry.name, rows=1)
                    else:
                        rows[file] = together
            except DataRejected as refused:
                self.issues.record(refused, at=Location(file=name))
        return rows

    def _names_any(self, name: str, content: bytes, recordings: Recordings) -> bool:
        try:
            listed = entries(name, content, self.requested_columns, type(self.issues)(max_samples=0))
            return any(recordings.find(entry.name, name) for entry in listed)
        except DataRejected:
            return False

    def _contents(self, source: UploadedFile, wanted: set[str]) -> Iterator[tuple[str, bytes | DataRejected]]:
        if source.content != "audio":
            yield from read_members(source, wanted, self.issues, self.limits)
        elif source.name in wanted:
            size = source.path.stat().st_size
            if size > self.limits.max_image_bytes:
                expected = f"at most {self.limits.max_image_bytes:,}"
                yield source.name, DataRejected("file_too_large", actual=f"{size:,} bytes", expected=expected)
            else:
                yield source.name, source.path.read_bytes()

    def _batches(
        self,
        heard: Iterator[tuple[str, bytes | DataRejected]],
        listed: Mapping[str, Entry],
        where: Mapping[str, UploadedFile],
        names: Sequence[str],
    ) -> Iterator[Batch]:
        """As many recordings of one split as are worth a batch."""
        files: list[str] = []
        encoded: list[bytes] = []
        split: str | None = None
        weight = 0
        for file, data in heard:
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=file), rows=1)
                continue
            its_split = _split_of(file, listed[file], where[file])
            if files and (len(files) >= ROWS_PER_BATCH or weight >= BYTES_PER_BATCH or its_split != split):
                yield _batch(files, encoded, listed, names, split)
                files, encoded, weight = [], [], 0
            split = its_split
            weight += len(data)
            files.append(file)
            encoded.append(data)
        if files:
            yield _batch(files, encoded, listed, names, split)


def _batch(
    files: Sequence[str], encoded: list[bytes], listed: Mapping[str, Entry], names: Sequence[str], split: str | None
) -> Batch:
    said = {name: [getattr(listed[file], name) or "" for file in files] for name in names}
    return Batch({"audio": encoded, **said}, Locations(files), split)


def _split_of(file: str, entry: Entry, source: UploadedFile) -> str | None:
    """What the owner said of the upload, else the list, else a folder, else the name of the upload."""
    folders = [parse_split(part) for part in PurePosixPath(file).parts[1:-1]]
    return source.requested_split or entry.split or next((each for each in folders if each), None) or source.split
