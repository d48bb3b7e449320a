#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes src/text/unicode_tables.c: what the Hugging Face tokenizers library says of every code point.

    unicode.py GOLDEN/tokenizer/unicode.json > src/text/unicode_tables.c

The reference mixes Unicode versions (its regular expressions, its pre-tokenizers and its normalizers differ), so properties are
measured by running it (pip install tokenizers==0.23.3) and taken from unicode.json, which was measured the same way. Case
folding pairs come from Python's str.casefold and the reference's Lowercase.
"""
import json
import struct
import sys

from tokenizers import Regex, normalizers, pre_tokenizers

TOP = 0x110000
CHARS = [chr(c) for c in range(TOP) if not 0xD800 <= c < 0xE000]

CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn").split()
SCRIPTS = """Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki
Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common
Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan
Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Gurung_Khema Han Hangul
Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian
Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin
Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi
Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar
Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian
Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya
Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian
Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le
Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic
Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square""".split()
POSIX = "alnum alpha blank cntrl digit graph lower print punct space upper word xdigit".split()


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def points(pairs):
    return {c for a, b in pairs for c in range(a, b + 1)}


def matched(pattern):
    """The code points that the reference's regular expression matches."""
    text = "".join(CHARS)
    rest = set()
    for piece, _ in pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text):
        rest.update(map(ord, piece))
    return set(map(ord, CHARS)) - rest


def rust_word():
    """\\w of the single_word flag and of Whitespace: Rust's regular expressions, which differ from the others."""
    out = set()
    for at in range(0, len(CHARS), 20000):
        part = [c for c in CHARS[at : at + 20000] if not c.isspace()]
        for piece, _ in pre_tokenizers.Whitespace().pre_tokenize_str("\n".join("a" + c for c in part)):
            if len(piece) == 2 and piece[0] == "a":
                out.add(ord(piece[1]))
    return out


def pre_scripts():
    """Classes of UnicodeScripts: two code points are of one class where it does not split between them; 0: of any class."""
    pre = pre_tokenizers.UnicodeScripts()
    split = lambda a, b: len(pre.pre_tokenize_str(a + b)) == 2
    seen, result = [], []
    for c in CHARS:
        if not split("a", c) and not split("\u0436", c):  # joins both Latin and Cyrillic
            result.append((ord(c), 0))
            continue
        last = result[-1][1] if result else 0
        order = ([last] if last else []) + [i for i in range(1, len(seen) + 1) if i != last]
        for i in order:
            if not split(seen[i - 1], c):
                break
        else:
            seen.append(c)
            i = len(seen)
        result.append((ord(c), i))
    return dict(result)


GRAPHEME = "OTHER CR LF CONTROL EXTEND ZWJ SPACING PREPEND HANGUL_L HANGUL_V HANGUL_T HANGUL REGIONAL PICTURE CONSONANT LINKER ZWNJ".split()


def cluster_counter():
    """How many clusters and lone characters Precompiled sees: its charsmap here maps whatever begins with any byte but 0 to X, and
    a cluster of up to five bytes is looked up as a whole, the characters of a longer one each for itself."""
    units = [0] * 2048  # a double array: the root's children at 512 ^ byte, each with its leaf at 1024 + byte
    units[0] = 512 << 10
    for byte in range(1, 256):
        units[512 ^ byte] = (512 ^ byte ^ (1024 + byte)) << 10 | 1 << 8 | byte
        units[1024 + byte] = 1 << 31
    blob = struct.pack("<I", 4 * len(units)) + struct.pack("<%dI" % len(units), *units) + b"X\0"
    normalizer = normalizers.Precompiled(blob)
    return lambda text: len(normalizer.normalize_str(text))


