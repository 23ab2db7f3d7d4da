"""Numbers of things in sentences."""


def counted(number: float, what: str) -> str:
    """``1 frame``, ``25 frames``. what: one of them, in words that take an s."""
    text = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{text} {what}" + "s" * (number != 1)


def were(number: float, what: str) -> str:
    """``1 frame was``, ``25 frames were``."""
    return f"{counted(number, what)} {'was' if number == 1 else 'were'}"
