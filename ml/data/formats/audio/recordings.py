"""Audio files with a manifest or a text beside each, or alone."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.dataset import SPLITS
from ml.data.files import audio
from ml.data.files.archives import list_members, read_members
from ml.data.files.ignored import is_ignored, is_not_learned
from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.text import read_text
from ml.data.files.upload import parse_split
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.lhotse import is_recording_list
from ml.data.locations import Locations
from ml.data.tables.cells import is_number
from ml.data.tables.speech_file_names import find_speakers, match_transcripts
from ml.data.tables.speech_manifests import (
    AudioFileIndex,
    AudioSegment,
    Clip,
    ManifestContext,
    ManifestEntry,
    is_audio_file,
    is_manifest,
    read_entries,
)
from ml.data.unread_fields import UnreadFields

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

_SPEAKER: Final = "speaker"
#: First and last sample before a transcript, as TIMIT writes them: `0 46797 She had your dark suit`.
_LABEL_TRACK: Final = re.compile(r"(?P<start>\d+\.\d+)\t(?P<end>\d+\.\d+)\t(?P<text>.*\S.*)")
_SAMPLE_RANGE: Final = re.compile(r"0 \d{3,} (?=\S)")
#: Lists of Common Voice, and those of clips that were rejected, or that nobody has checked.
_COMMON_VOICE_LISTS: Final = frozenset({"validated", "invalidated", "other", "reported", "train", "dev", "test"})
_UNCHECKED_LISTS: Final = frozenset({"invalidated", "other", "reported", "unvalidated"})
OPTIONAL_COLUMNS: Final = ("text", "label", "speaker")


class SpeechFiles(Format):
    """Audio files with a manifest, or with a text file for each.

    The manifest lies in the archive or beside it.
    Without a manifest they are for pretraining alone.
    """

    name = "recordings"
    summary = (
        "Zip or tar of audio files with a manifest: metadata.csv or .jsonl (file_name, text or label, speaker), NeMo "
        "(audio_filepath, text), Common Voice, LJSpeech, LibriSpeech, Kaldi, fairseq, Piper, VITS or ESC-50; with a "
        "text file per clip, such as LibriTTS and VCTK; or audio files alone"
    )
    columns: ClassVar[Mapping[str, str]] = {
        "audio": "audio",
        "text": "text",
        "label": "label",
        "speaker": "text",
    }
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "audio", "json", "text"})
    has_columns = True
    has_quoting = True

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return 0 without an audio file, else more than any table format."""
        members = [name for source in sources for name in source.member_names]
        has_audio = any(source.content == "audio" for source in sources) or any(map(is_audio_file, members))
        return 2 * super().detect(sources, required) if has_audio else 0

    def read(self) -> Iterator[Batch]:
        """Yield the audio files in the order of the archives.

        If there is a manifest, files that it does not name are left out.
        """
        sources_by_file, manifests = self._list_files()
        entries = self._read_entries(list(sources_by_file), self._select_lists(manifests))
        entries = self._drop_unlisted(entries, sources_by_file)
        clips_by_file: dict[str, list[Clip]] = {}
        for clip in entries:
            clips_by_file.setdefault(clip.file, []).append(clip)
        for file in sources_by_file:
            if file not in clips_by_file:
                self.issues.add("audio_without_text", at=Location(file=file))
        columns = self._choose_columns(entries.values())
        self.detected_columns = {name: name for name in columns}
        contents = self._read_clips(clips_by_file, entries, sources_by_file)
        yield from self._batches(contents, entries, sources_by_file, columns)

    def _read_clips(
        self,
        clips_by_file: Mapping[str, Sequence[Clip]],
        entries: Mapping[Clip, ManifestEntry],
        sources_by_file: Mapping[str, UploadedFile],
    ) -> Iterator[tuple[Clip, bytes | DataRejected, int]]:
        """Yield clips with their content and the hash of the whole file, archive by archive."""
        for source in self.sources:
            files = {file for file in clips_by_file if sources_by_file[file] is source}
            for file, data in self._read_audio(source, files):
                parent = 0 if isinstance(data, DataRejected) else _hash(data)
                for clip in clips_by_file[file]:
                    if clip.segment is None or isinstance(data, DataRejected):
                        yield clip, data, parent
                    else:
                        yield clip, _cut(data, clip, entries[clip]), parent

    def _select_lists(self, manifests: Mapping[str, bytes]) -> dict[str, bytes]:
        """Leave out lists that mean "not these", unless nothing else is there.

        Common Voice's `other` are clips that nobody has checked; it is such a list beside others of Common Voice.
        """
        stems = {name: PurePosixPath(name).stem.lower() for name in manifests}
        is_common_voice = len(_COMMON_VOICE_LISTS & set(stems.values())) > 1
        left_out = [
            name
            for name, stem in stems.items()
            if is_not_learned(name) or (is_common_voice and stem in _UNCHECKED_LISTS)
        ]
        if not left_out or len(left_out) == len(manifests):
            return dict(manifests)
        for name in left_out:
            self.issues.add("list_not_learned", at=Location(file=name))
        return {name: content for name, content in manifests.items() if name not in left_out}

    def _drop_unlisted(
        self, entries: dict[Clip, ManifestEntry], sources_by_file: Mapping[str, UploadedFile]
    ) -> dict[Clip, ManifestEntry]:
        """Leave out clips without a split, if lists name train and another split.

        Common Voice's `validated` has clips that no split has: the speakers of its test set, for example.
        """
        splits = {clip: _split_of(clip.file, entry, sources_by_file[clip.file]) for clip, entry in entries.items()}
        listed = {entry.split for entry in entries.values()} - {None}
        if len(listed) < 2 or SPLITS[0] not in listed:
            return entries
        for clip, split in splits.items():
            if split is None:
                self.issues.add("clip_in_no_split", at=entries[clip].at, actual=clip.name)
        return {clip: entry for clip, entry in entries.items() if splits[clip] is not None}

    def _choose_columns(self, entries: Collection[ManifestEntry]) -> list[str]:
        """Return the columns beside the audio, with a text or a label.

        It is the required one, else a text.
        """
        columns = [name for name in OPTIONAL_COLUMNS if any(getattr(entry, name) is not None for entry in entries)]
        left_out = "text" if "label" in (self.required_columns or {}) else "label"
        if {"text", "label"} <= set(columns):
            columns.remove(left_out)
        without_speaker = [entry for entry in entries if not entry.speaker]
        if _SPEAKER in columns and without_speaker and _SPEAKER not in (self.required_columns or {}):
            # A list without speakers beside one with them: its clips are worth more than the column.
            columns.remove(_SPEAKER)
            actual = f"not read: speaker, which {len(without_speaker):,} of {len(entries):,} clips lack"
            self.issues.add("fields_not_read", at=without_speaker[0].at, actual=actual)
        return columns

    def _list_files(self) -> tuple[dict[str, UploadedFile], dict[str, bytes]]:
        """Return every audio file with its source, and every manifest with its content."""
        sources_by_file: dict[str, UploadedFile] = {}
        manifests: dict[str, bytes] = {}
        for source in self.sources:
            if source.content in ("json", "text"):
                if source.path.stat().st_size > self.limits.max_image_bytes:
                    self.issues.add("file_too_large", at=Location(file=source.name))
                else:
                    with source.open(self.limits) as file:
                        manifests[source.name] = file.read()
            elif source.content == "audio":
                sources_by_file[source.name] = source
            else:
                self._list_archive(source, sources_by_file, manifests)
        return sources_by_file, manifests

    def _list_archive(
        self, source: UploadedFile, sources_by_file: dict[str, UploadedFile], manifests: dict[str, bytes]
    ) -> None:
        try:
            names = [member.file for member in list_members(source, self.issues, self.limits)]
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=source.name))
            return
        sources_by_file.update((name, source) for name in names if is_audio_file(name))
        manifest_names = {name for name in names if is_manifest(name) and not is_ignored(name)}
        for name in names:
            if name not in manifest_names and not is_audio_file(name):
                self.issues.add("file_ignored", at=Location(file=name))
        for name, data in read_members(source, manifest_names, self.issues, self.limits):
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=name))
            else:
                manifests[name] = data

    def _read_entries(self, files: Sequence[str], manifests: Mapping[str, bytes]) -> dict[Clip, ManifestEntry]:
        """Return the entry of each clip, by manifests or its text file.

        It is empty without any of them.
        """
        transcripts = match_transcripts(manifests, files)
        texts = {text for names in transcripts.values() for text in names}
        lists = {name: content for name, content in manifests.items() if name not in texts}
        entries = self._read_manifests(AudioFileIndex(files), lists, is_optional=bool(transcripts))
        listed = {clip.file for clip in entries}
        firsts = [names[0] for file, names in transcripts.items() if file not in listed]
        written = {name: read_text(name, manifests[name], self.issues) for name in firsts}
        if written and all(map(_are_label_tracks, written.values())):
            return entries | self._read_label_tracks(transcripts, written)
        contents = {name: " ".join(text.split()) for name, text in written.items()}
        if contents and all(map(_SAMPLE_RANGE.match, contents.values())):
            self.issues.add("sample_numbers_left_out", at=Location(file=firsts[0]), count=len(contents))
            contents = {name: _SAMPLE_RANGE.sub("", text) for name, text in contents.items()}
        for file, names in transcripts.items():
            for name in names[1:] if file not in listed else names:
                self.issues.add("file_ignored", at=Location(file=name), expected="one text for each audio file")
            if file not in listed:
                entries[Clip(file)] = ManifestEntry(file, Location(file=names[0]), text=contents[names[0]])
        if not manifests:
            entries = {Clip(file): ManifestEntry(file, Location(file=file)) for file in files}
        if any(entry.speaker is not None for entry in entries.values()):
            return entries
        speakers = find_speakers(clip.file for clip in entries)
        return {clip: replace(entry, speaker=speakers.get(clip.file)) for clip, entry in entries.items()}

    def _read_label_tracks(
        self, transcripts: Mapping[str, Sequence[str]], written: Mapping[str, str]
    ) -> dict[Clip, ManifestEntry]:
        """Return the labeled parts of each audio file.

        A line has start, end and text, as Audacity exports them.
        """
        entries: dict[Clip, ManifestEntry] = {}
        for file, names in transcripts.items():
            for number, line in enumerate(written.get(names[0], "").splitlines(), start=1):
                if match := _LABEL_TRACK.fullmatch(line):
                    start, end = float(match["start"]), float(match["end"])
                    segment = AudioSegment(start, end - start) if end > start else None
                    at = Location(file=names[0], line=number, row=number)
                    entries[Clip(file, segment)] = ManifestEntry(file, at, text=match["text"].strip(), segment=segment)
        return entries

    def _read_manifests(
        self, index: AudioFileIndex, manifests: Mapping[str, bytes], *, is_optional: bool
    ) -> dict[Clip, ManifestEntry]:
        """Merge the entries of all manifests by audio file, or part of one.

        An entry whose audio file is missing becomes an issue; so does a manifest that names no audio file of the
        upload, if another one does or none is needed.
        """
        entries: dict[Clip, ManifestEntry] = {}
        names = [
            name
            for name in sorted(manifests, key=natural_sort_key)
            if not self._adds_recordings(manifests, name, index)
        ]
        matching = [name for name in names if self._matches_audio(name, manifests[name], index)]
        matching = self._drop_measures(matching, manifests, index)
        for name in names:
            if (matching or is_optional) and name not in matching:
                expected = "a list of audio files in the upload"
                self.issues.add("file_ignored", at=Location(file=name), expected=expected)
                continue
            try:
                unread = UnreadFields()
                context = self._context(name, index, unread)
                for entry in read_entries(name, manifests[name], self.requested_columns, context, self.issues):
                    self._add_entry(entries, entry, name, index)
                unread.report(self.issues)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=name))
        return entries

    def _adds_recordings(self, manifests: Mapping[str, bytes], name: str, index: AudioFileIndex) -> bool:
        """Add the files that a manifest of lhotse describes; return whether it does only that."""
        if manifests[name].lstrip()[:1] != b"{":
            return False
        text = read_text(name, manifests[name], type(self.issues)(max_samples=0))
        index.add_recordings(text)
        return is_recording_list(text)

    def _drop_measures(self, names: Sequence[str], manifests: Mapping[str, bytes], index: AudioFileIndex) -> list[str]:
        """Leave out lists of numbers beside lists of texts: durations, for example."""
        issues = type(self.issues)(max_samples=0)
        texts = {
            name: [
                entry.text
                for entry in read_entries(
                    name, manifests[name], self.requested_columns, self._context(name, index), issues
                )
                if entry.text
            ]
            for name in names
        }
        measures = [name for name in names if texts[name] and all(map(is_number, texts[name]))]
        if not any(texts[name] for name in names if name not in measures):
            return list(names)
        return [name for name in names if name not in measures]

    def _add_entry(
        self, entries: dict[Clip, ManifestEntry], entry: ManifestEntry, manifest: str, index: AudioFileIndex
    ) -> None:
        file = index.find(entry.file_name, manifest)
        if file is None:
            expected = "the name of an audio file in the upload, such as " + (index.files or ["none"])[0]
            self.issues.add("audio_missing", at=entry.at, actual=entry.file_name, expected=expected, rows=1)
            return
        clip = Clip(file, entry.segment)
        merged = entries[clip].merge(entry) if clip in entries else entry
        if merged is None:
            self.issues.add("audio_listed_twice", at=entry.at, actual=entry.file_name, rows=1)
        else:
            entries[clip] = merged

    def _matches_audio(self, manifest: str, content: bytes, index: AudioFileIndex) -> bool:
        """Return whether any entry of the manifest names an audio file of the upload."""
        try:
            issues = type(self.issues)(max_samples=0)
            entries = read_entries(manifest, content, self.requested_columns, self._context(manifest, index), issues)
            return any(index.find(entry.file_name, manifest) for entry in entries)
        except DataRejected:
            return False

    def _context(self, manifest: str, index: AudioFileIndex, unread: UnreadFields | None = None) -> ManifestContext:
        return ManifestContext(self.detect_dialect, lambda name: index.find(name, manifest) is not None, unread)

    def _read_audio(self, source: UploadedFile, files: set[str]) -> Iterator[tuple[str, bytes | DataRejected]]:
        if source.content != "audio":
            yield from read_members(source, files, self.issues, self.limits)
        elif source.name in files:
            size = source.path.stat().st_size
            if size > self.limits.max_image_bytes:
                expected = f"at most {self.limits.max_image_bytes:,}"
                yield source.name, DataRejected("file_too_large", actual=f"{size:,} bytes", expected=expected)
            else:
                yield source.name, source.path.read_bytes()

    def _batches(
        self,
        contents: Iterator[tuple[Clip, bytes | DataRejected, int]],
        entries: Mapping[Clip, ManifestEntry],
        sources_by_file: Mapping[str, UploadedFile],
        columns: Sequence[str],
    ) -> Iterator[Batch]:
        """Group consecutive clips of one split into batches."""
        clips: list[Clip] = []
        encoded: list[bytes] = []
        parents: list[int] = []
        split: str | None = None
        byte_count = 0
        for clip, data, parent in contents:
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=clip.file), rows=1)
                continue
            clip_split = _split_of(clip.file, entries[clip], sources_by_file[clip.file])
            is_full = len(clips) >= ROWS_PER_BATCH or byte_count >= BYTES_PER_BATCH
            if clips and (is_full or clip_split != split):
                yield _batch(clips, encoded, parents, entries, columns, split)
                clips, encoded, parents, byte_count = [], [], [], 0
            split = clip_split
            byte_count += len(data)
            clips.append(clip)
            encoded.append(data)
            parents.append(parent)
        if clips:
            yield _batch(clips, encoded, parents, entries, columns, split)


