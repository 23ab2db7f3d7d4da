"""Downloads from a server on this computer: whole, resumed, cut, refused."""

import hashlib
import socket

import pytest
from file_server import Served, serving

from aucli.errors import WeightsError
from aucli.weights import download as module
from aucli.weights.download import download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


def failure(*args, **options) -> str:
    with pytest.raises(WeightsError) as caught:
        download(*args, **options)
    return str(caught.value)


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_whole_file(server, tmp_path) -> None:
    server.files["a"] = Served(CONTENT)
    seen = []
    got = download((server.url("a"),), tmp_path / "x", on_progress=lambda *at: seen.append(at))
    assert got.path.read_bytes() == CONTENT
    assert (got.sha256, got.url) == (SHA256, server.url("a"))
    assert [total for _, total in seen] == [len(CONTENT)] * len(seen)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1][0] == len(CONTENT)
    got.delete()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("length", [True, False])
def test_known_and_unknown_length(server, tmp_path, length) -> None:
    server.files["a"] = Served(CONTENT[:1000], length=length)
    seen = []
    got = download((server.url("a"),), tmp_path, on_progress=lambda *at: seen.append(at))
    assert got.path.read_bytes() == CONTENT[:1000]
    assert seen[-1] == (1000, 1000 if length else None)


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_cut_and_resumed(server, tmp_path, sha256) -> None:
    server.files["a"] = Served(CONTENT, cut_at=700_000)
    urls = (server.url("a"),)
    said = failure(urls, tmp_path, sha256=sha256)
    assert said == f"{server.host} broke off after 700000 of 1048576 bytes"
    seen = []
    got = download(urls, tmp_path, sha256=sha256, on_progress=lambda *at: seen.append(at))
    assert (got.path.read_bytes(), got.sha256) == (CONTENT, SHA256)
    assert server.asked == [("a", None), ("a", "bytes=700000-")]
    assert seen[0][0] > 700_000 and seen[-1] == (len(CONTENT), len(CONTENT))


def test_cut_twice(server, tmp_path) -> None:
    server.files["a"] = Served(CONTENT, cut_at=1000)
    failure((server.url("a"),), tmp_path)
    server.files["a"].cut_at = 5000
    failure((server.url("a"),), tmp_path)
    assert download((server.url("a"),), tmp_path).sha256 == SHA256
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-", "bytes=5000-"]


def test_server_without_ranges(server, tmp_path) -> None:
    server.files["a"] = Served(CONTENT, cut_at=700_000, ranges=False)
    failure((server.url("a"),), tmp_path)
    assert download((server.url("a"),), tmp_path).path.read_bytes() == CONTENT


def test_file_changed_between_the_halves(server, tmp_path) -> None:
    server.files["a"] = Served(CONTENT, cut_at=700_000)
    failure((server.url("a"),), tmp_path)
    server.files["a"] = Served(CONTENT[::-1], etag='"2"')
    assert download((server.url("a"),), tmp_path).path.read_bytes() == CONTENT[::-1]


def test_part_longer_than_the_new_file(server, tmp_path) -> None:
    server.files["a"] = Served(CONTENT, cut_at=700_000)
    failure((server.url("a"),), tmp_path)
    server.files["a"] = Served(CONTENT[:1000])
    assert download((server.url("a"),), tmp_path).path.read_bytes() == CONTENT[:1000]
    assert [asked for _, asked in server.asked] == [None, "bytes=700000-", None]


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_halves_that_nothing_ties_together_are_not_joined(server, tmp_path, etag) -> None:
    server.files["a"] = Served(CONTENT, cut_at=700_000, etag=etag)
    failure((server.url("a"),), tmp_path)
    assert download((server.url("a"),), tmp_path).sha256 == SHA256
    assert [asked for _, asked in server.asked] == [None, None]


def test_mirrors_in_turn(server, tmp_path) -> None:
    server.files |= {
        "page": Served(b"<html>", content_type="text/html; charset=utf-8"),
        "cut": Served(CONTENT, cut_at=500),
        "other": Served(CONTENT[::-1]),
        "right": Served(CONTENT),
        "never": Served(CONTENT),
    }
    names = ("missing", "page", "cut", "other", "right", "never")
    got = download(tuple(server.url(n) for n in names), tmp_path, sha256=SHA256)
    assert got.url == server.url("right")
    assert [name for name, _ in server.asked] == [*names[:-1]]
    assert files(tmp_path) == [got.path.name]


def test_every_mirror_gives_its_reason(server, tmp_path) -> None:
    server.files |= {
        "page": Served(b"<html>", content_type="text/html"),
        "other": Served(b"another"),
        "down": Served(b"", status=503),
    }
    said = failure(
        tuple(server.url(n) for n in ("missing", "page", "other", "down")), tmp_path, sha256=SHA256
    )
    found = hashlib.sha256(b"another").hexdigest()[:12]
    assert said == (
        f"{server.host} answers 404 Not Found; "
        f"{server.host} sends a web page instead of the file; "
        f"{server.host} sends another file (sha256 {found}..., expected {SHA256[:12]}...), "
        "which was deleted; "
        f"{server.host} answers 503 Service Unavailable"
    )
    assert files(tmp_path) == []


def test_slow_server(server, tmp_path) -> None:
    server.files["a"] = Served(CONTENT, stall_seconds=0.5)
    said = failure((server.url("a"),), tmp_path, timeout=0.1)
    assert said == f"{server.host} gives no answer within 0.1 s"


def test_no_server(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    assert failure((f"http://{host}/a",), tmp_path) == (
        f"{host} cannot be reached (Connection refused)"
    )


@pytest.mark.parametrize(("length", "amount"), [(True, "1048576 bytes,"), (False, "a body of")])
def test_too_large(server, tmp_path, monkeypatch, length, amount) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1000)
    server.files["a"] = Served(CONTENT, length=length)
    said = failure((server.url("a"),), tmp_path)
    assert said == f"{server.host} sends {amount} more than any weights that aucli knows"
    assert files(tmp_path) == []


def test_folder_that_cannot_be_made(server, tmp_path) -> None:
    server.files["a"] = Served(CONTENT)
    (tmp_path / "file").touch()
    said = failure((server.url("a"),), tmp_path / "file" / "x")
    part = hashlib.sha256(server.url("a").encode()).hexdigest()[:12]
    assert said == (
        f"cannot write {tmp_path}/file/x/{part}.part (Not a directory); make room there or name "
        "another folder by AUCLI_WEIGHTS"
    )
