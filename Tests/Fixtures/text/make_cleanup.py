"""Writes cleanup.json: pairs of a prompt and what the official clean-up makes of it.

    python make_cleanup.py        # ftfy 6.3.1, Python 3.11

The reference is Wan2.2 `wan/modules/tokenizers.py` at 42bf4cf, `whitespace_clean(basic_clean(text))`,
with ftfy's `fix_encoding` off, which Swan leaves out. The random strings (seed 1) are drawn from what
the steps act on, so that they meet in all orders.
"""

import html
import json
import pathlib
import random
import re

import ftfy


def clean(text):
    text = ftfy.fix_text(text, fix_encoding=False)
    text = html.unescape(html.unescape(text)).strip()
    return re.sub(r"\s+", " ", text).strip()


PROMPTS = [
    "", " ", "a  cat\n\tand “dog”", "&amp;lt;b&amp;gt; &amp;amp;amp;", "ﬁsh ＡＢＣ", "it’s…", "cat\u200b dog\u00a0x\u3000y",
    "\x1b[31mred", "过曝，静态", "e\u0301", "Ĳssel ŉ Ǆ ǅ ǆ Ǉ ǋ Ǳ ǲ ﬃ ﬄ ﬅ ﬆ", "ｶﾞｷﾞ ﾊﾟ ￥ ￡ ﾡ", "a\r\nb\rc\u2028d\u2029e\u0085f",
    "\x1b[1;31mx\x1b[0m \x1b[m \x1b[12 \x1b]0;t", "\ufeffbom \ufff9x\ufffb \u206a", "P&EACUTE;REZ &NTILDE; &nTILDE; &SZLIG;",
    "&notit; &notin; &not; &amp &ampx &copy2024 &COPY; &AMP;", "&#65; &#x41; &#X41; &#65 &#x41g &#; &#x; &#59; &#12a;",
    "&#0; &#128; &#150; &#x110000; &#xd800; &#xfffe; &#11; &#28; &#127; &#99999999999999999999;",
    "&CounterClockwiseContourIntegral; &ThisNameIsLongerThanTwentyFour; &bne; &fjlig;",
    "<b>&lt;i&gt;</b> &quot;x&quot;", "&lt;a\n<b &eacute; &EACUTE;\n&EACUTE;", "a & b && c &", "&&amp;&lt;", "&amp;amp;lt;",
    "\u0344\u0340 \u212b \u2126 \u1e9b\u0323 \uac00\u11a8 \u1100\u1161 q\u0323\u0307 q\u0307\u0323", "👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🦙", "Ａ\u0301 ｆﬁ",
    "‘a’ ‚b‛ “c” „d‟ ʼe", "\x80\x93\x94\x9d\x85", "\x1c\x1d a \x1f b", "  両端　 ", "&ltx &gt7 &LTx &l &g;", "&Aacute &aacutex &thorn6 &frac12 &frac123;",
    "\x1b[١m \x1b[3٢;m", "&#x1F999; &#129433;", "x&#8203;y &zwj; &nbsp; &ensp;z", "&lt;/s&gt; </s> <pad> <extra_id_0>",
    "é è ê naïve café \u0041\u030a", "한국어 日本語 العربية עברית हिन्दी ไทย", "ﷺ ㎏ ① ² ½ ™",
]

PARTS = [
    "a", "B", "7", " ", "  ", "\t", "\n", "\r", "\r\n", "\u0085", "\u00a0", "\u2003", "\u2028", "\u3000", "\u200b", "\ufeff", "\x00",
    "\x1b", "[", "\x1b[", "31", ";", "m", "<", "&", "&#", "&#x", "amp", "amp;", "&amp;", "&lt;", "lt;", "&quot", "&quot;", "&eacute;",
    "&EACUTE;", "&notin;", "notit;", "&#65;", "&#x201c;", "&#150;", "&#13;", "&#27;", "&#x301;", "&#64257;", "#", "x", "65;",
    "\u2018", "\u201d", "\u02bc", "\u0149", "\ufb01", "\u01c5", "\uff21", "\uff0c", "\uff76", "\uff9e", "\uffe5", "\u0301", "\u0323", "e",
    "\u00e9", "\u304b", "\u3099", "\u1100", "\u1161", "\u11a8", "\uac00", "\u0344", "\u212b", "\x81", "\x93", "\x9c", "\U0001f999", "猫",
    "\u0e33", "\u0f73", "\u09c7\u09be", "\x1c",
]

generator = random.Random(1)
prompts = list(PROMPTS)
for _ in range(1500):
    prompts.append("".join(generator.choices(PARTS, k=generator.randint(1, 14))))
prompts = [p for p in dict.fromkeys(prompts)]
pairs = [[p, clean(p)] for p in prompts]
changed = sum(ftfy.fix_text(p) != ftfy.fix_text(p, fix_encoding=False) for p in PROMPTS)
print(f"{len(pairs)} pairs; ftfy's encoding repair would change {changed} of the {len(PROMPTS)} hand-written prompts")
lines = ",\n".join(json.dumps(pair, ensure_ascii=True) for pair in pairs)
pathlib.Path(__file__).with_name("cleanup.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")
