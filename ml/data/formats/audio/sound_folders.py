"""Audio files in a folder per class, in a zip or tar."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files.archives import read_members
from ml.data.files.ignored import is_ignored
from ml.data.files.text import read_text
from ml.data.files.upload import find_split, parse_split
from ml.data.formats._class_folders import FolderFormat, FolderRole
from ml.data.formats.base import Batch
from ml.data.issues import DataRejected, Location
from ml.data.tables.speech_manifests import is_audio_file, is_manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import FileContent, UploadedFile

#: More than `recordings`, which reads such files without labels.
SURE: Final = 3.0
#: Folder of Speech Commands with noise to mix into clips; it is no class.
NOISE_FOLDER: Final = "_background_noise_"
#: Split of clips that no list names, where there are lists.
TRAIN: Final = "train"


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
        clips = [PurePosixPath(name) for name in members if is_audio_file(name)]
        classes = {path.parent.name for path in clips} - {"", NOISE_FOLDER}
        classes = {name for name in classes if parse_split(name) is None}
        if len(classes) < 2 or any(is_manifest(name) and not _is_passed_over(name) for name in members):
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
        elif _is_split_list(member.file):
            self._split_lists.append(member.file)
        elif not is_ignored(member.file):
            self.issues.add("file_ignored", at=Location(file=member.file))
        return False

    def roles(self, files: Sequence[Member], source: UploadedFile) -> dict[str, FolderRole]:
        """Derive labels from the folders, and splits from folders or lists."""
        roles = super().roles(files, source)
        words = sorted({role.label for role in roles.values() if role.label})
        if self.is_transcribed and words:
            actual = f"{len(words):,} folders, such as {words[0]}"
            self.issues.add("folders_as_texts", at=Location(file=source.name), actual=actual)
        listed = self._read_split_lists(source, roles)
        if source.requested_split or not listed:
            return roles
        return {file: FolderRole(listed.get(file, TRAIN), role.label) for file, role in roles.items()}

    def passes(self, roles: Mapping[str, FolderRole]) -> list[Mapping[str, FolderRole]]:
        """Read the clips of one split after another, as lists scatter them over all folders."""
        splits = {role.split for role in roles.values()}
        return [
            {file: role for file, role in roles.items() if role.split == split} for split in sorted(splits, key=str)
        ]

    def _read_split_lists(self, source: UploadedFile, clips: Collection[str]) -> dict[str, str]:
        """Return the split of each clip that a list such as `testing_list.txt` names."""
        names, self._split_lists = self._split_lists, []
        splits: dict[str, str] = {}
        for name, data in read_members(source, names, self.issues, self.limits):
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=name))
                continue
            path = PurePosixPath(name)
            paths = [str(path.parent / line.strip()) for line in read_text(name, data, self.issues).splitlines()]
            splits |= {clip: find_split(path.name) or TRAIN for clip in paths if clip in clips}
        return splits

    def _batch(
        self, names: list[str], values: list[bytes], roles: Mapping[str, FolderRole], split: str | None
    ) -> Batch:
        batch = super()._batch(names, values, roles, split)
        if not self.is_transcribed:
            return batch
        texts = [label.replace("_", " ").strip() for label in batch.columns["label"]]
        return Batch({"audio": values, "text": texts}, batch.locations, batch.split)


def _is_passed_over(name: str) -> bool:
    """Return whether a text beside the clips holds neither texts nor labels."""
    return is_ignored(name) or _is_split_list(name)


def _is_split_list(name: str) -> bool:
    """Return whether a file lists the clips of a split, by its name: `validation_list.txt`."""
    path = PurePosixPath(name)
    return path.suffix.lower() == ".txt" and find_split(path.name) is not None