def graphemes():
    """What Precompiled's division into extended grapheme clusters takes each code point for."""
    count = cluster_counter()
    accent, joiner, ka, virama, mark = "\u0301", "\u200d", "\u0915", "\u094d", "\u00a9"
    joined = {c for c in CHARS if count("a" + c) == 1}
    extend = {c for c in joined if count(mark + c + joiner + mark + accent) == 5}
    linker = {c for c in joined if count(ka + c + ka + accent) == 4}
    in_conjunct = {c for c in joined if count(ka + c + virama + ka + accent) == 5}
    assert linker <= extend and extend - in_conjunct == {"\u200c"} and in_conjunct - extend == {joiner}
    of = {}

    def put(chars, name):
        for c in chars:
            assert of.get(ord(c)) is None, (hex(ord(c)), name)
            of[ord(c)] = GRAPHEME.index(name)

    put("\r", "CR")
    put("\n", "LF")
    put(joiner, "ZWJ")
    put("\u200c", "ZWNJ")
    put(linker, "LINKER")
    put(extend - linker - {"\u200c"}, "EXTEND")
    put(joined - extend - {joiner}, "SPACING")
    put([c for c in CHARS if count(c + accent + accent) == 2 and c not in "\r\n"], "CONTROL")
    put([c for c in CHARS if count(c + "a") == 1], "PREPEND")
    rest = [c for c in CHARS if ord(c) not in of]
    put([c for c in rest if count(mark + joiner + c + accent) == 3 + 1], "PICTURE")
    put([c for c in rest if count(c + virama + ka + accent) == 4], "CONSONANT")
    for first, last, name in ((0x1100, 0x115F, "L"), (0xA960, 0xA97C, "L"), (0x1160, 0x11A7, "V"), (0xD7B0, 0xD7C6, "V"),
                              (0x11A8, 0x11FF, "T"), (0xD7CB, 0xD7FB, "T")):
        put(map(chr, range(first, last + 1)), "HANGUL_" + name)
    put(map(chr, range(0xAC00, 0xD7A4)), "HANGUL")
    put(map(chr, range(0x1F1E6, 0x1F200)), "REGIONAL")
    return of


def runs(of):
    """(first code point << 8 | value) for each run; code points that are missing have the value of what precedes them."""
    out, last = [], None
    for c in range(TOP):
        value = of.get(c, last)
        if value != last:
            out.append(c << 8 | value)
            last = value
    return out


def folds(special):
    """Code points with a simple case folding other than themselves, and its target; targets are listed too."""
    fold = {}
    for c in CHARS:
        low = c.casefold()
        if len(low) != 1:
            low = c.lower() if len(c.lower()) == 1 else c
        if low != c:
            fold[ord(c)] = ord(low)
    for c, low in special.items():
        if len(low) == 1 and int(c, 16) not in fold:
            fold[int(c, 16)] = low[0]
    for target in set(fold.values()):
        fold.setdefault(target, target)
    return sorted(fold.items())


def array(kind, name, values, comment, form="0x%x"):
    print(f"\n/* {comment} */\nconst {kind} {name}[] = {{")
    line = "   "
    for v in values:
        item = " " + form % v + ","
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line + f"\n}};\nconst size_t {name}_count = sizeof {name} / sizeof {name}[0];")


def pairs(name, rs, comment):
    array("uint32_t", "tare_unicode_" + name, [x for r in rs for x in r], comment + "; first and last of each range")


