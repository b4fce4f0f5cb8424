"""Train the SentencePiece unigram model on captions of the world (ids and byte fallback as in UMT5).

Usage: python train_tokenizer.py OUT/spiece.model
"""
import string
import sys

import numpy as np
import sentencepiece

from captions import caption, draw_label

CAPTIONS, PIECES = 30000, 640


def sentences(seed=1):
    """Captions, and a few lines with every printable ASCII character."""
    rng = np.random.default_rng(seed)
    for _ in range(CAPTIONS):
        yield caption(rng, draw_label(rng))
    for _ in range(20):
        yield " ".join(string.ascii_letters + string.digits)
        yield " ".join(c for c in string.punctuation)


def main():
    """Train and write the model."""
    with open(sys.argv[1], "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences(), model_writer=file, model_type="unigram", vocab_size=PIECES, hard_vocab_limit=False,
            byte_fallback=True, character_coverage=1.0, pad_id=0, eos_id=1, bos_id=2, unk_id=3, num_threads=1, minloglevel=2)
    print(sentencepiece.SentencePieceProcessor(model_file=sys.argv[1]).get_piece_size(), "pieces")


if __name__ == "__main__":
    main()
