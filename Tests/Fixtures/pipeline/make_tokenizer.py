"""Makes spiece.model, tokenizer.json and tokens.json: a tiny unigram model with byte fallback, and its ids.

sentencepiece 0.2.3, one thread, ids as UMT5's: pad 0, eos 1, bos 2, unk 3, bytes 4...259, 300 pieces. The
normaliser is a handful of rules of our own in the library's charsmap format, since the published
nmt_nfkc charsmap alone is 240 kB: full-width letters and punctuation, ligatures, odd spaces.
tokenizer.json describes the same model for the tokenizers library; it has no charsmap.
tokens.json lists {"text", "ids"} as SentencePiece itself gives them, without clean-up and without the end
token: named hard cases, then 80 strings drawn with seed 7 from an alphabet that touches every rule.
"""
import json
import random
import tempfile
from pathlib import Path

import sentencepiece

HERE = Path(__file__).parent

CORPUS = [
    f"{article} {thing} {motion} {where}"
    for article in ("A", "a", "the", "The")
    for thing in ("cat", "dog", "red car", "blue fish", "robot", "small bird")
    for motion in ("walking", "running", "is jumping", "turns left", "moving slowly, calm")
    for where in ("on the grass", "in the snow.", "at sea", "in a room", "by the river, at night")
] + ["blurry", "low quality, blurry", "blurry, still picture"] * 20

RULES = (
    [(chr(0xFEE0 + ord(c)), c) for c in "ABCXYZabcxyz0123456789,.:!?"]      # full width
    + [("ﬁ", "fi"), ("ﬂ", "fl"), ("ﬃ", "ffi"), ("①", "1"), ("…", "..."), ("e\u0301", "\u00E9")]
    + [(c, " ") for c in "\t\n\u00A0\u200B\u3000"])


def train(folder):
    """The serialised model."""
    corpus, rules = folder / "corpus.txt", folder / "rules.tsv"
    corpus.write_text("\n".join(CORPUS))
    hexed = lambda text: " ".join(f"{ord(c):X}" for c in text)
    rules.write_text("".join(f"{hexed(before)}\t{hexed(after)}\n" for before, after in RULES))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "tiny"), model_type="unigram", vocab_size=300,
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", byte_fallback=True, num_threads=1,
        normalization_rule_tsv=str(rules), character_coverage=1.0, minloglevel=2)
    return without_paths(folder / "tiny.model")


def without_paths(path):
    """The model file without the trainer's notes of where its input lay."""
    from sentencepiece import sentencepiece_model_pb2
    model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    del model.trainer_spec.input[:]
    model.trainer_spec.ClearField("model_prefix")
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    return model.SerializeToString()


def tokenizer_json(model):
    """The same pieces and scores in the format of the tokenizers library, as its converter writes it."""
    pieces = [[model.id_to_piece(i), model.get_score(i)] for i in range(len(model))]
    special = lambda i: {"id": i, "content": pieces[i][0], "single_word": False, "lstrip": False, "rstrip": False,
                         "normalized": False, "special": True}
    ending = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special(i) for i in range(4)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, ending],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, ending, {"Sequence": {"id": "B", "type_id": 0}}, ending],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": True},
    }


HARD = [
    "", " ", "   ", "a", " a ", "A cat walking on the grass", "blurry", "  the   cat  ", "the\tcat\nran", "▁the▁cat",
    "the\u00A0cat", "the\u200Bcat", "the\u3000 \u200B cat", "ＡＢＣ，ｘ", "ﬁsh ﬃ ﬂ", "①…", "e\u0301 \u00E9", "cat🦙", "🦙🦙 low",
    "猫 walking", "</s> <pad> <0x41>", "walkingwalking", "aaaaaaaaaaaaaaaaaaaaaaaa", "\u0000a", "a\u0301", "\uFEFFcat", "cat\u3000",
]
ALPHABET = list("aacehtrsoinbly ,.A T▁xyz012") + ["the ", "walking ", "ca", "low", " ", "\t", "\u3000", "\u200B", "Ａ", "，", "ﬁ", "ﬃ",
                                               "…", "①", "e\u0301", "\u0301", "é", "猫", "🦙"]


def texts():
    """The hard cases and the drawn strings."""
    draw = random.Random(7)
    return HARD + ["".join(draw.choices(ALPHABET, k=draw.randint(2, 24))) for _ in range(80)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        (HERE / "spiece.model").write_bytes(train(Path(folder)))
    model = sentencepiece.SentencePieceProcessor(model_file=str(HERE / "spiece.model"))
    (HERE / "tokenizer.json").write_text(json.dumps(tokenizer_json(model), ensure_ascii=False))
    rows = [json.dumps({"text": text, "ids": model.encode(text)}) for text in texts()]
    (HERE / "tokens.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
