"""How many faces a user wants, in words; free of torch, so that options can be read at once."""

from aucli.errors import OptionError


def parse_faces(text: str) -> int | None:
    """'largest' -> 1, 'all' -> None, '3' -> 3. Raises OptionError on anything else."""
    if text == "largest":
        return 1
    if text == "all":
        return None
    if isinstance(text, str) and text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise OptionError(f"faces: '{text}' is not 'largest', 'all' or a number of 1 or more.")