def _are_label_tracks(text: str) -> bool:
    """Return whether all lines are those of a label track of Audacity."""
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(map(_LABEL_TRACK.fullmatch, lines))


def _batch(
    clips: Sequence[Clip],
    encoded: list[bytes],
    parents: Sequence[int],
    entries: Mapping[Clip, ManifestEntry],
    columns: Sequence[str],
    split: str | None,
) -> Batch:
    texts = {name: [getattr(entries[clip], name) or "" for clip in clips] for name in columns}
    speakers = [entries[clip].speaker or "" for clip in clips]
    has_speakers = any(entry.speaker for entry in entries.values())
    return Batch(
        {"audio": encoded, **texts},
        Locations([clip.name for clip in clips]),
        split,
        # Parts of one file belong together, and so do the clips of one speaker.
        parents=np.array(parents, dtype=np.uint64),
        subjects=speakers if has_speakers else None,
        subject_name=_SPEAKER if has_speakers else "",
    )


def _hash(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def _cut(data: bytes, clip: Clip, entry: ManifestEntry) -> bytes | DataRejected:
    """Return the part of a file that a manifest names, or why there is none."""
    assert clip.segment is not None, "a whole file is not cut"
    offset, duration = clip.segment
    try:
        return audio.cut(data, offset=offset, duration=duration)
    except audio.UnreadableAudio as error:
        return DataRejected(error.issue, actual=error.message, expected=error.expected, at=entry.at)


def _split_of(file: str, entry: ManifestEntry, source: UploadedFile) -> str | None:
    """Return the split of an audio file.

    The user's choice for the upload has precedence over the manifest, a folder, and the upload's name.
    """
    folder_splits = [parse_split(part) for part in PurePosixPath(file).parts[1:-1]]
    folder_split = next((split for split in folder_splits if split), None)
    return source.requested_split or entry.split or folder_split or source.split
