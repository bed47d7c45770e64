"""MySQL's character sets as Python codecs, and collation numbers as names."""

from __future__ import annotations

import codecs

from mysql_mimic.charset import Collation

#: Character set → codec. MySQL's latin1 is cp1252. Sets without an equal in Python are left out.
_CODECS = {
    "ascii": "utf-8",
    "big5": "big5",
    "binary": "utf-8",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1256": "cp1256",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "cp932": "cp932",
    "eucjpms": "euc_jp",
    "euckr": "euc_kr",
    "gb18030": "gb18030",
    "gb2312": "gb2312",
    "gbk": "gbk",
    "greek": "iso8859_7",
    "hebrew": "iso8859_8",
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
    "latin1": "cp1252",
    "latin2": "iso8859_2",
    "latin5": "iso8859_9",
    "latin7": "iso8859_13",
    "macroman": "mac_roman",
    "sjis": "shift_jis",
    "tis620": "tis_620",
    "ujis": "euc_jp",
    "utf8": "utf-8",
    "utf8mb3": "utf-8",
    "utf8mb4": "utf-8",
}

#: Ranges of collation numbers that the enumeration of mysql-mimic lacks: first, one after the last, character set.
_RANGES = ((256, 324, "utf8mb4"), (2048, 2304, "utf8mb3"), (2304, 2560, "utf8mb4"))


def codec(charset: str | None) -> str | None:
    """The Python codec of a MySQL character set; UTF-8 for None (today's default); None where there is none."""
    return "utf-8" if charset is None else _CODECS.get(charset.lower())


def decode(data: bytes, charset: str | None) -> tuple[str, str]:
    """Text and the codec it was decoded with; bytes that are no characters come as surrogate escapes."""
    name = codec(charset) or "utf-8"
    if name == "cp1252":
        # MySQL maps the five bytes that cp1252 leaves out to the control characters of the same number.
        return data.decode(name, "djproxy.latin1"), name
    return data.decode(name, "surrogateescape"), name


def _control_character(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(map(chr, error.object[error.start : error.end])), error.end


codecs.register_error("djproxy.latin1", _control_character)


def charset_of(collation: int) -> tuple[str | None, str | None]:
    """Character set and collation by a collation's number, each None where unknown."""
    try:
        known = Collation(collation)
    except ValueError:
        for first, end, charset in _RANGES:
            if first <= collation < end:
                return charset, None
        return None, None
    return known.charset.name, known.name


def charset_of_name(collation: str) -> str:
    """The character set of a collation by its name, which begins with it."""
    return collation.lower().partition("_")[0]
