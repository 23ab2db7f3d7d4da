"""Text tables as spreadsheets and other tools write them, as plain text and its separator."""

import codecs
import re
from pathlib import Path

SEPARATORS = ",;\t"
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_TOLD = re.compile(r"sep=(.)\r?\n")  # the first line of some files that Excel writes


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, UTF-16, or the encoding of Windows in the West.

    Raises OSError, and ValueError where it is none of these.
    """
    blob = path.read_bytes()
    for mark, encoding in _MARKS.items():
        if blob.startswith(mark):
            return blob[len(mark) :].decode(encoding)
    if b"\0" in blob[:2]:  # UTF-16 without its mark; a name of a column begins with a plain letter
        return blob.decode("utf-16-be" if blob[:1] == b"\0" else "utf-16-le")
    try:
        return blob.decode("utf-8")
    except UnicodeDecodeError:
        return blob.decode("cp1252")


def split_header(text: str) -> tuple[str, str]:
    """The separator of a text table, and the table, which begins with the names of its columns."""
    if told := _TOLD.match(text):
        return told[1], text[told.end() :]
    header = re.sub(r'"[^"]*"', "", text[: text.find("\n") + 1] or text)
    return max(SEPARATORS, key=header.count), text
