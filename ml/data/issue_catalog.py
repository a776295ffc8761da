"""Catalog of all issues that an import can report, with severity and hint.

An *error* rejects the upload, a *warning* needs the owner's judgment, a *repair* was applied during the import, and a
*note* states what is not read although nothing is wrong with it.
A hint says what is wrong unless the code already does, and then what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "repair", "note"]


@dataclass(frozen=True, slots=True)
class IssueType:
    """Severity and hint of one issue code."""

    severity: Severity
    hint: str
    #: What is left out by it, in the plural; None if nothing is. "columns" are listed by their names.
    left_out: str | None = None


def _error(hint: str) -> IssueType:
    return IssueType("error", hint)


def _warning(hint: str, *, left_out: str | None = None) -> IssueType:
    return IssueType("warning", hint, left_out)


def _repair(hint: str, *, left_out: str | None = None) -> IssueType:
    return IssueType("repair", hint, left_out)


def _note(hint: str, *, left_out: str | None = None) -> IssueType:
    return IssueType("note", hint, left_out)


ISSUE_TYPES: Final[dict[str, IssueType]] = {
    # Request
    "no_files": _error("Send at least one file."),
    "unknown_format": _error("Name one of the known formats, or omit `format` to have it detected."),
    "format_not_recognized": _error(
        "Send files in one of the known formats, or name the format as `format`; GET /api/v1/catalog describes them."
    ),
    "wrong_format": _error("The file does not fit the format of the upload. Send it on its own, or leave it out."),
    "invalid_columns": _error("Map each canonical column to a column of the file: its name, or its position from 1."),
    "columns_not_used": _warning("Files of this format have no columns to choose from. Omit `columns`."),
    "invalid_splits": _error(
        'Send fractions, {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 0}, or {file: split}.'
    ),
    "unfit_for_task": _error("The data lacks something that the task needs. Choose another task, or add it."),
    # Files and archives
    "empty_file": _error("The file has no content. Send it again."),
    "damaged_file": _error("The file is cut off or damaged. Pack or download it again."),
    "not_a_zip": _error(
        "The name ends in .zip, but the content is no zip. Pack it again, or send it under its own name."
    ),
    "unsupported_file": _error(
        "Files of this type are not supported. Unpack it, and send zip, tar, tar.gz, tar.bz2 or tar.xz."
    ),
    "file_too_large": _error("The file exceeds the limit. Make it smaller, or split it."),
    "archive_bomb": _error("The archive unpacks to far more than its size. Pack nothing but the data."),
    "archive_too_many_files": _error(
        "The upload has too many files. Send fewer, or a Parquet file that contains the images, or raise "
        "PLINTH_IMPORT_MAX_FILES of the worker."
    ),
    "archive_too_deep": _error(
        "The file is in too many nested folders. Put the class folders near the top of the archive."
    ),
    "archive_unsafe_name": _error(
        "Pack the archive with relative names: no '..', no leading '/', no drive such as 'C:', no control characters."
    ),
    "archive_link": _error("The archive contains a link. Pack the file that it points to."),
    "archive_special_file": _error(
        "The archive contains something other than a regular file. Pack regular files only."
    ),
    "archive_encrypted": _error("The archive is encrypted. Pack it without a password."),
    "archive_duplicate_name": _error("A name occurs twice in the archive. Rename one of the files."),
    "archive_names_differ_in_case": _warning(
        "Names that differ only in case become one file on some operating systems. Rename one of the files."
    ),
    "archive_nested": _error(
        "The archive contains another archive. Unpack the inner one, and pack all files into one."
    ),
    "archive_without_images": _error(
        "The archive contains no images. Pack images in class folders; send CSV, Parquet or IDX files unpacked."
    ),
    "archive_without_texts": _error(
        "The archive contains no texts. Pack text files (.txt) in class folders; send tables unpacked."
    ),
    "archive_without_audio": _error(
        "The archive contains no audio files. Pack them in class folders, or with a list of their texts or labels."
    ),
    "folders_as_texts": _warning(
        "No list of texts lies beside the audio files, so the name of each folder became the text of its clips. Add a "
        "manifest of file names and texts if the folders mean something else."
    ),
    "classes_may_be_speakers": _warning(
        "Each folder became a class, and their names are rather those of speakers. To learn something else, add a list "
        "of file names and labels, such as metadata.csv."
    ),
    "noise_folder_ignored": _warning(
        "Noise to mix into clips is no class, so it was left out. Nothing needs to be done."
    ),
    "text_file_ignored": _warning(
        "Only text files (.txt) in class folders are read here. Leave other files out.", left_out="files"
    ),
    "texts_without_class": _warning(
        "Texts outside the class folders were left out. To pretrain on them, upload them as a separate dataset.",
        left_out="texts",
    ),
    "list_not_learned": _warning(
        "Lists of what was rejected, removed or not checked, and sample submissions, are not learned from; nor are "
        "entries that no list of a split has, if there are such lists. Upload a list alone to use it.",
        left_out="files",
    ),
    "file_without_target": _warning(
        "The file lacks a column that another one has and that is learned from, as test files of competitions lack the "
        "target, so it was left out. Predict its rows once a model is trained.",
        left_out="files",
    ),
    "file_beside_data": _note(
        "Files that describe the data, such as README and LICENSE, are not read.", left_out="files"
    ),
    "card_configurations": _warning(
        "The dataset card has several configurations, and all of them were read as one dataset. Send the files of one."
    ),
    "classes_named_by_list": _note("Numbered classes have the names that this list has in their order."),
    "splits_of_card": _note(
        "Splits are those of the dataset card. Files of an archive are named below a folder of their split in reports; "
        "to choose others, send `splits`."
    ),
    "split_without_labels": _warning(
        "No row of a held-out split has a label, so the split was left out. Its labels are needed to judge a model.",
        left_out="rows",
    ),
    "file_ignored": _warning("Files of this type are not read here. Leave the file out.", left_out="files"),
    "folder_outside_splits": _error(
        "Some files are in a folder named train, validation or test, and some are not. Put all or none of them there."
    ),
    "folders_nested": _warning("The outermost folder is the class. Flatten the folders if another one is."),
    # Images
    "image_unknown_format": _error(
        "The image format is not supported. Save it as PNG, JPEG, GIF, BMP, WebP, TIFF, PGM or PPM."
    ),
    "image_corrupt": _error(
        "The image cannot be decoded. Open it in an image viewer and save it again, or leave it out."
    ),
    "image_truncated": _error("The image file is cut off. Copy it again, or leave it out."),
    "image_too_large": _error(
        "The image exceeds the limit. Make it smaller, or raise PLINTH_IMPORT_MAX_IMAGE_PIXELS of the worker."
    ),
    "image_frames": _repair("The image has several frames; only the first was read."),
    "image_reduced": _note(
        "Large photos are read and kept at a half, a quarter or an eighth of their size; training reads less."
    ),
    "image_rotated": _repair("The image was rotated as its EXIF orientation says."),
    "image_16_bit": _repair("Gray values of more than 8 bits were reduced to 8, by the bits that they really have."),
    "image_range_narrow": _warning(
        "The values take up less than an eighth of their range, so few gray levels remain. Map the window that matters "
        "to the whole range first."
    ),
    "image_depths_differ": _warning(
        "Gray values have different bits, so equal values look different. Scale all images alike before the upload."
    ),
    "image_values": _error(
        "Pixel values are negative, fractional or above 16 bits, so black and white are unknown. Map the window that "
        "matters to integers from 0 to 65,535."
    ),
    "image_heic": _error(
        "HEIC images are read by pi-heif, which is not installed. Install the extra heic where the service runs, or "
        "convert them to JPEG: heif-convert image.heic image.jpg, or sips -s format jpeg on macOS."
    ),
    "image_dicom": _error(
        "DICOM images are not read, since their window decides what is visible. Apply the window you mean, save PNG: "
        "dcmj2pnm +on +Wi 1 image.dcm image.png."
    ),
    "image_color_space": _repair("The image was converted to RGB."),
    "image_transparent": _repair("Transparent pixels were blended with white."),
    "image_sizes_differ": _warning(
        "Training reads one size: large images keep their shape and get borders, small ones are stretched to it. Crop "
        "them first if that matters."
    ),
    "image_channels_differ": _warning("Grayscale and color images are mixed; training reads all of them as color."),
    # Audio
    "audio_unknown_format": _error("The audio format is not supported. Save the clip as WAV, FLAC, OGG, MP3 or AIFF."),
    "audio_corrupt": _error(
        "The audio file cannot be decoded. Open it in a player and save it again, or leave it out."
    ),
    "audio_empty": _error("The audio file has no samples. Record it again, or leave it out."),
    "audio_rate": _error("The sample rate is out of range. Convert the clip to 16,000 Hz, or correct its header."),
    "audio_too_long": _error("The audio clip is too long. Cut it at pauses into clips of at most 30 seconds."),
    "audio_not_finite": _error(
        "The audio clip contains NaN or infinite samples. Export it again as 16-bit WAV or FLAC."
    ),
    "audio_not_encoded": _error(
        "The cell contains no audio file. Write its bytes, as base64 in CSV, or send a zip of audio files with a "
        "manifest."
    ),
    "audio_mixed_down": _repair("The channels of the audio clip were averaged into one."),
    "audio_too_loud": _repair("Samples beyond full scale were scaled down."),
    "audio_silent": _warning("The audio clip is silent. Check that the microphone was on."),
    "audio_clipped": _warning("The audio clip is clipped and therefore distorted. Record it at a lower level."),
    "audio_rates_differ": _warning(
        "Audio clips are resampled to the most frequent sample rate. Record all at one rate to avoid a loss of quality."
    ),
    "audio_long": _warning("Long audio clips need much memory in training. Cut them at pauses."),
    "text_longer_than_audio": _warning(
        "The text has more characters than a speech recognizer can output in this time. "
        "Check whether the audio clip is cut off, or the text belongs to another clip."
    ),
    "text_with_digits": _warning(
        "Digits have no fixed pronunciation: 12 is read as twelve or as one two. Write numbers as they are spoken."
    ),
    "characters_not_in_training": _warning(
        "Characters that no training row contains are never recognized. Replace them, or add training rows with them."
    ),
    "audio_missing": _error(
        "The manifest names an audio file that is not in the upload. Give its path relative to the manifest."
    ),
    "few_texts": _warning(
        "The clips have few different texts. To tell these apart, audio_classification makes fewer errors and "
        "needs fewer clips; speech recognition learns to spell any word."
    ),
    "audio_without_text": _warning(
        "No manifest lists this audio file, so it was left out. Add it with its text.", left_out="audio clips"
    ),
    "clip_in_no_split": _warning(
        "The lists name train and a split to hold out, and none of them has this clip, so it was left out. Add it to a "
        "list, or send the list of all clips alone.",
        left_out="audio clips",
    ),
    "audio_listed_twice": _error("An audio file is listed twice. Keep the entry with the right text."),
    "segment_invalid": _error(
        "The part of the audio file is not a time. Write offset and duration, or start and end, in seconds."
    ),
    "segment_outside_file": _error(
        "The part lies outside of the audio file. Write offset and duration in seconds, within the file."
    ),
    # IDX
    "idx_header": _error(
        "An IDX file begins with 00 00, a type code, the number of dimensions and their sizes. Write it again."
    ),
    "idx_type": _error("The type of the values is not supported. Store unsigned bytes (type 08)."),
    "idx_dimensions": _error(
        "The number of dimensions does not fit. Images are [count, height, width] or [count, height, width, channels]; "
        "labels are [count]."
    ),
    "idx_truncated": _error("The file ends earlier than its header says. Copy it again."),
    "idx_trailing_bytes": _warning("The file continues after its last row. Check the counts in its header."),
    "idx_unpaired": _error(
        "The image file has no label file, or the reverse. Name both alike: train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte."
    ),
    "unequal_counts": _error("The numbers of images and labels differ. Send one label for every image."),
    # Tables
    "table_too_large": _error(
        "The table exceeds the limit. Split the data into several datasets, or send fewer columns."
    ),
    "too_many_rows": _error(
        "The upload has too many rows. Raise PLINTH_IMPORT_MAX_ROWS of the worker, or split the data."
    ),
    "encoding_guessed": _warning("The file is not UTF-8, so its encoding was guessed. Save it as UTF-8."),
    "not_text": _error("The file is not plain text. Save it as text in UTF-8."),
    "ragged_row": _error("The row has another number of cells than the first row. Add or remove cells."),
    "bad_quoting": _error(
        "Close every quote, and double a quote inside a quoted cell. If quotes are characters in all of the file, name "
        "`quoting`: none."
    ),
    "sample_numbers_left_out": _repair(
        "Transcripts begin with the numbers of their first and last sample, as in TIMIT; only the words were read."
    ),
    "quotes_as_text": _repair(
        "Quotes that enclose no cell were read as characters of the text. To reject such rows, name `quoting`: doubled."
    ),
    "quoting_guessed": _warning(
        "Quotes may enclose cells or be characters: both read every row. Name `quoting` if the guess is wrong: doubled "
        "or none."
    ),
    "delimiter_in_text": _repair(
        "Rows with more cells than columns end in a text: the delimiter was read as a part of it. Enclose the text in "
        "quotes."
    ),
    "invalid_quoting": _error("The quoting is unknown. Name doubled, backslash, none or none_backslash."),
    "quoting_not_used": _warning("Files of this format are no delimited text. Omit `quoting`."),
    "cell_too_large": _error("The cell or line is too long. Check for a quote that is not closed."),
    "column_missing": _error("A required column is missing. Name the column as `columns`, or add it to the file."),
    "no_image_columns": _error(
        'No column contains images. Name it: columns {"image": "name"} for encoded images, '
        'or {"image": "first:last"} for pixels.'
    ),
    "target_not_named": _error(
        'The table holds measurements, and no column has a usual name of a target. Name it: columns {"label": "name"}. '
        'If a column is a text, name it: columns {"text": "name"}. If the numbers are those of images, name the first '
        'and the last of them and the size: columns {"image": "first:last", "shape": "28x28"}.'
    ),
    "no_features": _error(
        'No column beside the target can be learned from. Name the columns: columns {"features": "height + weight"}.'
    ),
    "label_column_guessed": _warning(
        "No column has a usual name of a label, so this one is predicted. If another is right, name it: columns "
        '{"label": "name"}, or --columns label=name.'
    ),
    "feature_omitted": _warning(
        "The column is not learned from. To use it, name its kind in the spec: "
        'encoders {"features": {"kinds": {"name": "category"}}}.'
    ),
    "feature_values_not_read": _warning(
        "These values count as missing. Correct them, or name the kind of the column in the spec: "
        'encoders {"features": {"kinds": {"name": "category"}}}.'
    ),
    "feature_may_mean_none": _warning(
        "This number is far from all others of the column and is learned from as a measurement. If it means that there "
        "is none, leave the cell empty."
    ),
    "dates_ambiguous": _warning(
        "All dates of the column fit day/month/year as well. If that is right, write them as YYYY-MM-DD, or name the "
        'kind in the spec: encoders {"features": {"kinds": {"name": "date_day_first"}}}.'
    ),
    "record_empty": _repair("Rows without any value beside the target were left out."),
    "record_not_an_object": _error("The features of a row are values by column. Send a table with a column for each."),
    "value_missing": _repair("Rows without a number in the target column were left out."),
    "boxes_without_class": _warning(
        'No column has the class of the boxes, so all of them are of the class "object". Add a column with the class.'
    ),
    "number_means_none": _warning(
        "This number stands for a missing one beside all others, so its rows were left out. If it is a measurement, "
        "write all of them in another unit.",
        left_out="rows",
    ),
    "number_may_mean_none": _warning(
        "This number is the only negative one of the target, and is learned from. If it means that there is none, "
        "leave the cell empty."
    ),
    "value_not_a_number": _error(
        "The target of a regression is a number. Correct the cell, leave out the row, or name another column by "
        "`columns`."
    ),
    "pixels_not_square": _error(
        'The number of pixel columns fits no square image. Give its shape: columns {"shape": "28x28"} '
        'or {"shape": "32x32x3"}.'
    ),
    "pixels_shape_assumed": _warning(
        'Pixels were read as rows of red, green, blue. To be sure, give their shape: columns {"shape": "HxWx3"}.'
    ),
    "pixels_scaled": _repair("Pixel values from 0 to 1 were multiplied by 255."),
    "pixels_rounded": _repair("Fractional pixel values were rounded to integers."),
    "pixel_not_a_number": _error("A pixel cell contains no number. Write a number in every pixel cell."),
    "pixel_out_of_range": _error("Write pixel values from 0 to 255, or all of them from 0 to 1."),
    "image_not_encoded": _error(
        "The cell contains no image file. Write its bytes, as base64 in CSV; names of files outside the table are "
        "not read."
    ),
    "columns_differ": _error("The files have different columns. Use the same in all, or upload separate datasets."),
    "no_columns": _error('No columns were recognized. Name them: columns {"text": "name in the file", ...}.'),
    "fields_not_read": _warning(
        "Columns or fields of the file are not read. To read one, choose it on the page or name it by `columns`. "
        'Several become one text: choose "text" for each, or join the names by +: {"text": "subject + description"}.',
        left_out="columns",
    ),
    "details_not_read": _note(
        "Fields that number or describe rows, such as ids, licenses, dates and sizes, are not learned from.",
        left_out="columns",
    ),
    "columns_joined": _warning(
        "Two texts of a row were joined by a blank line. Join them in the same way in requests, or name one by "
        "`columns`."
    ),
    "title_lines_left_out": _note("Comments or a title above the rows of the table were left out.", left_out="lines"),
    "document_as_rows": _note("The JSON object holds a table, whose rows were read."),
    "divided_by_blanks": _note(
        "The cells of the table are divided by blanks. Divide them by commas or tabs if a cell holds blanks itself."
    ),
    "orders_joined": _note("The lines of orders were joined with the table that names the customer of each order."),
    "orders_unknown": _repair("Lines of orders that the table of orders lacks were left out.", left_out="orders"),
    "choices_written_out": _warning(
        "Question and choices are the prompt, and the text of the right choice is learned, not its number. "
        "To read other columns, name them by `columns`."
    ),
    "text_column_guessed": _warning(
        "No column has a usual name of a text, so the longest was taken. Name the right one by `columns`."
    ),
    "label_not_named": _error(
        "Several columns repeat few values, as labels do, and none has a usual name of a label. Name one: columns "
        '{"label": "name"}, or --columns label=name. To read the text alone, name the task text_generation.'
    ),
    "json_not_an_object": _error('Write one JSON object per line: {"text": "...", "label": "..."}.'),
    "json_is_one_document": _error(
        "The file is one JSON object with its rows in an inner list. Write one JSON object per line: "
        "jq -c '.data[]' file.json, with the name of the list."
    ),
    "token_labels": _error(
        "The file has a label for each word (as CoNLL), which no task learns. For classes of whole texts, send a table "
        "with a text and its label in each row."
    ),
    "markup_removed": _repair(
        "Time stamps, numbers and tags were removed, and what is shown is read. To learn markup as well, send the file "
        "as a field `text` of JSON lines."
    ),
    "content_not_read": _error("Files of this format are not read. Convert them as the finding says."),
    "json_invalid": _error(
        "The line is not valid JSON from this position on. Write every line as a complete JSON value."
    ),
    # Texts in two languages
    "sentences_not_linked": _note(
        "Sentences that no link joins to one of the other language were left out.", left_out="sentences"
    ),
    "text_unpaired": _error(
        "A file has no counterpart. Send both files of a pair, named alike but for the language: train.en, train.de."
    ),
    "line_counts_differ": _error(
        "Both files need the same number of lines, each the translation of the line in the other file. "
        "Look for a line that was split, joined or left out."
    ),
    "text_untranslated": _warning(
        "Both sides are equal, which teaches a model to copy. Leave such rows out unless they are intended."
    ),
    "text_lengths_differ": _warning(
        "One side is much longer than the other. Check whether a line was split, joined or cut off."
    ),
    "sides_swapped": _warning(
        "Judged by their words, each side is in the language of the other column. Swap the sides, or check the row."
    ),
    "languages_swapped": _warning(
        'The texts are in other languages than the names say. Swap them by `columns`: {"text": ..., "target": ...}.'
    ),
    "tmx_languages": _error('Name two languages of the file: columns {"text": "en", "target": "de"}.'),
    "tmx_unit_incomplete": _repair(
        "Translation units without both languages were left out.", left_out="translation units"
    ),
    "xml_invalid": _error("The file is not well-formed XML from this line on. Export it again."),
    "xml_too_deep": _error("The XML elements are nested too deeply for this format. Check that it is the right file."),
    "xml_entity": _error("Entities that a file defines itself are not expanded. Write the characters themselves."),
    # Texts
    "text_missing": _repair("Rows without a text were left out.", left_out="rows"),
    "text_misread": _warning(
        "Characters are garbled: the text was once decoded with a wrong encoding. Export it again from its source as "
        "UTF-8."
    ),
    "text_control_characters": _warning(
        "The text contains invisible control characters, which a tokenizer reads. Remove them."
    ),
    "text_too_long": _error("The text exceeds the limit. Split it into several rows."),
    "text_not_plain": _error("A text must be a string, not a list or an object. Write it as a string."),
    # Conversations
    "conversation_invalid": _error(
        'Write one conversation per line: {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", '
        "...}]}."
    ),
    "conversation_without_answer": _repair(
        "Conversations without a turn of the assistant to learn were left out. A turn with weight 0 is not learned.",
        left_out="conversations",
    ),
    "conversation_with_media": _repair(
        "Conversations with images, sounds or files were left out; only texts are read.", left_out="conversations"
    ),
    "turns_not_learned": _warning(
        "Only answers of the assistant are learned: not its first words before any other turn, and no turn after the "
        "last answer.",
        left_out="turns",
    ),
    "chats_in_texts": _warning(
        "The texts are conversations: each answer of the assistant is learned, and the turns before it are its prompt. "
        'To learn the texts as they are, name the column: columns {"text": "name"}.'
    ),
    "trees_as_conversations": _note(
        "Trees of messages were read as conversations: one from the first message to each answer that none follows."
    ),
    "questions_without_answer": _repair("Questions without an answer were left out.", left_out="rows"),
    "tool_calls_not_learned": _warning(
        "Calls of tools and what tools answer are part of the prompt of later turns. The calls are not learned."
    ),
    # Objects in images
    "objects_not_a_list": _error(
        'Write {"objects": [{"label": "cat", "box": [left, top, right, bottom]}]}, in pixels, or [] for no objects.'
    ),
    "no_such_object": _error(
        "The image has no object at this position; positions count from 0 within an image, as in `preview`."
    ),
    "object_without_label": _error("An object has no label. Add one to every object."),
    "box_not_numbers": _error("A box is not a list of four numbers. Write left, top, right, bottom."),
    "box_reversed": _repair("Boxes with the right or bottom edge first were put into order."),
    "box_outside": _repair("Boxes that extend beyond the image were clipped at its edge."),
    "box_off_image": _repair("Boxes entirely outside the image were left out.", left_out="objects"),
    "box_empty": _repair("Boxes without width or height were left out.", left_out="objects"),
    "outline_as_box": _repair("Objects with an outline were read as the box around it."),
    "boxes_counted_from_one": _repair(
        "The writer of the files counts pixels from 1, so left and top were moved by one pixel."
    ),
    "voc_origin_unknown": _warning(
        "Pascal VOC counts pixels from 1, and many tools from 0; the files do not say which, so 0 was assumed. If they "
        "count from 1, subtract 1 from xmin and ymin."
    ),
    "box_turned": _repair("Turned boxes were read as the upright box around them."),
    "keypoints_not_read": _repair(
        "Keypoints were left out; the box of each object was read.", left_out="keypoints of objects"
    ),
    "box_duplicate": _repair("Equal boxes with the same label in one image were merged."),
    "boxes_of_another_form": _warning(
        "Many boxes leave the image or end before they begin. Check the box format. VOC: left, top, right, bottom; "
        "COCO: left, top, width, height; YOLO: center, width and height as fractions of the image."
    ),
    "boxes_in_fractions": _error(
        "Boxes must be in pixels, except in YOLO files. Multiply them by the width and height of the image."
    ),
    "image_without_objects": _warning("The image was read as one without objects. Annotate it if it shows any."),
    "image_missing": _error("The annotated image is not in the upload. Add the image, or remove its annotation."),
    "image_size_differs": _warning(
        "The annotation is for another image size. Check whether the image was scaled without its boxes."
    ),
    "image_not_listed": _warning(
        "Images that no annotation file lists were left out. List them without objects to include them.",
        left_out="images",
    ),
    "annotation_without_image": _error(
        "The annotation names no listed image. List the image, or remove the annotation."
    ),
    "objects_as_crowd": _warning(
        "Crowds, many objects in one outline, are neither learned nor judged: what is detected there counts as neither "
        "right nor wrong. Mark single objects with iscrowd 0."
    ),
    "class_of_crowds": _warning(
        "All annotations of the class are crowds, so nothing is learned of it. Annotate single objects, with iscrowd 0."
    ),
    "painted_mask_as_object": _warning(
        "CVAT and Datumaro write each painted mask as a crowd (iscrowd 1). They were read as single objects. If they "
        "are crowds, remove `attributes` from the annotations."
    ),
    "annotation_parts_not_read": _warning(
        "Only the class and the box of each object are used; masks, keypoints, tracks and attributes are not.",
        left_out="parts of objects",
    ),
    "image_listed_twice": _warning(
        "An image is listed several times; the objects of all entries were joined. Keep one entry of each image."
    ),
    "image_not_annotated": _warning(
        "Images that no one has annotated were left out. Submit an empty annotation for those that show no objects."
    ),
    "annotators_several": _warning(
        "An image has several annotations; the ground truth, or else the one that was updated last, was read."
    ),
    "annotation_ids_twice": _warning(
        "Several annotations have one id. All were read, but pycocotools keeps only one of them. Number them uniquely."
    ),
    "box_not_in_fractions": _error(
        "YOLO boxes are fractions of the image, from 0 to 1. Divide them by the width and height of the image."
    ),
    "classes_without_names": _warning(
        "Class numbers were used as class names. Add data.yaml or classes.txt to name them."
    ),
    "annotation_invalid": _error(
        "The annotation cannot be read from this position on. Write it as the format requires."
    ),
    "class_names_differ": _warning("Several files name the classes differently; the first was used. Keep one of them."),
    "class_unknown": _error("An object has a class that the class list does not name. Add its name."),
    "image_without_caption": _warning(
        "Images without a text of their name were left out. Add a text for each to include them.", left_out="images"
    ),
    "caption_of_numbers": _error(
        "The text beside the image holds numbers, as labels of YOLO do. For objects, name the task object_detection."
    ),
    "split_path_missing": _warning(
        "Images that a split names are not in the upload. Add them, or remove the path from the list or the settings."
    ),
    "split_same_as_train": _warning(
        "A split to hold out names all images of train, so it was ignored and images were held out at random. "
        "Name other images for it."
    ),
    # Manifests beside files
    "manifest_missing": _error("Add a table metadata.csv with a column file_name and a column text or label."),
    "manifest_without_columns": _error("Name at least two columns in the first line: file_name,text."),
    "file_missing": _error("The table names a file that is not in the upload. Correct its name, or remove the row."),
    "file_name_ambiguous": _error("Several files have this name. Write the path with its folder."),
    "image_not_in_table": _warning(
        "Images that the table does not name were left out. Add a row for each to include them.", left_out="images"
    ),
    "split_unknown": _error("The name of the split is unknown. Write train, validation or test."),
    "coco_invalid": _error(
        "The file is not a COCO caption file: JSON with images (id, file_name) and annotations (image_id, caption). "
        "Export it again."
    ),
    # Interactions
    "user_missing": _repair("Interactions without a user were left out.", left_out="interactions"),
    "item_missing": _repair("Interactions without an item were left out.", left_out="interactions"),
    "item_invalid": _error("An item must be a short name or an integer. Correct the value."),
    "ids_as_floats": _repair("Ids like 1.0 were read as 1."),
    "timestamp_invalid": _error(
        "Write times as seconds or milliseconds since 1970, or as dates like 2026-11-25T08:30 or 25.11.2026."
    ),
    "timestamp_missing": _repair(
        "Interactions without a time were left out, since their order is unknown.", left_out="interactions"
    ),
    "timestamps_mixed_units": _warning(
        "Times in different units were converted by their magnitude. Check that the files belong to one log."
    ),
    "times_ambiguous": _warning(
        "Dates like 03/04/2026 were read with the month first. If the day is first, write them as 2026-04-03."
    ),
    "times_equal": _note("Interactions of one user at one time stay in the order of the files."),
    "signal_invalid": _error("A mark says whether a user took an item. Write 1 or 0, or name another column."),
    "interactions_negative": _repair(
        "Marks of 0 (click, label, liked, purchased) are no interactions and were left out.", left_out="interactions"
    ),
    "interactions_without_time": _warning(
        "No column contains times, so the order in the file is used. Add a time column if it is wrong."
    ),
    "interactions_sorted": _repair("The interactions of each user were sorted by time."),
    "interactions_duplicate": _repair("Interactions with equal user, item and time were merged."),
    "interactions_repeated": _warning(
        "Some users have an item more than once. To recommend such items again, set `repeat` in the config of the task."
    ),
    "ratings_not_used": _warning(
        "Ratings count equally by default. Set `rating_weights` to `proportional` in the config of the task for a "
        "higher rating to count more."
    ),
    "event_invalid": _error("An event is the name of what a user did. Correct it, or name another column as `event`."),
    "weight_invalid": _error("Correct the weight, or name another column as `weight`."),
    "events_merged": _repair(
        "Consecutive events of one user with one item, such as a view and a purchase, are one interaction with the "
        "rarest event of them."
    ),
    "events_not_used": _warning(
        "With this number of different values the column has no events, and all interactions count equally. Name the "
        "column of events as `event`, or rename this one."
    ),
    "items_not_in_training": _warning(
        "An item without interactions in the training split cannot be recommended and counts as missed. "
        "Add interactions with it, or leave it out."
    ),
    "history_empty": _error("A history needs at least one item. Add one, or remove the row."),
    "history_grows": _repair("Histories grow from row to row; each item was read once.", left_out="repeated histories"),
    "sessions_joined": _warning(
        "The sessions of a user are one history, in the order of the file. Name their column as the user to keep them "
        "apart."
    ),
    "history_too_long": _error("The history has too many items. Keep the latest ones."),
    "history_not_a_list": _error('Write a history as a list of items: ["one", "two"].'),
    "history_short": _warning("Users with too few interactions to hold any out are used for training only."),
    "held_out_items_not_used": _warning(
        "A user has more than 100 items in a validation or test file. The latest 100 are predicted, the earlier ones "
        "are read as known. Split by time for fewer."
    ),
    "file_not_a_log": _warning(
        "Only interactions and one table of items are read; other files (tags, users) were left out.", left_out="files"
    ),
    "item_column_missing": _error(
        "The table of items needs a column of ids. Name it as in the log: item, movieId, id."
    ),
    "items_match_nothing": _error(
        "No id of the table of items occurs in the interactions. Write both alike: the same spelling and zeros."
    ),
    "item_without_text": _warning(
        "All cells of this item are blank, so it is known by its interactions alone. Add a title or a description."
    ),
    "item_repeated": _warning(
        "The table of items has this id more than once; the first row counts. Remove the others."
    ),
    "item_column_blank": _note("This column of the table of items has no value in any row.", left_out="columns"),
    "items_not_described": _warning(
        "These items of the interactions are not in the table of items; they are known by their interactions alone."
    ),
    "items_not_in_log": _note("These items have no interactions; by their texts they can be recommended all the same."),
    "no_log_in_archive": _error(
        "The archive contains no interaction log. Pack a table with user, item and optionally timestamp: ratings.csv."
    ),
    "splits_at_random": _error(
        "Omit `splits`: the last items of each user are held out. With random splits, a model would learn from later "
        "interactions, and its metrics would be too high."
    ),
    # Labels and splits
    "subjects_too_few": _warning(
        "A column names what rows are about (a patient, a speaker), but too few to hold some out: their rows are in "
        "several splits, and metrics are those on known ones. Add others, or name splits."
    ),
    "subjects_in_several_splits": _warning(
        "Rows about one subject (a patient, a speaker) are in train and in a split that is held out, so that metrics "
        "are those on known ones. Put all rows about one subject into one split."
    ),
    "empty_dataset": _error("No rows are left for training. Send at least one valid row."),
    "missing_label": _error("Some rows have a label and some have none. Label all rows, or none."),
    "label_means_none": _warning(
        "This label says that a row has no label, as - does in SNLI and -1 in GLUE, so its rows were left out. If it "
        "is a class, give it another name.",
        left_out="rows",
    ),
    "class_may_mean_none": _warning(
        "This class may stand for rows without a label. If it does, leave its rows out: drop_rows in "
        "POST /api/v1/datasets/{dataset}/derive."
    ),
    "label_not_plain": _error(
        "A row has one class. For several labels, use one class per combination, joined by another sign than |, or one "
        "dataset per label."
    ),
    "several_labels_left_out": _repair(
        "A row has one class: rows with several were left out. To keep them, write one class per combination.",
        left_out="rows",
    ),
    "label_too_long": _error("A label is a short name. If this column is a text, name the label column by `columns`."),
    "labels_as_floats": _repair("Labels like 1.0 were read as 1."),
    "too_many_classes": _error(
        "The label column has too many different values. If it is an id or a measurement, name the label column by "
        "`columns`."
    ),
    "every_row_its_own_class": _warning(
        "No class has two rows. If this column is an id, name the label column by `columns`."
    ),
    "one_class": _warning(
        "One class is enough for pretraining and generation; a classifier needs at least two. Add rows."
    ),
    "nearly_one_class": _warning(
        "A model that always predicts this class has about the same accuracy. Compare macro F1, or add rows of other "
        "classes."
    ),
    "class_too_small": _error(
        "A class needs 2 rows, one for training and one to hold out. Add rows, or remove the class."
    ),
    "class_tiny": _warning("Fewer than 5 rows are too few to learn a class or to measure it. Add rows."),
    "class_names_differ_in_case": _warning(
        "Classes that differ only in case are separate classes. Rename one if they are the same."
    ),
    "class_missing_in_train": _error(
        "A class without rows in train cannot be learned. Add rows to train, or remove the class from the other splits."
    ),
    "class_missing_in_split": _warning(
        "The split has no rows of this class, so it cannot be measured there. Add rows."
    ),
    "tiny_dataset": _warning("With this few rows, all metrics are unreliable. Add rows."),
    "duplicate_rows": _warning(
        "Equal rows in one split count several times. Remove the copies if they are not intended."
    ),
    "duplicate_across_splits": _repair(
        "Copies of held-out rows were removed from the splits that a model learns from."
    ),
    "near_duplicates_across_splits": _warning(
        "Held-out rows resemble rows that a model learns from, so that metrics are too high. Drop them from the "
        "held-out splits: `plinth datasets fix`, or drop_rows in POST /api/v1/datasets/{dataset}/derive."
    ),
    "texts_from_templates": _warning(
        "Texts differ from an earlier one in few words, as those made from templates do; they are not listed as near "
        "duplicates. Metrics hold for such texts alone: judge the model on texts that people wrote."
    ),
    "near_duplicate_rows": _warning(
        "Rows resemble an earlier row of their split. Drop them if they are copies: drop_rows in "
        "POST /api/v1/datasets/{dataset}/derive."
    ),
    "label_leaked_by_column": _warning(
        "The texts state the label, so that a model learns nothing else, and its metrics are too high. Name another "
        "column by `columns`, or leave out the part that states it."
    ),
    "label_leaked_by_files": _warning(
        "A property of the files tells the classes apart, so that a model may learn it rather than what is seen or "
        "heard. Save all files alike, and collect all classes in the same way."
    ),
    "feature_predicts_label": _warning(
        "A single feature tells the classes apart. If it is known only once the label is, or is another name of it, "
        'leave it out: columns {"features": "height + weight"}.'
    ),
    "column_predicts_label": _note(
        "A column that is not read predicts the label alone: rows are sorted by class, or it is another name of the "
        "label. Do not learn from it."
    ),
    "label_probably_wrong": _warning(
        "A small model, trained on the other rows, predicts another class with confidence. Some of these labels are "
        "wrong, others are unusual. Look at the rows, then relabel or drop them: "
        "POST /api/v1/datasets/{dataset}/derive."
    ),
    "near_duplicates_partly_compared": _warning(
        "There are too many rows to compare all of them; the held-out ones and a part of train were compared."
    ),
    "conflicting_labels": _warning("Equal rows have different labels. Check which label is right."),
}
