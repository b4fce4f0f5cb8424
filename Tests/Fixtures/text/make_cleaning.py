"""Makes cleaning.json: prompts before and after the official clean-up.

Reference: Wan2.2 wan/modules/tokenizers.py (../support.py), `whitespace_clean(basic_clean(text))`, with ftfy
6.3.1 and Python's html.unescape. Rows are {"case", "text", "clean", "mojibake"}. `mojibake` is true where
ftfy's guess at a wrong decoding changes the result, found by switching that step off: an engine without
that heuristic passes the other rows only.
"""
import json
import sys
from pathlib import Path

import ftfy

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from support import official

tokenizers = official("modules.tokenizers")
NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，"
    "多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走")

CASES = {
    "plain": "A cat walking on the grass",
    "empty": "",
    "only spaces": " \t\n\u3000 ",
    "edges": "  a cat \n",
    "runs of spaces": "a  cat\n\tand   a\r\n\r\ndog",
    "every kind of space": "a\u0085b\u00A0c\u1680d\u2000e\u2005f\u200Ag\u2028h\u2029i\u202Fj\u205Fk\u3000l\x0Bm\x0Cn",
    "zero width stays": "cat\u200B dog\u200Cx\u200Dy\u2060z",
    "separators 1C-1F": "a\x1Cb\x1Db\x1Ec\x1Fd",
    "negative prompt": NEGATIVE,
    "curly quotes": "“dog” ‘it’s’ ‚low‚ „low„ ‟x‟ ‛y‛",
    "guillemets and primes stay": "«a» ‹b› 5′ 6″",
    "modifier apostrophe": "itʼs ŉ",
    "dashes and ellipsis stay": "it’s… a – b — c",
    "latin ligatures": "ﬁsh ﬂy ﬀ ﬃ ﬄ ﬅ ﬆ",
    "digraphs": "Ĳ ĳ Ǳ ǲ ǳ Ǆ ǅ ǆ Ǉ ǈ ǉ Ǌ ǋ ǌ",
    "armenian ligature stays": "ﬓ",
    "full width": "ＡＢＣ１２３，。！？（ａ）～＠",
    "half width kana and hangul": "ｱｲｳ ｶﾞ ﾡ ￩ ￠￥￦",
    "full width ampersand": "ＡＢ＆Ｃ",
    "compatibility characters stay": "① ½ ² ™ ㎏ ℃ Ⅳ",
    "amp": "black &amp; white",
    "twice escaped": "&amp;lt;b&amp;gt; &amp;amp;amp;",
    "less than keeps ftfy away": "<b>&amp;amp;</b> &lt;i&gt;",
    "quot apos nbsp": "&quot;a&quot; &apos;b&#39; c&nbsp;d",
    "accents": "caf&eacute; &Uuml;ber &szlig; &NotEqualTilde; &hearts;",
    "no semicolon": "a &amp b &lt c &copy2024 &notit; &eacutex &foo &foo;",
    "uppercase entity": "&AMP; &QUOT; &EACUTE; &Eacute;",
    "decimal": "&#65;&#8364;&#128512;&#x1F600;&#X41;",
    "windows numbers": "&#128; &#150; &#x93;quoted&#x94; &#129;",
    "invalid numbers": "&#0; &#xD800; &#x110000; &#1114112; &#11; &#xFFFE; &#; &#x; &#xG;",
    "long number": "&#00000000000000000065; &#99999999999999999999;",
    "bare ampersand": "R&B, AT&T; a && b &",
    "entity beside text": "x&lt;3 y&gt;2",
    "entity makes space": "a&#32;&#32;b&emsp;c&#10;d&Tab;e&NewLine;f",
    "entity makes ligature": "&filig;sh &#xFB01;n &#65313;",
    "line breaks": "a\rb\r\nc\u2028d\u2029e\u0085f",
    "terminal colours": "\x1B[31mred\x1B[0m \x1B[1;32mgreen \x1B[2K \x1B[x",
    "control characters": "a\x00b\x07c\x08d\x0Ee\x1Bf\x7Fg",
    "deprecated format characters": "a\u206Ab\u206Fc\uFFF9d\uFFFCe",
    "byte order mark": "\uFEFFcat\uFEFFdog",
    "direction marks stay": "a\u200Eb\u202Ec\u2066d",
    "replacement character": "a\uFFFDb",
    "c1 controls": "\x91quoted\x92 \x96 \x85 \x80 5",
    "c1 unassigned": "a\x81b\x8Dc\x9Dd",
    "compose": "e\u0301 A\u030A n\u0303 o\u0302\u0323",
    "compose hangul": "\u1112\u1161\u11AB\u1100\u1173\u11AF",
    "singletons": "\u212B \u2126 \u1F71",
    "composition exclusion": "\u0958 \u0915\u093C \uFB1D",
    "reorder marks": "a\u0315\u0300\u05AE b\u0323\u0307",
    "emoji": "👩‍🚀 🏳️‍🌈 👍🏽 🇫🇷 ❤️",
    "chinese": "一只猫在草地上行走，“慢镜头”。",
    "japanese": "猫が歩く「夕方」〜",
    "russian": "Кот идёт по траве",
    "arabic": "قطة تمشي على العشب",
    "hindi": "घास पर चलती बिल्ली",
    "weights stay": "(cat:1.2) [dog] {x|y} \\(z\\)",
    "backslashes and tags stay": "C:\\cats\\1 </s> <pad> <extra_id_0>",
    "sentencepiece mark": "▁the▁cat",
    "math": "x² + y² ≤ 4 × π",
    "long": "a very slow, calm shot. " * 40,
    "mojibake utf-8 as latin-1": "schÃ¶n cafÃ©",
    "mojibake quotes": "â€œdogâ€\x9d itâ€™s",
    "mojibake dash and dots": "a â€“ b â€” câ€¦",
    "mojibake twice": "schÃƒÂ¶n",
    "mojibake chinese": "çŒ«åœ¨è‰åœ°ä¸Š",
    "mojibake emoji": "ðŸ˜€ ðŸ±",
    "mojibake no-break space": "caf\u00C3\u00A0 d\u00C2\u00A0e",
    "mojibake russian": "ÐšÐ¾Ñ‚",
    "mojibake guess at plausible text": "Ã la carte, Â£5",
}


def clean(text):
    return tokenizers.whitespace_clean(tokenizers.basic_clean(text))


def clean_without_guessing(text):
    """The same with ftfy's repair of wrong decodings switched off."""
    fix = ftfy.fix_text
    tokenizers.ftfy.fix_text = lambda text: fix(text, ftfy.TextFixerConfig(fix_encoding=False))
    try:
        return clean(text)
    finally:
        tokenizers.ftfy.fix_text = fix


rows = [{"case": case, "text": text, "clean": clean(text), "mojibake": clean(text) != clean_without_guessing(text)}
        for case, text in CASES.items()]
(HERE / "cleaning.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
print(f"cleaning.json: {len(rows)} rows, {sum(row['mojibake'] for row in rows)} with mojibake")
