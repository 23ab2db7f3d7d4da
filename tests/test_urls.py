"""Inputs and outputs by URL: in memory, and on a server that speaks S3, on this computer."""

import errno
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset
import pyarrow.fs
import pytest
from bright_faces import NONE, ONE, TWO, hear_signals, tiny_analyzer, tiny_networks, write_clip
from PIL import Image
from test_jobs import ENVIRONMENT, wait_for
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.cli import app
from aucli.errors import InputError, LibraryError, OptionError, PassingError
from aucli.pipeline import urls, workers
from aucli.pipeline.inputs import find_inputs
from aucli.pipeline.journal import JOURNAL, Journal
from aucli.pipeline.original import checksum, stamp
from aucli.pipeline.urls import Url, absolute, place, refuse_urls
from aucli.table.dataset import PART
from aucli.table.reading import read_table
from aucli.table.writer import read_provenance
from aucli.worker import portable

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder and a folder of temporary files; nothing may be left in the latter."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    monkeypatch.setattr(urls, "_file_systems", {})
    yield tmp_path
    gc.collect()  # a plan that was refused goes with its error
    assert [*temporary.iterdir()] == []


@pytest.fixture
def memory() -> Iterator[str]:
    """A place in memory that holds a study."""
    system = fsspec.filesystem("memory")
    folder = Path("made")
    folder.mkdir()
    write_clip(folder / "a.mp4", [ONE] * 4)
    write_clip(folder / "b.mp4", [TWO, NONE])
    for name in ("one.png", "two.png"):
        Image.new("RGB", (96, 64), (ONE, ONE, ONE)).save(folder / name)
    put = {
        "a.mp4": "a.mp4", "deep/a.mp4": "b.mp4", "stills/one.png": "one.png",
        "stills/two.png": "two.png", "stills/notes.txt": "one.png", ".hidden/a.mp4": "a.mp4",
        "cut.overlay.mp4": "a.mp4",
    }  # fmt: skip
    for name, source in put.items():
        system.pipe_file(f"/study/{name}", (folder / source).read_bytes())
    system.pipe_file("/study/script.ts", b"let x = 1;")
    yield "memory://study"
    system.rm("/", recursive=True)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server of this computer."""
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, here: Path) -> Iterator["Bucket"]:
    for name, value in credentials(server).items():
        monkeypatch.setenv(name, value)
    made = Bucket()
    made.system.mkdir("bucket")
    yield made
    made.system.rm("bucket", recursive=True)


def credentials(server: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Bucket:
    """``s3://bucket``, by another client than ours."""

    def __init__(self) -> None:
        self.system = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)

    def put(self, name: str, source: Path) -> None:
        self.system.put_file(str(source), f"bucket/{name}")

    def names(self, prefix: str = "") -> list[str]:
        start = f"bucket/{prefix}"
        return sorted(name.removeprefix(start) for name in self.system.find(start))

    def bytes_of(self, name: str) -> bytes:
        return self.system.cat_file(f"bucket/{name}")


def analyze(*arguments: object, stdin: str = "") -> Result:
    command = ["analyze", "--threads", "1", *map(str, arguments)]
    return CliRunner().invoke(app, command, input=stdin)


def words(result: Result) -> str:
    """What was said, without the lines of a box."""
    return " ".join(result.stderr.replace("│", " ").split())


# What a name stands for.


def test_urls_and_files_are_told_apart(here):
    assert place("s3://bucket/a b.mp4") == Url("s3://bucket/a b.mp4")
    assert place("S3://bucket/x") == Url("s3://bucket/x")
    for name in ("http:x.mp4", "2024-01-01T10:30:00.mp4", "c:\\x.mp4", "s3:/x.mp4", "a/s3://x"):
        assert place(name) == Path(name)
    Path("http:").mkdir()
    Path("http:/x.mp4").touch()
    assert place("http://x.mp4") == Path("http:/x.mp4")
    assert place("file:///a%20b/c.mp4") == Path("/a b/c.mp4")
    assert place(f"file://localhost{here}") == here
    assert absolute("s3://b/x") == "s3://b/x" and absolute("x") == str(here / "x")
    for name, sentence in {
        "http://a/b.mp4": "http://a/b.mp4 cannot be read by aucli, which knows s3://, gs://, "
        "memory:// and file://; download it and name the file.",
        "s3://": "s3:// names no place; write s3://BUCKET/NAME.",
        "file://other/a.mp4": "file://other/a.mp4 is no file of this computer; write "
        "file:///FOLDER/NAME.",
    }.items():
        with pytest.raises(OptionError) as caught:
            place(name)
        assert str(caught.value) == sentence


