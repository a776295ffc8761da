"""Audio files in a folder per class, in a zip or tar."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files.ignored import is_ignored
from ml.data.files.upload import parse_split
from ml.data.formats._class_folders import FolderFormat, FolderRole
from ml.data.formats._split_lists import is_split_list, read_split_lists
from ml.data.formats.base import Batch
from ml.data.issues import Location
from ml.data.tables.speech_manifests import is_audio_file, is_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import FileContent, UploadedFile

#: More than `recordings`, which reads such files without labels.
SURE: Final = 3.0
#: Folder of Speech Commands with noise to mix into clips; it is no class.
NOISE_FOLDER: Final = "_background_noise_"
#: What divides the columns of a list.
_COLUMNS: Final = re.compile(r"[|,;\t ]")

#: Folders that are rather named by who speaks than by what is heard: `Actor_01` of RAVDESS.
_SPEAKER_FOLDER: Final = re.compile(
    r"(actor|speaker|spk|subject|participant|patient|person|user)[_ -]?\d+", re.IGNORECASE
)


class SoundFolders(FolderFormat):
    """`[wrapper/][train|validation|test/]class/clip.wav`, or the same without splits and with lists of their files.

    For a task that needs texts, the class is the transcript of its clips.
    """

    name = "sound_folders"
    summary = (
        "Zip or tar of class folders of audio files, with or without train, validation and test above them, or with "
        "lists such as validation_list.txt; for speech recognition, the folder is the transcript"
    )
    columns: ClassVar[Mapping[str, str]] = {"audio": "audio", "label": "label", "text": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})
    column = "audio"
    empty_code = "archive_without_audio"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._split_lists: list[str] = []

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for audio files in several folders without a manifest."""
        if required is not None and not {"label", "text"} & required.keys():
            return 0
        members = [name for source in sources for name in source.member_names]
        starts = {name: start for source in sources for name, start in source.text_starts.items()}
        clips = [PurePosixPath(name) for name in members if is_audio_file(name)]
        classes = {path.parent.name for path in clips} - {"", NOISE_FOLDER}
        classes = {name for name in classes if parse_split(name) is None}
        if len(classes) < 2 or any(
            is_manifest(name) and not _is_passed_over(name, starts.get(name, b"")) for name in members
        ):
            return 0
        return super().detect(sources, required) * SURE

    @property
    def is_transcribed(self) -> bool:
        """Tell whether folders are transcripts, as the task needs texts and no labels."""
        required = self.required_columns or {}
        return "text" in required and "label" not in required

    def is_row(self, member: Member) -> bool:
        """Return whether a file is an audio clip, by suffix and folder."""
        if member.parts[:-1] and member.parts[-2] == NOISE_FOLDER:
            self.issues.add("noise_folder_ignored", at=Location(file=member.file))
        elif is_audio_file(member.file):
            return True
        elif is_split_list(member.file):
            self._split_lists.append(member.file)
        elif not is_ignored(member.file):
            self.issues.add("file_ignored", at=Location(file=member.file))
        return False

    def roles(self, files: Sequence[Member], source: UploadedFile) -> dict[str, FolderRole]:
        """Derive labels from the folders, and splits from folders or lists."""
        roles = super().roles(files, source)
        words = sorted({role.label for role in roles.values() if role.label})
        if words and not self.is_transcribed and all(map(_SPEAKER_FOLDER.fullmatch, words)):
            actual = f"{len(words):,} folders, such as {words[0]}"
            self.issues.add("classes_may_be_speakers", at=Location(file=source.name), actual=actual)
        if self.is_transcribed and words:
            actual = f"{len(words):,} folders, such as {words[0]}"
            self.issues.add("folders_as_texts", at=Location(file=source.name), actual=actual)
        lists, self._split_lists = self._split_lists, []
        splits = read_split_lists(source, lists, roles, self.issues, self.limits).splits
        if source.requested_split or not splits:
            return roles
        return {file: FolderRole(splits[file], role.label) for file, role in roles.items()}

    def passes(self, roles: Mapping[str, FolderRole]) -> list[Mapping[str, FolderRole]]:
        """Read the clips of one split after another, as lists scatter them over all folders."""
        splits = {role.split for role in roles.values()}
        return [
            {file: role for file, role in roles.items() if role.split == split} for split in sorted(splits, key=str)
        ]

    def _batch(
        self, names: list[str], values: list[bytes], roles: Mapping[str, FolderRole], split: str | None
    ) -> Batch:
        batch = super()._batch(names, values, roles, split)
        if not self.is_transcribed:
            return batch
        texts = [label.replace("_", " ").strip() for label in batch.columns["label"]]
        return Batch({"audio": values, "text": texts}, batch.locations, batch.split)


def _is_passed_over(name: str, start: bytes) -> bool:
    """Return whether a text beside the clips holds neither texts nor labels."""
    return is_ignored(name) or (is_split_list(name) and not _has_columns(start))


def _has_columns(start: bytes) -> bool:
    """Return whether the first line says more than the name of a clip."""
    first = next((line.strip() for line in start.decode("utf-8", "replace").splitlines() if line.strip()), "")
    return bool(first) and not is_audio_file(first) and _COLUMNS.search(first) is not None
