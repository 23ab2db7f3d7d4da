"""When a video was recorded, as its file says."""

from datetime import datetime
from pathlib import Path

from aucli.errors import InputError, first_line
from aucli.files import shown

# Apple's has the time zone of the place; the other is UTC.
_KEYS = ("com.apple.quicktime.creationdate", "creation_time")


def creation_time(path: Path) -> datetime | None:
    """The time that the file gives for its beginning, with its time zone; None where it gives none.

    It is what the camera's clock said; some cameras write when the recording ended. Raises
    InputError where the file cannot be opened.
    """
    import av
    import av.error

    try:
        with av.open(str(path)) as container:
            told = [container.metadata, *(stream.metadata for stream in container.streams.video)]
    except (OSError, av.error.FFmpegError, ValueError) as error:
        raise InputError(
            f"{shown(path)} cannot be opened ({first_line(error)}); check the file."
        ) from error
    for key in _KEYS:
        for metadata in told:
            try:
                found = datetime.fromisoformat(metadata.get(key, ""))
            except ValueError:
                continue
            if found.year > 1970:  # a clock that was never set writes 1904 or 1970
                return found if found.tzinfo else found.astimezone()
    return None