def test_a_url_leads_nowhere_else():
    assert Url("s3://bucket/../..").parts == ("bucket", "__", "__")
    assert Url("s3://bucket//x/").name == "x"


def test_a_prefix_is_searched_as_a_folder_is(memory, here):
    found = find_inputs([f"{memory}/"])
    assert [(str(item.path), item.label) for item in found.inputs] == [
        ("memory://study/a.mp4", "a.mp4"),
        ("memory://study/deep/a.mp4", "deep/a.mp4"),
        ("memory://study/stills/", "stills"),
    ]
    assert found.problems == {}
    assert found.passed_over == {".mp4": 1, ".txt": 1, ".ts": 1}
    assert find_inputs([memory]).inputs == found.inputs  # without the / at its end, too
    assert [item.label for item in find_inputs([f"{memory}/*/a.mp4"]).inputs] == ["a.mp4"]
    both = find_inputs([f"{memory}/a.mp4", f"{memory}/deep/a.mp4", f"{memory}/a.mp4"])  # once
    assert [item.label for item in both.inputs] == ["deep/a.mp4", "study/a.mp4"]
    assert (
        find_inputs(["-"], [f"{memory}/a.mp4\n"]).inputs
        == find_inputs([str(both.inputs[1].path)]).inputs
    )
    for name, sentence in {
        "memory://nothing/": "memory://nothing/ holds no video and no picture; check the name.",
        "memory://study/*.avi": "memory://study/*.avi matches no object; check the pattern.",
        "http://a/b.mp4": "http://a/b.mp4 cannot be read by aucli, which knows s3://, gs://, "
        "memory:// and file://; download it and name the file.",
    }.items():
        assert find_inputs([name]).problems == {name: sentence}


# Inputs.


def test_rows_of_a_url_are_those_of_its_file(memory, here):
    whole = tiny_analyzer()
    with whole.open(f"{memory}/a.mp4") as analysis:
        rows = [*analysis]
        told = analysis.provenance()["input"]
    with whole.open("made/a.mp4") as analysis:
        assert rows == [*analysis]
    assert (told["name"], told["sha256"]) == ("a.mp4", checksum(Path("made/a.mp4")))
    assert whole.frame("file://" + str(here / "made/a.mp4")).equals(whole.frame("made/a.mp4"))
    stills = whole.frame(f"{memory}/stills/")
    assert (
        len(stills) == 2
        and checksum(Url(f"{memory}/stills/")) == (stills.attrs["provenance"]["input"]["sha256"])
    )
    before = stamp(Url(f"{memory}/a.mp4"))
    assert before is not None and before.size == Path("made/a.mp4").stat().st_size


def test_tables_of_urls_are_resumed(memory, here):
    whole = tiny_analyzer(places=True)
    first = whole.tables([memory], "out")
    assert [outcome.state for outcome in first] == ["done"] * 3
    entries = {entry.label: entry for entry in Journal(Path("out")).entries()}
    assert entries["deep/a.mp4"].input == "memory://study/deep/a.mp4"
    again = whole.tables([memory], "out", resume=True)
    assert all(outcome.earlier for outcome in again)
    Path("out/_aucli-run.jsonl").unlink()  # now by the checksum
    assert all(outcome.earlier for outcome in whole.tables([memory], "out", resume=True))
    system = fsspec.filesystem("memory")
    system.pipe_file("/study/a.mp4", Path("made/b.mp4").read_bytes())
    third = whole.tables([memory], "out", resume=True)
    assert [outcome.earlier is None for outcome in third] == [True, False, False]
    assert len(read_table(Path("out/a.parquet"))) == 3


