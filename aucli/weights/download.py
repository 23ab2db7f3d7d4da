"""One file over HTTP: mirrors in turn, resumed where it stopped, hashed while it is read."""

import hashlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aucli
from aucli.errors import WeightsError
from aucli.weights.store import MAX_FILE_BYTES

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0  # without a byte

OnBytes = Callable[[int, int | None], None]
"""Called with the bytes that are here and the whole file's, None where the server does not say."""


@dataclass(frozen=True, slots=True)
class Download:
    """A whole file: where it lies, its sha256 and the mirror it came from."""

    path: Path
    sha256: str
    url: str

    def delete(self) -> None:
        """Remove the file, and its folder if nothing else is under way."""
        self.path.unlink()
        with suppress(OSError):
            self.path.parent.rmdir()


class _Failed(Exception):
    """Why one mirror gave no file; ends the sentence that starts with the mirror's name."""


def download(
    urls: tuple[str, ...],
    folder: Path,
    *,
    sha256: str | None = None,
    on_progress: OnBytes | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Download:
    """Fetch a file from the first mirror that gives it.

    folder: for the files under way; what was interrupted stays there and is continued by the next
    call. sha256: of the whole file, where it is known; another file is deleted. timeout: seconds
    without a byte. Raises WeightsError with each mirror's reason where none gives the file, and
    where the folder cannot be written.
    """
    reasons = []
    for url in urls:
        part = _Part(folder, url)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            got = _fetch(part, sha256, on_progress, timeout)
        except _Failed as failure:
            reasons.append(f"{urlsplit(url).netloc} {failure}")
        except OSError as error:
            raise WeightsError(
                f"cannot write {part.path} ({error.strerror or error}); make room there or name "
                "another folder by AUCLI_WEIGHTS"
            ) from error
        else:
            for other in urls:
                _Part(folder, other).delete(but=got.path)
            return got
    raise WeightsError("; ".join(reasons))


class _Cut(Exception):
    """The connection was lost in the middle of the body."""


class _Part:
    """The file under way from one URL, and what its server said to recognise the version by."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}.part"
        self._note = self.path.with_suffix(".json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str | None:
        """ETag or date of the version that the part belongs to."""
        try:
            return json.loads(self._note.read_text())
        except (OSError, ValueError):
            return None

    @validator.setter
    def validator(self, value: str | None) -> None:
        self._note.write_text(json.dumps(value))

    def delete(self, but: Path | None = None) -> None:
        if self.path != but:
            self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _fetch(part: _Part, sha256: str | None, report: OnBytes | None, timeout: float) -> Download:
    # Without a checksum or a validator nothing would tell that two halves belong together.
    if not (sha256 or part.validator):
        part.delete()
    with _open(part, timeout) as response:
        start = part.size if response.status == 206 else 0
        total = _total(response, start)
        if response.headers.get_content_type() == "text/html":
            raise _Failed("sends a web page instead of the file")
        if total is not None and total > MAX_FILE_BYTES:
            raise _Failed(f"sends {total} bytes, more than any weights that aucli knows")
        if start == 0:
            # A weak ETag may stand for other bytes of the same page.
            etag = response.headers.get("ETag", "")
            part.validator = etag if etag[:1] == '"' else response.headers.get("Last-Modified")
        digest, done = hashlib.sha256(), start
        with part.path.open("r+b" if start else "wb") as out:
            while start and (chunk := out.read(CHUNK_BYTES)):
                digest.update(chunk)
            try:
                for chunk in _chunks(response):
                    out.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    if report:
                        report(done, total)
                    if done > MAX_FILE_BYTES:
                        break
                cut = total is not None and done < total
            except _Cut:
                cut = True
    if done > MAX_FILE_BYTES:
        part.delete()
        raise _Failed("sends a body of more than any weights that aucli knows")
    if cut:
        of = f" of {total}" if total else ""
        raise _Failed(f"broke off after {done}{of} bytes")
    found = digest.hexdigest()
    if sha256 and found != sha256:
        part.delete()
        raise _Failed(
            f"sends another file (sha256 {found[:12]}..., expected {sha256[:12]}...), "
            "which was deleted"
        )
    return Download(part.path, found, part.url)


def _open(part: _Part, timeout: float) -> http.client.HTTPResponse:
    """The answer: 200 from the start, or 206 from where the part ends."""
    headers = {"User-Agent": f"aucli/{aucli.__version__}", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator:
            headers["If-Range"] = part.validator
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(part.url, headers=headers), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not part.size:
            raise _Failed(f"answers {error.code} {error.reason}".rstrip()) from error
        response = None  # our part is longer than its file
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)  # urllib wraps what happens while it connects
        if isinstance(reason, TimeoutError):
            raise _Failed(f"gives no answer within {timeout:g} s") from error
        text = getattr(reason, "strerror", None) or str(reason)
        raise _Failed(f"cannot be reached ({text})") from error
    if response is not None:
        if response.status == 200 or (part.size and _range_start(response) == part.size):
            return response
        response.close()
        if not part.size:
            raise _Failed(f"answers {response.status} {response.reason} instead of a file")
    part.delete()
    return _open(part, timeout)


def _range_start(response: http.client.HTTPResponse) -> int | None:
    """First byte of ``Content-Range: bytes 500-999/1000``."""
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None


def _total(response: http.client.HTTPResponse, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it comes. Raises _Cut where the connection is lost."""
    try:
        while chunk := response.read(CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _Cut from error
