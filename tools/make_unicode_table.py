"""Writes llamabox/tokenizer/unicode_table.py: the general category of every code point, as ranges.

The table is pinned to Unicode 15.1, the version in llama.cpp's tokenizers, because Python's own `unicodedata` changes
with the interpreter and the newest letters would then be split differently. Run it with Python 3.13 (15.1.0) or with
`pip install unicodedata2==15.1.0`:

    python tools/make_unicode_table.py > llamabox/tokenizer/unicode_table.py
"""

import textwrap

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

VERSION = "15.1.0"
HEADER = '''"""Unicode {version}: code point ranges of each major category, written by tools/make_unicode_table.py.

L letter, M mark, N number, P punctuation, S symbol, Z separator, C control, format, private use and surrogate.
Code points in no range are unassigned. Bounds are hexadecimal and inclusive.
"""

RANGES = {{'''


def ranges(category: str):
    """Runs of code points whose general category starts with `category` (unassigned ones, Cn, in none)."""
    start = None
    for point in range(0x110001):
        name = "Cn" if point == 0x110000 else unicodedata.category(chr(point))
        inside = name[0] == category and name != "Cn"
        if inside and start is None:
            start = point
        elif not inside and start is not None:
            yield f"{start:X}" if point - 1 == start else f"{start:X}-{point - 1:X}"
            start = None


def main():
    if unicodedata.unidata_version != VERSION:
        raise SystemExit(f"need Unicode {VERSION}, this unicodedata has {unicodedata.unidata_version}")
    print(HEADER.format(version=VERSION))
    for category in "LMNPSZC":
        print(f'    "{category}": """')
        print(textwrap.fill(" ".join(ranges(category)), 119, break_on_hyphens=False))
        print('""",')
    print("}")


if __name__ == "__main__":
    main()