def test_what_is_wrong_with_an_object_is_told_by_its_url(memory, here):
    fsspec.filesystem("memory").pipe_file("/study/words.mp4", b"no video")
    for name, sentence in {
        "memory://study/gone.mp4": "memory://study/gone.mp4 does not exist; check the name.",
        "memory://study/words.mp4": "memory://study/words.mp4 cannot be opened as a video (Invalid "
        "data found when processing input); give a complete video, image or folder of images.",
        "memory://study/deep/": "memory://study/deep/ is a folder without images (.jpg, .png, .tif "
        "and others); give a video file or a folder of images.",
    }.items():
        with pytest.raises(InputError) as caught:
            tiny_analyzer().open(name)
        assert str(caught.value) == sentence
        if not name.endswith("/"):
            result = analyze(name, "-o", "out.csv")
            assert (result.exit_code, words(result)) == (1, f"aucli: {sentence}")


def test_an_object_that_changes_while_it_is_fetched_is_refused(memory, here, monkeypatch):
    system = urls._system(Url(memory))
    fetch = system.get_file

    def changing(name: str, *arguments: object, **more: object) -> None:
        fetch(name, *arguments, **more)
        system.pipe_file("/study/a.mp4", b"other")

    monkeypatch.setattr(system, "get_file", changing)
    with pytest.raises(InputError, match=r"^memory://study/a.mp4 changed while it was read; "):
        tiny_analyzer().open(f"{memory}/a.mp4")


def test_maps_and_overlays_of_urls(memory, here):
    result = analyze(f"{memory}/a.mp4", "-o", "out/", "--heatmaps", "maps", "--overlay")
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in Path("maps").iterdir()]
    assert Path("out/a.overlay.mp4").exists()


@pytest.mark.parametrize("library", ["fsspec", "s3fs", "gcsfs"])
def test_a_missing_library_is_named(library, monkeypatch, here):
    monkeypatch.setitem(sys.modules, library, None)
    scheme = "gs" if library == "gcsfs" else "s3"
    more = " gcsfs" if library == "gcsfs" else ""
    result = analyze(f"{scheme}://bucket/a.mp4")
    assert (result.exit_code, words(result)) == (
        1,
        f"aucli: {library} is missing, so {scheme}://bucket/a.mp4 cannot be reached; run `pip "
        f"install 'aucli[remote]'{more}`.",
    )
    with pytest.raises(LibraryError):
        tiny_analyzer().open(f"{scheme}://bucket/a.mp4")


def test_options_that_take_no_url_say_so(memory, here):
    for option, value in {"--heatmaps": "s3://b/maps", "--log": "gs://b/log"}.items():
        result = analyze(f"{memory}/a.mp4", option, value)
        assert result.exit_code == 2
        assert (
            f"Invalid value for '{option}': {value} is a URL, which it does not take; name a file "
            "or folder of this computer." in words(result)
        )
    for option, value in {
        "--model": "memory://x",
        "--detector": "s3://b/x", "--landmarks": "s3://b/x", "--calibrate": "neutral=s3://b/x.mp4",
    }.items():  # fmt: skip
        result = analyze(f"{memory}/a.mp4", option, value)
        assert result.exit_code == 2
        assert (
            f"{option[2:]}: {value.removeprefix('neutral=')} is a URL, which it does not take; "
            "name a file or folder of this computer." in words(result)
        )
    refuse_urls({"log": Path("s3:x"), "model": None})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("report s3://b/tables/", "TABLE': s3://b/tables is a URL, which it does not take;"),
        ("summarize a.csv gs://b/b.csv", "TABLE': gs://b/b.csv is a URL,"),
        ("events https://x.org/a.csv", "TABLE': https://x.org/a.csv is a URL,"),
        ("convert a.csv -o s3://b/o.csv", "'-o' / '--out': s3://b/o.csv is a URL,"),
        ("plot file:///tmp/a.csv", "TABLE': file:///tmp/a.csv is a URL; write the path alone: "
                                   "/tmp/a.csv."),
        ("methods s3://b/a.csv", "TABLE': s3://b/a.csv is a URL,"),
        ("compare a.csv own=s3://b/a.csv", "TABLE: s3://b/a.csv is a URL,"),
        ("overlay s3://b/a.mp4 a.csv", "VIDEO': s3://b/a.mp4 is a URL,"),
        ("bench http://x.org/a.mp4", "VIDEO': http://x.org/a.mp4 is a URL,"),
        ("prepare --dataset disfa --root s3://b/d -o x", "'--root': s3://b/d is a URL,"),
        ("weights import fan-2d s3://b/a.pth", "FILE': s3://b/a.pth is a URL,"),
    ],
)  # fmt: skip
def test_commands_that_read_files_of_this_computer_refuse_urls(here, arguments, sentence):
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 2
    assert sentence in words(result)


