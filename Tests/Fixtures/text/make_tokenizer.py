"""Writes small.model, a SentencePiece unigram model with the settings of UMT5's, and small.json: texts with
their ids.

    python make_tokenizer.py        # sentencepiece 0.2.3, Python 3.11

Settings as google/umt5-xxl: nmt_nfkc, byte fallback, ids pad 0, end 1, begin 2, unknown 3, byte pieces at
4 to 259. The corpus is written below; training is deterministic with one thread. The ids are those of the
sentencepiece package.
"""

import io
import itertools
import json
import pathlib

import sentencepiece

HERE = pathlib.Path(__file__).parent

SUBJECTS = ["a cat", "the small dog", "two boats", "an old man", "a red balloon", "the astronaut", "a white horse", "snow", "a robot"]
VERBS = ["walks", "is walking", "runs slowly", "jumps", "floats", "turns around", "looks at the camera", "falls"]
PLACES = ["on the grass", "through the rain", "over the sea", "in a dark forest", "beside a river", "under the city lights", "at sunset"]
OTHERS = [
    "一只猫在草地上行走", "夕阳下的海边，电影感镜头", "两只小狗在雪地里奔跑", "Ein Hund läuft über die Wiese", "Un chat marche sur l'herbe",
    "Кошка идёт по траве", "草の上を歩く猫", "고양이가 풀밭 위를 걷는다", "cinematic, 4k, shallow depth of field", "café, naïve, œuvre",
]
corpus = [f"{s} {v} {p}." for s, v, p in itertools.product(SUBJECTS, VERBS, PLACES)] + OTHERS * 20

model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(corpus), model_writer=model, model_type="unigram", vocab_size=400, byte_fallback=True,
    character_coverage=0.999, normalization_rule_name="nmt_nfkc", pad_id=0, eos_id=1, bos_id=2, unk_id=3,
    num_threads=1, minloglevel=2)
(HERE / "small.model").write_bytes(model.getvalue())

TEXTS = [
    "", " ", "a cat", "a cat walks on the grass.", "The astronaut floats over the sea", "  two   boats  ", "tab\tand\nnewline",
    "一只猫在草地上行走", "夕阳下的海边，电影感镜头", "过曝，静态", "ＡＢＣ ①②", "ﬁsh", "ﬁ\u0355", "e\u0301 é", "cafe\u0301", "🦙", "cat🦙dog",
    "👩‍👩‍👧", "</s>", "<pad> <extra_id_0> <unk> <0x41>", "▁cat", "a▁cat", "½ ™ ㎏ ﷺ", "ｶﾞ", "\u200bcat\u200b\u00a0dog\u3000x",
    "Кошка идёт по траве", "고양이가 풀밭 위를", "العربية", "zzzzqqqq", "a" * 40, "4k, 8K; 24fps!", "\u0000\u0001x", "a\u0000b", "\ufeffx",
    "\ufffd", "x\u0301\u0302\u0303", "l'herbe “quoted” it’s…", "\U0010ffff", "ŉ ſ İ ı ß ẞ",
]
processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
pairs = [[text, processor.encode(text)] for text in TEXTS]
lines = ",\n".join(f'{{"text": {json.dumps(t)}, "ids": {json.dumps(i)}}}' for t, i in pairs)
(HERE / "small.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")
print(f"{processor.get_piece_size()} pieces, {len(model.getvalue())} bytes, {len(pairs)} texts")
