"""Everything an import can find, by code: how bad it is and what its owner can do about it.

An *error* rejects the upload; a *warning* is for its owner to judge; a *repair* was mended on the way in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "repair"]


@dataclass(frozen=True, slots=True)
class IssueType:
    """One kind of finding."""

    severity: Severity
    hint: str


def _error(hint: str) -> IssueType:
    return IssueType("error", hint)


def _warning(hint: str) -> IssueType:
    return IssueType("warning", hint)


def _repair(hint: str) -> IssueType:
    return IssueType("repair", hint)


ISSUE_TYPES: Final[dict[str, IssueType]] = {
    # What was asked for
    "no_files": _error("send at least one file"),
    "unknown_format": _error("name one of the known formats, or leave `format` out to have it guessed"),
    "format_not_recognised": _error(
        "send one of the known formats, or name it as `format`; GET /api/v1/catalog describes them"
    ),
    "wrong_format": _error("send this file on its own, or leave it out"),
    "invalid_columns": _error("map canonical columns to columns of the file: a name, or a position from 1"),
    "columns_not_used": _warning("this format has no columns to choose from; leave `columns` out"),
    "invalid_splits": _error(
        'give shares, {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 0}, or {file: split}'
    ),
    "unfit_for_task": _error("choose another task or add what it needs"),
    # Files and archives
    "empty_file": _error("the file has no content; send it again"),
    "damaged_file": _error("the file is cut off or damaged; pack or download it again"),
    "unsupported_file": _error("unpack it and send it as zip, tar, tar.gz, tar.bz2 or tar.xz"),
    "file_too_large": _error("make the file smaller or split it"),
    "archive_bomb": _error("the archive unpacks to far more than it holds; pack only the data"),
    "archive_too_many_files": _error("send fewer files, or Parquet with the pictures inside"),
    "archive_too_deep": _error("put the class folders near the top of the archive"),
    "archive_unsafe_name": _error(
        "pack with plain relative names: no '..', no leading '/', no drive, no control characters"
    ),
    "archive_link": _error("pack the files themselves, not links to them"),
    "archive_special_file": _error("pack regular files only"),
    "archive_encrypted": _error("pack without a password"),
    "archive_duplicate_name": _error("each name may be in the archive once"),
    "archive_case_twins": _warning("names that differ only in case become one file on some computers; rename one"),
    "archive_nested": _error("unpack the inner archive, then pack everything into one"),
    "archive_without_pictures": _error("pack pictures in class folders; send CSV, Parquet or IDX files as they are"),
    "archive_without_texts": _error("pack text files (.txt) in class folders; send tables as they are"),
    "text_file_ignored": _warning("only text files (.txt) in class folders are read here; leave other files out"),
    "texts_without_class": _warning(
        "texts of no class were left out; upload them as a dataset of their own, to pretrain on"
    ),
    "file_ignored": _warning("a file of this kind is not read here; leave it out"),
    "folder_outside_splits": _error("put every picture below train, validation or test, or below none of them"),
    "folders_nested": _warning("the outermost folder counts as the class; flatten if that is wrong"),
    # Pictures
    "image_unknown_format": _error("save it as PNG, JPEG, GIF, BMP, WebP, TIFF, PGM or PPM"),
    "image_corrupt": _error("open the picture in a viewer and save it again, or leave it out"),
    "image_truncated": _error("the picture ends too early; copy it again, or leave it out"),
    "image_too_large": _error("make the picture smaller"),
    "image_frames": _repair("only the first of several frames was taken"),
    "image_rotated": _repair("turned upright as the camera noted"),
    "image_16_bit": _repair("reduced to 8 bits: the upper half of each value"),
    "image_colour_space": _repair("converted to RGB"),
    "image_transparent": _repair("laid over white"),
    "image_sizes_differ": _warning("pictures are scaled to one size for training; crop them first if shape matters"),
    "image_channels_differ": _warning("grey and colour pictures are mixed; training reads all as colour"),
    # Recordings
    "audio_unknown_format": _error("save it as WAV, FLAC, OGG, MP3 or AIFF"),
    "audio_corrupt": _error("open the recording in a player and save it again, or leave it out"),
    "audio_empty": _error("the recording has no samples; record it again, or leave it out"),
    "audio_rate": _error("convert the recording to 16,000 Hz, or mend its header"),
    "audio_too_long": _error("cut the recording where nobody speaks, into pieces of at most half a minute"),
    "audio_not_finite": _error("export the recording again as 16-bit WAV or FLAC"),
    "audio_not_encoded": _error(
        "put the bytes of the recording into the cell, as base64 in CSV; or send a zip of recordings with a manifest"
    ),
    "audio_mixed_down": _repair("several channels were averaged into one"),
    "audio_too_loud": _repair("samples beyond full scale were scaled down"),
    "audio_silent": _warning("nothing can be heard in it; was the microphone on?"),
    "audio_clipped": _warning("it is louder than its file can hold, and distorted; record it more quietly"),
    "audio_rates_differ": _warning("recordings are brought to the commonest rate; record all at one rate to lose none"),
    "audio_long": _warning("long recordings take much memory; cut them where nobody speaks"),
    "text_longer_than_recording": _warning(
        "no recogniser can learn it: it says one letter in a moment. Is the recording cut, or the text another's?"
    ),
    "text_with_digits": _warning(
        "letters are learned by how they sound, and 12 is twelve here and one two there; write numbers as they are said"
    ),
    "letters_not_in_training": _warning(
        "what is never learned is always wrong; write them in other letters, or give training rows that have them"
    ),
    "recording_missing": _error("name recordings as they are called in the upload, from the folder of the list on"),
    "recording_without_text": _warning("no list names this recording, so it was left out"),
    "recording_listed_twice": _error("a recording may be listed once; which of its texts is right?"),
    # IDX
    "idx_header": _error("an IDX file begins with 00 00, a type, a number of dimensions and their sizes"),
    "idx_type": _error("store unsigned bytes (type 08)"),
    "idx_dimensions": _error(
        "images are [count, height, width] or [count, height, width, channels], labels are [count]"
    ),
    "idx_truncated": _error("the file ends before its header says; copy it again"),
    "idx_trailing_bytes": _warning("the file goes on after its last row; is the header right?"),
    "idx_unpaired": _error("name image and label files alike: train-images-idx3-ubyte, train-labels-idx1-ubyte"),
    "unequal_counts": _error("there must be one label for each image"),
    # Tables
    "table_too_large": _error("split the data into several datasets, or send fewer columns"),
    "too_many_rows": _error("split the data into several datasets"),
    "encoding_guessed": _warning("save the file as UTF-8"),
    "not_text": _error("this is no plain text; save it as text in UTF-8"),
    "ragged_row": _error("each row needs as many cells as the first"),
    "bad_quoting": _error("close every quote, and write a quote inside a cell twice"),
    "cell_too_large": _error("a cell or line is far too long; is a quote left open?"),
    "column_missing": _error("name the column by `columns`, or add it to the file"),
    "no_image_columns": _error(
        'say where the picture is: {"image": "name"} for encoded ones, {"image": "first:last"} for pixels'
    ),
    "pixels_not_square": _error('say how wide the picture is: columns {"shape": "28x28"} or {"shape": "32x32x3"}'),
    "pixels_shape_assumed": _warning(
        'read as rows of red, green, blue; say {"shape": "HxWx3"} in `columns` to be sure'
    ),
    "pixels_scaled": _repair("pixels of 0 to 1 were multiplied by 255"),
    "pixels_rounded": _repair("fractions were rounded to whole pixel values"),
    "pixel_not_a_number": _error("write a number in every pixel cell"),
    "pixel_out_of_range": _error("pixels are 0 to 255, or 0 to 1 throughout"),
    "image_not_encoded": _error(
        "put the bytes of the picture into the cell, as base64 in CSV; file names cannot be followed"
    ),
    "columns_differ": _error("give all files the same columns, or upload them as datasets of their own"),
    "no_columns": _error('say where things are: columns {"text": "name in the file", ...}'),
    "json_not_an_object": _error('write one JSON object a line: {"text": "...", "label": "..."}'),
    "json_in_a_list": _error(
        "write one JSON object a line, without the brackets around all and the commas between: jq -c '.[]' list.json"
    ),
    "json_invalid": _error("write each line as JSON on its own; the place is where reading failed"),
    # Texts in two languages
    "text_unpaired": _error("send both files of a pair, named alike but for the language: train.en, train.de"),
    "line_counts_differ": _error(
        "both files must have equally many lines, each the translation of the other's; look for a line that was split, "
        "joined or left out"
    ),
    "text_untranslated": _warning(
        "both sides are the same, and a model learns to copy; leave such rows out where they are not meant"
    ),
    "text_lengths_differ": _warning("one side is far too long for the other; was a line split, joined or cut?"),
    "sides_swapped": _warning(
        "each side speaks the other's language, by the words that both have elsewhere; swap them, or look at the row"
    ),
    "languages_swapped": _warning(
        'the names say one thing and the texts another; swap them by `columns`: {"text": ..., "target": ...}'
    ),
    "tmx_languages": _error('name two languages of the file: columns {"text": "en", "target": "de"}'),
    "tmx_unit_incomplete": _repair("units without both languages were left out"),
    "xml_invalid": _error("the file is no well-formed XML from here on; write it again"),
    "xml_too_deep": _error("such a file is a few levels deep; is it one?"),
    "xml_entity": _error("write the characters themselves: entities of its own are not expanded here"),
    # Texts
    "text_missing": _repair("rows without a text were left out"),
    "text_misread": _warning(
        "letters were lost or doubled before the file came here: it was read in another encoding than it was written in"
    ),
    "text_control_characters": _warning("there are signs in it that nobody sees and every tokenizer does"),
    "text_too_long": _error("cut the text into several rows"),
    "text_not_plain": _error("a text is a string, not a list or an object"),
    # Conversations
    "conversation_invalid": _error(
        'write one conversation a line: {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", ...}]}'
    ),
    "conversation_order": _error("begin with system or user, and end with the assistant"),
    # Objects in pictures
    "objects_not_a_list": _error(
        'write {"objects": [{"label": "cat", "box": [left, top, right, bottom]}]}, in pixels, or [] for none'
    ),
    "object_without_label": _error("give every object a label"),
    "box_not_numbers": _error("a box is four numbers"),
    "box_reversed": _repair("boxes whose right or bottom edge came first were turned around"),
    "box_outside": _repair("boxes that reach beyond the picture were cut off at its edge"),
    "box_off_picture": _repair("boxes of which nothing lies in the picture were left out"),
    "box_empty": _repair("boxes without width or height were left out"),
    "outline_as_box": _repair("of objects with an outline the box around it was taken"),
    "box_duplicate": _repair("of equal boxes with one label in a picture one was kept"),
    "boxes_of_another_form": _warning(
        "many boxes leave the picture or end before they begin; was one form taken for another? VOC: left, top, right, "
        "bottom; COCO: left, top, width, height; YOLO: middle, width and height as shares of the picture"
    ),
    "boxes_in_shares": _error(
        "multiply by the width and height of the picture: boxes are in pixels, unless the format says otherwise (YOLO)"
    ),
    "picture_without_objects": _warning("taken as a picture that shows none of the objects; annotate it if it does"),
    "picture_missing": _error("add the picture, or take its annotation out"),
    "picture_size_differs": _warning(
        "the annotation was drawn on a picture of another size; was the picture scaled without its boxes?"
    ),
    "picture_not_listed": _warning("pictures that no annotation file lists were left out; list them with no object"),
    "annotation_without_picture": _error("list the picture that it is about, or take it out"),
    "objects_as_crowd": _repair("crowds, many objects in one outline, were left out"),
    "box_not_in_shares": _error("divide by the width and height of the picture; YOLO boxes are shares from 0 to 1"),
    "classes_without_names": _warning("the numbers were taken as names; add data.yaml or classes.txt"),
    "annotation_invalid": _error("write it as the format asks; the place is where reading failed"),
    "class_names_differ": _warning("several files name the classes, and not alike; the first was taken"),
    "class_unknown": _error("name every class that is used"),
    # Tables that lie beside files
    "manifest_missing": _error("add a table, metadata.csv, with a column file_name and one of text or label"),
    "manifest_without_columns": _error("name at least two columns in the first line: file_name,text"),
    "file_missing": _error("the table names a file that is not there; look at its spelling, or leave the row out"),
    "file_name_ambiguous": _error("several files have this name; write the folder, too"),
    "picture_not_in_table": _warning("pictures that the table does not name were left out"),
    "split_unknown": _error("write train, validation or test"),
    "coco_invalid": _error("COCO's captions are JSON with images (id, file_name) and annotations (image_id, caption)"),
    # Interactions
    "user_missing": _repair("interactions without a user were left out"),
    "item_missing": _repair("interactions without an item were left out"),
    "item_invalid": _error("an item is a short name or a whole number"),
    "ids_as_floats": _repair("ids like 1.0 were read as 1"),
    "timestamp_invalid": _error("write times as seconds or milliseconds since 1970, or as dates like 2026-11-25T08:30"),
    "timestamp_missing": _repair("interactions without a time were left out: nothing says what came before them"),
    "timestamps_mixed_units": _warning("times were brought to one unit by their size; are these of the same log?"),
    "interactions_without_time": _warning("there is no column of times, so that the order in the file counts"),
    "interactions_sorted": _repair("the interactions of each user were brought into the order of time"),
    "interactions_duplicate": _repair("the same user, item and time twice is one interaction"),
    "interactions_repeated": _warning(
        "items that a user had more than once; to recommend such again, set `repeat` in the task's config"
    ),
    "ratings_not_used": _warning("each interaction counts alike; leave out those that should not count"),
    "items_not_in_training": _warning(
        "an item that nobody had before it was asked for cannot be recommended, and counts as missed"
    ),
    "history_empty": _error("a history has at least one item"),
    "history_too_long": _error("keep the latest items"),
    "history_not_a_list": _error('a history is a list of items: ["one", "two"]'),
    "history_short": _warning("too few interactions to hold one out: they are only learned from"),
    "file_not_a_log": _warning("only interactions are read; what lies beside them (titles, tags) was left out"),
    "no_log_in_archive": _error("pack a table of user, item and perhaps timestamp: ratings.csv"),
    "splits_by_chance": _error(
        "leave `splits` out: each user's last items are held out. Parted by chance, a model would learn from what came "
        "later and look better than it is"
    ),
    # Labels and splits
    "empty_dataset": _error("there is no row to learn from"),
    "missing_label": _error("give every row a label, or none"),
    "label_not_plain": _error("a row has one class; give a row with several a label for each combination, or split it"),
    "label_too_long": _error("a label is a short name; is this column a text? name the label column by `columns`"),
    "labels_as_floats": _repair("labels like 1.0 were read as 1"),
    "too_many_classes": _error("is this column an id or a measure? name the label column by `columns`"),
    "every_row_its_own_class": _warning(
        "no class has two rows; is this column an id? name the label column by `columns`"
    ),
    "one_class": _warning("enough for pretraining and generation; a classifier needs at least two classes"),
    "nearly_one_class": _warning(
        "whoever always says this class is right as often; look at macro F1, or add rows of the others"
    ),
    "class_too_small": _error("a class needs at least 2 rows to be in training and in a held-out split; add rows"),
    "class_tiny": _warning("fewer than 5 rows teach and measure little; add rows"),
    "class_case_twins": _warning("classes that differ only in case are kept apart; rename if they are one"),
    "class_missing_in_train": _error(
        "a class that is not in train cannot be learned; add rows or leave it out of the rest"
    ),
    "class_missing_in_split": _warning("nothing will be known about this class in this split; add rows"),
    "tiny_dataset": _warning("with so few rows every measured figure is a matter of luck; add rows"),
    "duplicate_rows": _warning("the same row several times in one split counts several times"),
    "duplicate_across_splits": _repair("copies were removed so that what is measured on was not learned from"),
    "conflicting_labels": _warning("the same row has different labels; look at them"),
}