def test_a_file_may_be_named_as_a_url_is(here):
    table = Path("s3:", "a.csv")
    table.parent.mkdir()
    table.write_text("no table\n")
    result = CliRunner().invoke(app, ["convert", str(table), "-o", "b.csv"])
    assert "URL" not in words(result) and "s3:/a.csv" in words(result)


def test_without_a_url_nothing_is_loaded_and_no_socket_is_opened(here):
    write_clip(here / "http:a.mp4", [ONE] * 2)
    code = (
        "import socket, sys\n"
        "class Refused(socket.socket):\n"
        "    def __init__(self, *_, **__): raise AssertionError('a socket')\n"
        "socket.socket = Refused\n"
        "from aucli import analyzer\n"
        "from bright_faces import tiny_networks\n"
        "analyzer.load_networks = lambda options: tiny_networks()\n"
        "from typer.testing import CliRunner\n"
        "from aucli.cli import app\n"
        "result = CliRunner().invoke(app, ['analyze', 'http:a.mp4', '-o', 'out/'])\n"
        "print(result.exit_code, sorted({'s3fs', 'aiobotocore', 'botocore'} & set(sys.modules)))\n"
        "print([name for name in sys.modules if name.startswith('fsspec.implementations')])\n"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert run.stdout.splitlines()[0] == "0 []", run.stderr
    assert Path("out/http:a.parquet").exists()


# A server.


def test_a_batch_of_a_bucket(bucket, here):
    write_clip(here / "a.mp4", [ONE] * 4)
    write_clip(here / "b.mp4", [TWO] * 3)
    write_clip(here / "c.mp4", [NONE])
    for name in ("a.mp4", "b b/ü#1.mp4"):
        bucket.put(f"study/{name}", here / ("a.mp4" if name == "a.mp4" else "b.mp4"))
    bucket.put("study/words.mp4", here / "b.mp4")
    bucket.system.pipe_file("bucket/study/words.mp4", b"no video")
    result = analyze(
        "s3://bucket/study/", "s3://bucket/gone.mp4", "c.mp4", "-o", "out", "--jobs", 2
    )
    assert result.exit_code == 1
    said = words(result)
    assert "s3://bucket/gone.mp4 does not exist; check the name." in said
    assert "s3://bucket/study/words.mp4 cannot be opened as a video" in said
    assert "3 of 5 inputs done." in said
    assert read_table(Path("out/b b/ü#1.parquet")).shape[0] == 6
    assert read_provenance(Path("out/a.parquet"))["input"]["sha256"] == checksum(here / "a.mp4")
    result = analyze("s3://bucket/study", "s3://bucket/gone.mp4", "c.mp4", "-o", "out", "--resume")
    assert "3 of them by an earlier run" in words(result)  # words.mp4 failed
    result = analyze("s3://bucket/study", "-o", "all.csv", "--dry-run")
    assert "b b/ü#1.mp4 -> all.csv: 3 frames" in result.stdout


def test_a_worker_that_is_given_up_leaves_no_copy(bucket, here):
    write_clip(here / "a.mp4", [ONE] * 4)
    bucket.put("stall.mp4", here / "a.mp4")
    bucket.put("a.mp4", here / "a.mp4")
    result = analyze("s3://bucket/", "-o", "out", "--stall-timeout", 3)
    assert result.exit_code == 1
    assert "s3://bucket/stall.mp4: nothing came of it for 3 s, so it was given up" in words(result)
    assert Path("out/a.parquet").exists()


def test_a_server_that_refuses_or_is_not_there(bucket, here, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(urls, "_file_systems", {})
    for inputs in (["s3://bucket/"], ["s3://bucket/a.mp4", "s3://bucket/b.mp4"]):
        result = analyze(*inputs, "-o", "out")
        assert result.exit_code == 1
        told = words(result)
        assert told.startswith(f"aucli: {inputs[0].rstrip('/')}")
        assert "the server does not answer (Could not connect to the endpoint URL" in told
        assert told.endswith("check its address and the network.") and "b.mp4" not in told
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setattr(urls, "_file_systems", {})
    result = analyze("s3://bucket/a.mp4", "-o", "out")
    assert (result.exit_code, words(result).removeprefix("aucli: ")) == (
        1,
        "s3://bucket/a.mp4: access is refused (Unable to locate credentials); check the "
        "credentials for s3://.",
    )


@pytest.mark.parametrize(
    "error",
    [
        PermissionError("token has expired"),
        OSError(errno.ENOSPC, "No space left on device"),
        ConnectionError("reset"),
    ],
)
def test_a_server_that_stops_in_the_middle_costs_no_retry(memory, here, monkeypatch, error):
    """It is no fault of the file, so --resume tries it again, also where a worker says so."""

    def fail(self, *words, **more):
        raise error

    kind = type(fsspec.filesystem("memory"))
    with monkeypatch.context() as patch:
        patch.setattr(kind, "get_file", fail)
        assert analyze("memory://study/a.mp4", "-o", "out/").exit_code == 1
        with pytest.raises(InputError) as raised:
            Url("memory://study/a.mp4").fetch(here / "copy")
    assert [entry.state for entry in Journal(Path("out")).entries()] == ["stopped"]
    assert type(portable(raised.value)) is PassingError
    result = analyze("memory://study/a.mp4", "-o", "out/", "--resume")
    assert result.exit_code == 0 and Path("out/a.parquet").exists()


# Outputs.


def test_tables_go_to_a_url_and_are_resumed_there(memory, here):
    whole = tiny_analyzer(places=True)
    assert all(outcome.ok for outcome in whole.tables([memory], "here", format="csv"))
    outcomes = whole.tables([memory], "memory://out/tables/", format="csv")
    assert [str(outcome.job.target) for outcome in outcomes] == [
        f"memory://out/tables/{name}.csv" for name in ("a", "deep/a", "stills")
    ]
    system = fsspec.filesystem("memory")

    def there() -> dict[str, bytes]:
        found = system.find("/out/tables")
        return {name.removeprefix("/out/tables/"): system.cat_file(name) for name in found}

    first = there()
    assert first.keys() == {path.relative_to("here").as_posix() for path in files(Path("here"))}
    for name in first.keys() - {JOURNAL}:
        assert first[name] == Path("here", name).read_bytes()
    assert [json.loads(line)["table"] for line in first[JOURNAL].splitlines()] == [
        "a.csv", "deep/a.csv", "stills.csv"
    ]  # fmt: skip
    refused = whole.tables([memory], "memory://out/tables", format="csv")
    assert str(refused[0].error) == (
        "memory://out/tables/a.csv exists already; --overwrite (overwrite=True) replaces it."
    )
    again = whole.tables([memory], "memory://out/tables", format="csv", resume=True)
    assert all(outcome.earlier and outcome.ok for outcome in again)
    assert {**first, JOURNAL: b""} == {**there(), JOURNAL: b""}
    system.rm("/out/tables/a.csv")
    system.rm(f"/out/tables/{JOURNAL}")
    third = whole.tables([memory], "memory://out/tables", format="csv", resume=True)
    assert [outcome.earlier is None for outcome in third] == [True, False, False]
    assert there()["a.csv"] == first["a.csv"]
    with pytest.raises(OptionError) as caught:
        whole.tables([memory], "memory://out/tables", resume=True, format="parquet")
        tiny_analyzer().tables([memory], "memory://out/tables", resume=True, format="csv")
    assert "3 tables were made with other settings (a.csv: places True, now False; " in str(
        caught.value
    )


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_one_table_by_a_url(memory, here):
    assert analyze(f"{memory}/a.mp4", "-o", "all.csv").exit_code == 0
    result = analyze(f"{memory}/a.mp4", "-o", "memory://out/all.csv")
    assert result.exit_code == 0 and "-> memory://out/all.csv" in words(result)
    system = fsspec.filesystem("memory")
    assert system.cat_file("/out/all.csv") == Path("all.csv").read_bytes()
    assert "aucli" in json.loads(system.cat_file("/out/all.csv.json"))
    result = analyze(f"{memory}/a.mp4", "-o", "memory://out/all.csv")
    assert (result.exit_code, words(result)) == (
        1,
        "aucli: memory://out/all.csv exists already; --resume skips it where it is done, "
        "--overwrite replaces it.",
    )
    again = analyze(f"{memory}/a.mp4", "-o", "memory://out/all.csv", "--overwrite", "--every", 2)
    assert again.exit_code == 0
    assert system.cat_file("/out/all.csv").count(b"\n") == 3
    tiny_analyzer().tables([memory], "memory://out/both.parquet")
    system.get_file("/out/both.parquet", "both.parquet")
    assert sorted(set(read_table(Path("both.parquet"))["video"])) == [
        "a.mp4",
        "deep/a.mp4",
        "stills",
    ]


def test_overlays_go_to_the_url(memory, here):
    arguments = (f"{memory}/a.mp4", "-o", "memory://out/", "--overlay")
    result = analyze(*arguments)
    assert result.exit_code == 0 and "overlay -> memory://out/a.overlay.mp4" in words(result)
    system = fsspec.filesystem("memory")
    drawn = system.info("/out/a.overlay.mp4")
    assert drawn["size"] > 1000
    assert analyze(*arguments, "--resume").exit_code == 0
    assert system.info("/out/a.overlay.mp4") == drawn
    system.rm("/out/a.overlay.mp4")
    assert analyze(*arguments, "--resume").exit_code == 0
    assert system.info("/out/a.overlay.mp4")["size"] == drawn["size"]
    system.pipe_file("/study/x.overlay.mp4", Path("made/a.mp4").read_bytes())
    result = analyze(f"{memory}/x.overlay.mp4", "-o", f"{memory}/", "--overlay", "--overwrite")
    assert result.exit_code == 0  # x.overlay.overlay.mp4
    system.pipe_file("/study/a.overlay.mp4", Path("made/b.mp4").read_bytes())
    inputs = (f"{memory}/a.mp4", f"{memory}/a.overlay.mp4")
    result = analyze(*inputs, "-o", f"{memory}/", "--overlay", "--overwrite")
    assert result.exit_code == 2
    told = "memory://study/a.overlay.mp4 is an input; name another place for the tables."
    assert told in words(result)


def test_a_file_url_is_a_folder_of_this_computer(memory, here):
    result = analyze(f"{memory}/a.mp4", "-o", f"file://{here}/a%20b/")
    assert result.exit_code == 0 and Path("a b/a.parquet").exists()
    result = analyze(f"{memory}/a.mp4", "-o", "http://a/b/")
    assert result.exit_code == 2 and "http://a/b/ cannot be read by aucli" in words(result)


def test_what_does_not_go_with_a_url(memory, here):
    result = analyze(f"{memory}/a.mp4", "-o", "memory://out/", "--report")
    assert result.exit_code == 2
    assert "--report: memory://out/ is a URL; name a folder with --out." in words(result)
    result = analyze(f"{memory}/a.mp4", "-o", "memory://out/a.xlsx")
    assert result.exit_code == 2
    assert "out: aucli writes no .xlsx; name a table that ends in" in words(result)


def test_a_dataset_goes_to_a_url_and_is_resumed_there(memory, here):
    engine = tiny_analyzer()
    first = engine.tables([memory], "memory://out/set", format="dataset")
    parts = [f"input={name}/{PART}" for name in ("a.mp4", "deep%2Fa.mp4", "stills")]
    assert [str(outcome.job.target) for outcome in first] == [
        f"memory://out/set/{part}" for part in parts
    ]
    system = fsspec.filesystem("memory")
    assert sorted(system.find("/out/set")) == [
        f"/out/set/{name}" for name in sorted([JOURNAL, *parts])
    ]
    table = pyarrow.dataset.dataset(
        "/out/set", partitioning="hive", filesystem=pyarrow.fs.PyFileSystem(
            pyarrow.fs.FSSpecHandler(system)), format="parquet"
    ).to_table()  # fmt: skip
    assert set(table["input"].to_pylist()) == {"a.mp4", "deep/a.mp4", "stills"}
    again = engine.tables([memory], "memory://out/set/", format="dataset", resume=True)
    assert all(outcome.earlier and outcome.ok for outcome in again)
    write_clip(here / "b.mp4", [ONE])
    with pytest.raises(OptionError) as caught:
        tiny_analyzer(sides=True).tables("b.mp4", "memory://out/set", format="dataset")
    assert str(caught.value).startswith(
        "out: the parts of memory://out/set have other columns (no AU06_L), and"
    )
    with pytest.raises(OptionError, match=r"out: memory://out/set is a dataset; say --format"):
        engine.tables("b.mp4", "memory://out/set")


@pytest.mark.parametrize("out", ["x.parquet", "x.csv", "more/", "more/x.csv", "input=a.mp4/"])
def test_a_table_in_a_dataset_at_a_url_is_refused(memory, here, out):
    engine = tiny_analyzer()
    engine.tables(f"{memory}/a.mp4", "memory://out/set", format="dataset")
    system = fsspec.filesystem("memory")
    before = system.find("/out")
    with pytest.raises(OptionError) as caught:
        engine.tables(f"{memory}/deep/a.mp4", f"memory://out/set/{out}")
    assert str(caught.value) == (
        "out: memory://out/set is a dataset; say --format dataset (format='dataset'), or name "
        "another folder."
    )
    with pytest.raises(OptionError) as caught:
        engine.tables(f"{memory}/deep/a.mp4", "memory://out/set/more", format="dataset")
    assert str(caught.value) == (
        "out: memory://out/set/more lies in memory://out/set, which is a dataset; name another "
        "folder."
    )
    assert system.find("/out") == before
    assert engine.tables(f"{memory}/a.mp4", "memory://out/other.csv")[0].ok
    assert sorted(system.find("/out")) == sorted([*before, "/out/other.csv", "/out/other.csv.json"])


def test_a_bucket_that_may_not_be_listed_takes_a_table(memory, here, monkeypatch):
    real = Url.below

    def below(self: Url, first: str = "") -> dict:
        if first:
            raise PassingError("access is refused")
        return real(self)

    monkeypatch.setattr(Url, "below", below)
    assert tiny_analyzer().tables(f"{memory}/a.mp4", "memory://out/x.csv")[0].ok


def test_a_dataset_in_a_bucket(bucket, here):
    write_clip(here / "a b%c.mp4", [ONE] * 4)
    bucket.put("study/x y/a b%c.mp4", here / "a b%c.mp4")
    arguments = ["s3://bucket/study/", "-o", here.as_uri() + "/set/", "--format", "dataset"]
    assert analyze(*arguments).exit_code == 0
    arguments[2] = "s3://bucket/set/"
    assert analyze(*arguments).exit_code == 0
    part = f"input=x y%2Fa b%25c.mp4/{PART}"
    assert bucket.names("set/") == [JOURNAL, part]
    assert bucket.bytes_of(f"set/{part}") == Path("set", part).read_bytes()
    for out in ("x.parquet", "more/deep.csv", "more/"):
        result = analyze("a b%c.mp4", "-o", f"s3://bucket/set/{out}")
        assert result.exit_code == 2
        assert "out: s3://bucket/set is a dataset; say --format dataset" in words(result)
    assert bucket.names("set/") == [JOURNAL, part]
    again = analyze(*arguments, "--resume")
    assert again.exit_code == 0 and "done by an earlier run" in words(again)


def test_a_batch_into_a_bucket(bucket, here):
    for name, grays in (("a", [ONE] * 4), ("b", [TWO] * 3), ("c", [NONE])):
        write_clip(here / f"{name}.mp4", grays)
        bucket.put(f"study/{name}.mp4", here / f"{name}.mp4")
    bucket.system.pipe_file("bucket/study/words.mp4", b"no video")
    result = analyze("s3://bucket/study/", "-o", "s3://bucket/out", "--jobs", 2, "--overlay")
    assert result.exit_code == 1
    said = words(result)
    assert "-> s3://bucket/out/a.parquet" in said and "3 of 4 inputs done." in said
    assert os.environ["TMPDIR"] not in said
    names = [f"{name}{end}" for name in "abc" for end in (".overlay.mp4", ".parquet")]
    assert bucket.names("out/") == [*sorted([*names, JOURNAL])]
    lines = [json.loads(line) for line in bucket.bytes_of(f"out/{JOURNAL}").splitlines()]
    assert sorted((line["input"], line["table"], line["state"]) for line in lines) == [
        ("s3://bucket/study/a.mp4", "a.parquet", "done"),
        ("s3://bucket/study/b.mp4", "b.parquet", "done"),
        ("s3://bucket/study/c.mp4", "c.parquet", "done"),
        ("s3://bucket/study/words.mp4", "words.parquet", "failed"),
    ]
    result = analyze("s3://bucket/study/", "-o", "s3://bucket/out/", "--dry-run")
    assert "3 tables exist already (s3://bucket/out/a.parquet ...); --resume" in words(result)
    assert "words.mp4" in words(result)
    bucket.system.rm("bucket/out/b.parquet")
    result = analyze("s3://bucket/study/", "-o", "s3://bucket/out/", "--resume", "--overlay")
    assert "3 of 4 inputs done, 2 of them by an earlier run." in words(result)  # words.mp4 failed
    assert "b.parquet" in bucket.names("out/")


def test_an_upload_that_fails_is_told(bucket, here, monkeypatch):
    write_clip(here / "a.mp4", [ONE] * 4)
    write_clip(here / "b.mp4", [ONE] * 4)
    result = analyze("a.mp4", "b.mp4", "-o", "s3://nowhere-at-all/out/")
    assert result.exit_code == 1
    assert words(result) == (
        "aucli: s3://nowhere-at-all/out/ cannot be written: there is no such bucket; create it."
    )
    assert analyze("a.mp4", "-o", "s3://nowhere-at-all/a.csv").exit_code == 1

    def refuse(*_: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(urls._system(Url("s3://bucket")), "put_file", refuse)
    result = analyze("a.mp4", "b.mp4", "-o", "s3://bucket/out/")
    assert result.exit_code == 1
    said = words(result)
    for name in "ab":
        assert (
            f"aucli: s3://bucket/out/{name}.parquet: access is refused (Access Denied); check the "
            "credentials for s3://." in said
        )
    assert bucket.names("out/") == []


def test_a_run_that_is_stopped_keeps_what_is_uploaded(bucket, here, server):
    for name in ("a", "slow", "t"):
        write_clip(here / f"{name}.mp4", [ONE] * (1200 if name == "slow" else 4))
        bucket.put(f"study/{name}.mp4", here / f"{name}.mp4")
    command = [sys.executable, str(Path(__file__).with_name("bright_faces.py")), "analyze"]
    arguments = ["s3://bucket/study/", "-o", "s3://bucket/out/", "--threads", "1"]
    environment = {**ENVIRONMENT, **credentials(server), "TMPDIR": os.environ["TMPDIR"]}
    run = subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, env=environment, preexec_fn=hear_signals
    )
    wait_for(lambda: "a.parquet" in bucket.names("out/"), run)
    run.send_signal(signal.SIGINT)
    assert b"interrupted" in run.communicate(timeout=60)[1]
    assert run.returncode == 130
    there = bucket.names("out/")
    assert {"a.parquet", JOURNAL} <= {*there} and "t.parquet" not in there
    assert analyze(*arguments, "--resume").exit_code == 0
    assert bucket.names("out/") == [JOURNAL, "a.parquet", "slow.parquet", "t.parquet"]


@pytest.mark.slow
def test_ray_actors_fetch_and_we_upload(bucket, here, server):
    pytest.importorskip("ray")
    write_clip(here / "a.mp4", [ONE] * 4)
    for name in "ab":
        bucket.put(f"study/{name}.mp4", here / "a.mp4")
    # In a process of its own, as in test_ray.py.
    environment = {**ENVIRONMENT, **credentials(server), "TMPDIR": os.environ["TMPDIR"]}
    command = [sys.executable, str(Path(__file__).with_name("bright_faces.py")), "analyze"]
    arguments = ["--engine", "ray", "--jobs", "1", "--threads", "1"]
    run = subprocess.run(
        [*command, "s3://bucket/study/", "-o", "s3://bucket/out/", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr
    assert bucket.names("out/") == [JOURNAL, "a.parquet", "b.parquet"]
    result = analyze("a.mp4", "-o", "s3://bucket/more/", "--engine", "ray", "--overlay")
    told = "--overlay with --engine ray: s3://bucket/more/ is a URL; name a folder with --out."
    assert result.exit_code == 2 and told in words(result)
