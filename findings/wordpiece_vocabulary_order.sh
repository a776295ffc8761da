#!/usr/bin/env bash
# tokenizers 0.23.3: WordPieceTrainer learns another vocabulary in each process from the same texts.
#
# Surprise: training looks deterministic, since it has no seed and no random choice. But the continuing pieces of one
# character (`##x`) are numbered in the order of a hash map whose seed differs among processes. Token ids differ
# therefore, and so do the tokens themselves, since pairs of equal frequency are merged in the order of these ids.
# BpeTrainer without `continuing_subword_prefix` is not affected.
#
# Why it matters: a training run that is resumed in another process and trains its tokenizer again gets ids that do
# not fit the embeddings of its checkpoint, without any error. Equal seeds give different weights.
#
# Workaround: collect the characters in a first training with a small `vocab_size`, and pass the `##x` of them, sorted,
# as `special_tokens` of a second training, whose vocabulary goes into a new `models.WordPiece`.
#
# Seen with tokenizers 0.23.3, CPython 3.11, Linux x86-64 (hashes differ with each run of this script):
#   WordPieceTrainer: 8 processes, 8 orders of ids, 2 sets of tokens
#   BpeTrainer: 8 processes, 1 order of ids, 1 set of tokens
#
# Exits 0 while this holds, 1 if the behavior has changed. Needs python3 (or PYTHON) and a package index.
set -euo pipefail

VERSION=0.23.3
PROCESSES=8
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "tokenizers==$VERSION"

cat > "$folder/learn.py" <<'PYTHON'
import hashlib
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TEXTS = ["the quick brown fox jumps over the lazy dog", "a lazy dog sleeps", "quick foxes jump"] * 3
KINDS = {
    "WordPieceTrainer": (models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer),
    "BpeTrainer": (models.BPE(unk_token="[UNK]"), trainers.BpeTrainer),
}


def digest(tokens):
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest()[:16]


model, trainer = KINDS[sys.argv[1]]
tokenizer = Tokenizer(model)
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
options = {"vocab_size": 60, "min_frequency": 2, "special_tokens": ["[UNK]"], "show_progress": False}
tokenizer.train_from_iterator(TEXTS, trainer(**options))
vocabulary = tokenizer.get_vocab()
print(digest(sorted(vocabulary, key=vocabulary.get)), digest(sorted(vocabulary)))
PYTHON

# Prints the numbers of distinct orders of ids and of distinct sets of tokens.
count() {
    for _ in $(seq "$PROCESSES"); do
        "$folder/venv/bin/python" "$folder/learn.py" "$1"
    done > "$folder/$1"
    echo "$(cut -d' ' -f1 "$folder/$1" | sort -u | wc -l) $(cut -d' ' -f2 "$folder/$1" | sort -u | wc -l)"
}

echo "tokenizers $VERSION"
read -r wordpiece_orders wordpiece_sets <<< "$(count WordPieceTrainer)"
read -r bpe_orders bpe_sets <<< "$(count BpeTrainer)"
echo "WordPieceTrainer: $PROCESSES processes, $wordpiece_orders orders of ids, $wordpiece_sets sets of tokens"
echo "BpeTrainer: $PROCESSES processes, $bpe_orders orders of ids, $bpe_sets sets of tokens"

if ((wordpiece_orders > 1 && bpe_orders == 1 && bpe_sets == 1)); then
    echo "As described: WordPieceTrainer depends on the process, BpeTrainer does not."
else
    echo "The behavior has changed." >&2
    exit 1
fi