def main():
    u = json.load(open(sys.argv[1], encoding="utf-8"))
    classes = u["classes"]
    print("/* SPDX-License-Identifier: MIT\n * unicode_tables.c - made by tools/unicode.py; do not edit. */")
    print('#include "text/unicode.h"\n\n/* clang-format off */')
    category = {}
    for i, name in enumerate(CATEGORIES):
        for c in matched("\\p{%s}" % name):
            category[c] = i
    for c in range(0xD800, 0xE000):
        category[c] = CATEGORIES.index("Cn")
    assert len(category) == TOP
    for name in CATEGORIES:
        key = "\\p{%s}" % name
        if key in classes:
            assert {c for c, i in category.items() if CATEGORIES[i] == name and not 0xD800 <= c < 0xE000} == points(classes[key]) - set(range(0xD800, 0xE000)), key
    array("uint32_t", "tare_unicode_category", runs(category), "general categories, Unicode 16: first << 8 | number")
    script = {}
    for i, name in enumerate(SCRIPTS):
        for c in matched("\\p{%s}" % name):
            script[c] = i + 1
    array("uint32_t", "tare_unicode_script", runs({c: script.get(c, 0) for c in range(TOP)}), "scripts, Unicode 16: first << 8 | number, 0 none")
    print("\nconst char *const tare_unicode_script_name[] = {\n    \"\"," + "".join(f'\n    "{n}",' for n in SCRIPTS) + "\n};")
    print("const size_t tare_unicode_script_name_count = sizeof tare_unicode_script_name / sizeof tare_unicode_script_name[0];")
    array("uint32_t", "tare_unicode_pre_script", runs(pre_scripts()), "classes of the pre-tokenizer UnicodeScripts: first << 8 | number, 0 any")
    for name in POSIX:
        pairs("posix_" + name, ranges(matched("[[:%s:]]" % name)), f"[[:{name}:]] of the reference's regular expressions")
    pairs("word", ranges(matched("\\w")), "\\w outside a class, which takes six more than in one")
    assert matched("\\s") == points(classes["\\s"]) and matched("\\w") == points(classes["\\w"])
    pairs("rust_word", ranges(rust_word()), "what is a word to single_word and Whitespace")
    pairs("numeric", classes["pre_tokenizer:Digits"], "Digits")
    pairs("punctuation", classes["pre_tokenizer:Punctuation"], "Punctuation and BertPreTokenizer")
    pairs("white", classes["pre_tokenizer:WhitespaceSplit"], "WhitespaceSplit, Strip, lstrip and rstrip")
    pairs("accents", u["strip_accents_dropped"], "what StripAccents drops")
    pairs("nmt_dropped", u["nmt"]["dropped"], "what Nmt drops")
    pairs("nmt_space", u["nmt"]["space"], "what Nmt turns into a space")
    pairs("bert_dropped", u["bert_clean"]["dropped"], "what clean_text drops")
    pairs("bert_space", u["bert_clean"]["space"], "what clean_text turns into a space")
    pairs("bert_chinese", u["bert_chinese"], "what handle_chinese_chars sets apart")
    newer = u["normalize_newer"]
    assert set(newer["NFC"]) <= set(newer["NFKC"]) and set(newer["NFD"]) <= set(newer["NFKD"]) and set(newer["NFKC"]) <= set(newer["NFKD"])
    for text, form in ((v, k) for k in newer for v in newer[k].items()):
        assert text[1] == [int(text[0], 16)], (form, text)
    pairs("no_decomposition", ranges({int(c, 16) for c in newer["NFKD"]}), "code points that the reference's Unicode 9 does not decompose")
    pairs("no_class", u["combining_class_unknown"], "marks that count as class 0 in the reference")
    second = {d[2][-1] for d in u["nfc_of_decomposed_differs"] if d[1] == d[2]}
    pairs("no_compose", ranges(second), "second halves of pairs that the reference does not compose")
    bert = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    pairs("bert_accents", ranges({ord(c) for c in CHARS if bert.normalize_str(c) == ""}), "what BertNormalizer's strip_accents drops")
    grapheme = graphemes()
    array("uint32_t", "tare_unicode_grapheme", runs({c: grapheme.get(c, 0) for c in range(TOP)}), "what a code point is to grapheme clusters: first << 8 | number, see grapheme.c")
    array("uint32_t", "tare_unicode_fold", [x for p in folds(u["lowercase_special"]) for x in p], "simple case folding: code point and target")
    lower = []
    for c in CHARS:
        low = normalizers.Lowercase().normalize_str(c)
        if low != c and ord(c) != 0x130:
            assert len(low) == 1
            lower += [ord(c), ord(low)]
    array("uint32_t", "tare_unicode_lower", lower, "Lowercase: code point and result; U+0130 becomes two and is not here")


if __name__ == "__main__":
    main()
