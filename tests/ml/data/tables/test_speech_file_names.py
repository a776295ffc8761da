from ml.data.tables.speech_file_names import find_speakers, match_transcripts


def test_a_text_beside_a_clip_is_its_transcript() -> None:
    clips = ["a.zip/x/1.wav", "a.zip/y/1.wav"]
    texts = ["a.zip/x/1.txt", "a.zip/y/1.lab", "a.zip/x/notes.txt", "a.zip/x/1.csv"]
    assert match_transcripts(texts, clips) == {clips[0]: ["a.zip/x/1.txt"], clips[1]: ["a.zip/y/1.lab"]}


def test_the_normalized_text_of_libritts_goes_before_the_printed_one() -> None:
    clip = "t.zip/84/121123/84_121123_000007_000000.wav"
    stem = clip.removesuffix(".wav")
    texts = [f"{stem}.original.txt", f"{stem}.normalized.txt"]
    assert match_transcripts(texts, [clip]) == {clip: texts[::-1]}


def test_transcripts_of_vctk_lie_in_another_folder_and_count_for_the_first_microphone() -> None:
    clips = [f"v.zip/wav48/p225/p225_00{number}_mic{mic}.flac" for number in (1, 2) for mic in (1, 2)]
    texts = [f"v.zip/txt/p225/p225_00{number}.txt" for number in (1, 2)]
    assert match_transcripts(texts, clips) == {clips[0]: [texts[0]], clips[2]: [texts[1]]}


def test_a_name_that_several_folders_have_matches_only_within_one() -> None:
    assert match_transcripts(["z.zip/txt/1.txt"], ["z.zip/a/1.wav", "z.zip/b/1.wav"]) == {}


def test_a_parallel_folder_has_the_transcript() -> None:
    clips = [f"z.zip/wav/{speaker}/1{mic}.wav" for speaker in ("a", "b") for mic in ("_mic1", "_mic2")]
    texts = ["z.zip/txt/a/1.txt", "z.zip/txt/b/1.txt"]
    assert match_transcripts(texts, clips) == {clips[0]: [texts[0]], clips[2]: [texts[1]]}


def test_folders_whose_names_begin_those_of_the_clips_are_speakers() -> None:
    vctk = ["v.zip/p225/p225_001.wav", "v.zip/p226/p226_001.wav"]
    libri = ["l.zip/84/121/84-121-0000.flac", "l.zip/174/50/174-50-0001.flac"]
    assert find_speakers(vctk) == dict(zip(vctk, ("p225", "p226"), strict=True))
    assert find_speakers(libri) == dict(zip(libri, ("84", "174"), strict=True))


def test_folders_of_words_and_single_folders_are_no_speakers() -> None:
    assert find_speakers(["w.zip/yes/yes_1.wav", "w.zip/no/no_1.wav"]) == {}
    assert find_speakers(["w.zip/p225/p225_1.wav", "w.zip/p225/p225_2.wav"]) == {}
    assert find_speakers(["w.zip/p225/p225_1.wav", "w.zip/p226/other.wav"]) == {}
