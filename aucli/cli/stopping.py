"""How a user or a batch system stops the command: Ctrl-C, SIGTERM, or a terminal that closes."""

import signal
from types import FrameType

# Windows has no SIGHUP.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
STOPS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))

_asked = False


def listen() -> None:
    """Let the first signal raise KeyboardInterrupt, and the second end the process at once.

    A signal that whoever started us has switched off (``nohup``, ``&``) stays off.
    """
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def check() -> None:
    """Raise KeyboardInterrupt where one was asked for and got lost: Python drops an exception that
    comes in the middle of a destructor or of a callback from C."""
    if _asked:
        raise KeyboardInterrupt


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    for each in STOPS:
        if signal.getsignal(each) is _stop:
            signal.signal(each, signal.SIG_DFL)
    raise KeyboardInterrupt
