"""``aucli analyze --format dataset``: a folder that other programs read as one table."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from bright_faces import ONE, TWO, tiny_analyzer, tiny_networks, write_clip
from made_tables import made_rows, write_table
from typer.testing import CliRunner, Result

from aucli import analyzer
from aucli.cli import app
from aucli.errors import OptionError
from aucli.pipeline import workers
from aucli.pipeline.inputs import Input, plan_pictures, plan_targets, unique_names
from aucli.pipeline.journal import JOURNAL
from aucli.report.study import find_tables, read_faces
from aucli.table.dataset import PART, input_of, part_file, quoted, table_name
from aucli.table.reading import read_table
from aucli.table.writer import read_provenance

STRANGE = "a b=c%41#é?.mp4"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with ``study/``: numbered clips, two of one name, one broken."""
    monkeypatch.chdir(tmp_path)
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    folder = tmp_path / "study"
    (folder / "b").mkdir(parents=True)
    write_clip(folder / "001.mp4", [ONE] * 3)
    write_clip(folder / "b" / "001.mp4", [TWO] * 2)
    write_clip(folder / STRANGE, [ONE] * 2)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def analyze(*arguments: object) -> Result:
    return run("analyze", "--threads", "1", *arguments, "--format", "dataset")


def files(folder: str = "dataset") -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


PARTS = [
    f"input=001.mp4/{PART}",
    f"input=a b%3Dc%2541%23é%3F.mp4/{PART}",
    f"input=b%2F001.mp4/{PART}",
]
ROWS = {"001.mp4": 3, STRANGE: 2, "b/001.mp4": 4}


def test_other_programs_read_the_folder_at_once(study):
    result = analyze("study", "-o", "dataset", "--faces", "all", "--sides")
    assert result.exit_code == 1  # one is broken
    assert files() == [JOURNAL, *PARTS]
    found = pyarrow.dataset.dataset("dataset", partitioning="hive")
    table = found.to_table().to_pandas()
    assert table.groupby("input").size().to_dict() == ROWS
    assert (table["input"] == table["video"]).all()
    only = found.to_table(filter=pyarrow.dataset.field("input") == "b/001.mp4")
    assert only["video"].unique().to_pylist() == ["b/001.mp4"]
    assert pd.read_parquet("dataset")["input"].astype(str).value_counts().to_dict() == ROWS
    assert len(pq.read_table("dataset")) == 9


def test_a_part_is_the_table_of_its_input(study):
    assert analyze("study/001.mp4", "-o", "dataset").exit_code == 0
    plain = run("analyze", "--threads", "1", "study/001.mp4", "-o", "tables/")
    assert plain.exit_code == 0
    part = Path("dataset", "input=001.mp4", PART)
    assert read_provenance(part) == read_provenance("tables/001.parquet")
    table = pq.ParquetFile(part).read()
    assert table["picture"].null_count == len(table)  # so that pictures may come to the dataset
    table = table.drop_columns("picture")
    alone = pq.ParquetFile("tables/001.parquet").read()
    assert table.equals(alone)


def test_duckdb_reads_it(study):
    duckdb = pytest.importorskip("duckdb")
    analyze("study", "-o", "dataset", "--faces", "all")
    query = "select input, count(*) from 'dataset/**/*.parquet' group by input"
    assert dict(duckdb.sql(query).fetchall()) == ROWS


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_resume_goes_on(study, jobs):
    analyze("study/001.mp4", "-o", "dataset")
    before = Path("dataset", PARTS[0]).stat().st_mtime_ns
    result = analyze("study", "-o", "dataset", "--resume", "--jobs", jobs)
    assert result.exit_code == 1
    assert "3 of 4 inputs done, 1 of them by an earlier run." in result.stderr
    assert files() == [JOURNAL, *PARTS] and Path("dataset", PARTS[0]).stat().st_mtime_ns == before
    lines = [json.loads(line) for line in Path("dataset", JOURNAL).read_text().splitlines()]
    assert {line["table"]: line["state"] for line in lines} == {
        **dict.fromkeys(PARTS, "done"), f"input=broken.mp4/{PART}": "failed",
    }  # fmt: skip
    Path("dataset", JOURNAL).unlink()
    again = analyze("study", "-o", "dataset", "--resume")
    assert "3 of 4 inputs done, 3 of them by an earlier run." in again.stderr


def test_a_name_once_given_stays(study):
    analyze("study/001.mp4", "-o", "dataset")
    assert analyze("study/b/001.mp4", "-o", "dataset").exit_code == 0
    assert files() == [JOURNAL, f"input=001.mp4-2/{PART}", PARTS[0]]
    again = analyze("study/b/001.mp4", "-o", "dataset", "--resume")
    assert "done by an earlier run" in again.stderr
    table = pyarrow.dataset.dataset("dataset", partitioning="hive").to_table()
    assert table["input"].unique().to_pylist() == ["001.mp4-2", "001.mp4"]


def test_all_parts_have_the_same_columns(study):
    analyze("study/001.mp4", "-o", "dataset")
    result = analyze("study/b", "-o", "dataset", "--sides", "--resume")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "Error: Invalid value: out: the parts of dataset have other columns (no AU06_L), and a "
        "dataset has the same everywhere; take the same options, or name another folder."
    )
    engine = tiny_analyzer(tiny_networks(), places=True)
    with pytest.raises(OptionError, match=r"other columns \(no AU06_x\)"):
        engine.tables("study/b", "dataset", format="dataset")
    assert files() == [JOURNAL, PARTS[0]]
    other = analyze("study/001.mp4", "-o", "dataset", "--sides", "--resume")
    assert "1 table was made with other settings (001.mp4: sides False" in other.stderr
    assert analyze("study/001.mp4", "-o", "dataset", "--sides", "--overwrite").exit_code == 0
    assert "AU06_L" in pq.read_schema(Path("dataset", PARTS[0])).names
    plainer = analyze("study/b", "-o", "dataset")
    assert "(also AU06_L)" in plainer.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "format: a dataset is a folder of its own; name it with --out (out=)."),
        (["-o", "-"], "format: a dataset is a folder of its own; name it with --out (out=)."),
        (["-o", "all.parquet"], "out: all.parquet is one table; name a folder for a dataset."),
        (["-o", "notes"], "out: notes is one table; name a folder for a dataset."),
        (["-o", "study"], "out: study holds 001.mp4, which is no part of a dataset; name another "
                          "folder."),
        (["-o", "d", "--report"], "--report: a dataset holds tables alone; analyze with --places "
                                  "--sides, and then take 'aucli report'."),
        (["-o", "d", "--overlay"], "--overlay: a dataset holds tables alone; analyze with --places "
                                   "--sides, and then take 'aucli overlay'."),
    ],
)  # fmt: skip
def test_what_does_not_fit(study, arguments, sentence):
    Path("notes").write_text("mine")
    result = analyze("study/001.mp4", *arguments)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(sentence), result.stderr
    assert not Path("d").exists()


def test_tables_of_another_format_do_not_spoil_a_dataset(study):
    analyze("study/001.mp4", "-o", "dataset")
    file = ["-o", "dataset/all.parquet"]
    for words in ([], ["--resume"], ["--format", "csv"], file):
        result = run("analyze", "study/b", "-o", "dataset", *words)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == (
            "Error: Invalid value: out: dataset is a dataset; say --format dataset "
            "(format='dataset'), or name another folder."
        )


@pytest.mark.parametrize("out", ["more/", "more/x.csv", "input=001.mp4/x.parquet", "input=b/"])
def test_nor_do_tables_deep_in_it(study, out):
    analyze("study/001.mp4", "-o", "dataset")
    result = run("analyze", "study/b/001.mp4", "-o", f"dataset/{out}")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "Error: Invalid value: out: dataset is a dataset; say --format dataset "
        "(format='dataset'), or name another folder."
    )
    assert files() == [JOURNAL, PARTS[0]]


def test_a_dataset_in_a_dataset_is_refused(study):
    analyze("study/001.mp4", "-o", "dataset")
    result = analyze("study/b", "-o", "dataset/more")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "Error: Invalid value: out: dataset/more lies in dataset, which is a dataset; name another "
        "folder."
    )
    assert files() == [JOURNAL, PARTS[0]]


@pytest.mark.parametrize("option", ["--log", "--heatmaps"])
def test_logs_and_pictures_do_not_go_into_a_dataset(study, option):
    analyze("study/001.mp4", "-o", "dataset")
    result = run("analyze", "study/b/001.mp4", "-o", "tables/", option, "dataset/x")
    assert result.exit_code == 2 and result.stderr.endswith(
        "would be read as a part of dataset, which is a dataset; name another place.\n"
    )
    assert files() == [JOURNAL, PARTS[0]]


def test_a_dry_run_names_the_parts(study):
    result = analyze("study/b", "-o", "dataset", "--dry-run")
    assert result.stdout == f"001.mp4 -> dataset/input=001.mp4/{PART}: 2 frames\n"
    assert not Path("dataset").exists()


def test_heat_maps_are_named_as_in_a_folder_with_the_whole_label(study):
    item = Input(study / "001.mp4", "001.mp4")
    given = {str(study / "001.mp4"): Path("dataset", PARTS[0])}
    for known in ({}, given):
        assert plan_pictures([item], Path("maps"), "dataset", known, "dataset") == [
            Path("maps/001.mp4")
        ]
    assert plan_targets([item], "dataset", "dataset", given) == [Path("dataset", PARTS[0])]


# Names.


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a/b.mp4", "input=a%2Fb.mp4"),
        ("a%2Fb.mp4", "input=a%252Fb.mp4"),
        ("x=y [1]{2}*?.mp4", "input=x%3Dy %5B1%5D%7B2%7D%2A%3F.mp4"),
        (r"caf\xe9" + "\"':#.mp4", "input=caf%5Cxe9%22%27%3A%23.mp4"),
        ("Zoë 李+1.mp4", "input=Zoë 李+1.mp4"),
        ("..", "input=.."),
    ],
)
def test_names_are_quoted_as_hive_does(name, folder):
    part = part_file(Path("d"), name)
    assert part == Path("d", folder, PART)
    assert input_of(part) == table_name(part) == name


def test_other_tables_are_no_parts():
    assert input_of(Path("d/part-0.parquet")) is None
    assert input_of(Path("d/input=a/b.parquet")) is None
    assert input_of(Path("d/input=/part-0.parquet")) is None
    assert table_name(Path("d/b.parquet")) == "b.parquet"


def test_long_names_are_cut_and_marked(tmp_path):
    long = "/".join(["ä:" * 50] * 3)
    items = [Input(tmp_path / f"{long}{n}.mp4", f"{long}{n}.mp4") for n in (1, 2)]
    first, second = unique_names(items, whole=True)
    assert first != second
    for name in (first, second):
        assert len(quoted(name).encode()) <= 200
        part = part_file(tmp_path, name)
        part.parent.mkdir()
        assert input_of(part) == name


def test_parts_differ_also_where_case_does_not_tell_files_apart():
    items = [Input(Path("/data") / label, label) for label in ("X.mp4", "x.MP4")]
    assert unique_names(items, whole=True) == ["X.mp4", "x.MP4-2"]


# Our own commands.


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of two videos with a smile each."""
    monkeypatch.chdir(tmp_path)
    levels = [0.0] * 10 + [3.0] * 20 + [0.0] * 10
    for video in ("p1/rest.mp4", "p2.mp4"):
        rows = [(video, made_rows({"AU12": levels}))]
        write_table(part_file(Path("dataset"), video), rows, provenance={"aucli": "0"})
    Path("dataset", JOURNAL).touch()
    return Path("dataset")


def test_our_commands_read_a_dataset_as_a_folder_of_tables(dataset):
    tables = find_tables([dataset])
    assert [table_name(path) for path in tables.tables] == ["p1/rest.mp4", "p2.mp4"]
    assert not tables.passed_over
    assert [face.video for path in tables.tables for face in read_faces(path)] == [
        "p1/rest.mp4", "p2.mp4",
    ]  # fmt: skip
    assert run("summarize", dataset, "-o", "s.csv").exit_code == 0
    assert pd.read_csv("s.csv")["video"].tolist() == ["p1/rest.mp4", "p2.mp4"]
    assert run("events", dataset, "-o", "e.csv").exit_code == 0
    assert pd.read_csv("e.csv")["video"].tolist() == ["p1/rest.mp4", "p2.mp4"]
    assert run("events", dataset, "-o", "elan/", "--format", "elan").exit_code == 0
    assert files("elan") == ["p1/rest.eaf", "p2.eaf"]
    assert run("convert", dataset, "-o", "all.csv").exit_code == 0
    assert read_table("all.csv")["video"].unique().tolist() == ["p1/rest.mp4", "p2.mp4"]
    result = run("compare", f"one={dataset}", "two=all.csv")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("to", ["", "more/", "input=p2.mp4/"])
@pytest.mark.parametrize(
    ("command", "option", "name"),
    [
        ("convert", "-o", "x.parquet"), ("convert", "-o", "x.csv"), ("convert", "-o", "x.xlsx"),
        ("convert --format csv", "-o", ""),
        ("summarize", "-o", "x.parquet"), ("summarize", "-o", "x.csv"),
        ("summarize", "--co-occurrence", "x.csv"),
        ("events", "-o", "x.csv"), ("events", "-o", "x.eaf"),
        ("events --format bids", "-o", "x_events.tsv"),
        ("plot", "-o", "x.png"), ("report", "-o", "x.html"), ("methods", "--bibtex", "x.bib"),
        ("compare a=table.csv", "-o", "x.csv"), ("compare a=table.csv", "--report", "x.html"),
        ("eval --predictions table.csv --labels", "--json", "x.json"),
    ],
)  # fmt: skip
def test_nothing_else_is_written_into_a_dataset(dataset, command, option, name, to):
    rows = made_rows({"AU12": [0.0] * 5 + [3.0] * 10})
    write_table(Path("table.csv"), [("v.mp4", rows)])
    before = files()
    target = f"dataset/{to}{name}"
    result = run(*command.split(), "table.csv", option, target)
    assert result.exit_code == 2, result.stderr
    file = target if name else f"{target}table.csv"
    assert result.stderr.splitlines()[-1].endswith(
        f"{file} would be read as a part of dataset, which is a dataset; name another place."
    )
    assert files() == before


@pytest.mark.parametrize("out", ["dataset", "dataset/more"])
@pytest.mark.parametrize(
    "command",
    [
        "synth --ict nowhere --count 1 --out",
        "synth --ict nowhere --count 1 --out faces --sheet",
        "train --model landmarks --root . --steps 1 --out",
        "prepare --dataset disfa --root nowhere --out",
    ],
)
def test_nor_are_faces_and_networks(dataset, command, out):
    if command.startswith("synth"):
        pytest.importorskip("moderngl", reason="the extra 'synth' is not installed")
    before = files()
    target = f"{out}/x.png" if command.endswith("--sheet") else out
    result = run(*command.split(), target)
    assert result.exit_code == 2 and result.stderr.splitlines()[-1].endswith(
        " would be read as a part of dataset, which is a dataset; name another place."
    )
    assert files() == before


def test_what_programs_pass_over_may_lie_in_a_dataset(dataset, monkeypatch):
    for name in ("_summary.csv", ".summary.csv", "_notes/summary.parquet"):
        assert run("summarize", dataset, "-o", dataset / name).exit_code == 0
    assert len(pyarrow.dataset.dataset("dataset", partitioning="hive").to_table()) == 80
    monkeypatch.chdir(dataset)
    result = run("summarize", ".", "-o", "-")
    assert result.exit_code == 0 and "p2.mp4" in result.stdout
    result = run("plot", part_file(Path(), "p2.mp4"))
    assert result.exit_code == 2
    assert "p2.png would be read as a part of ., which is a dataset" in result.stderr


def test_convert_and_plot_name_their_files_after_the_input(dataset):
    result = run("convert", dataset, "-o", "csv", "--format", "csv")
    assert result.exit_code == 0
    assert "p1/rest.mp4: 40 rows -> csv/p1/rest.csv\n" in result.stderr
    assert files("csv") == ["p1/rest.csv", "p1/rest.csv.json", "p2.csv", "p2.csv.json"]
    before = files()
    result = run("plot", part_file(dataset, "p1/rest.mp4"))
    assert result.exit_code == 0 and result.stderr == "p1/rest.mp4 -> rest.png\n"
    assert files() == before


def test_a_strange_name_of_a_folder_leads_nowhere_else(dataset):
    rows = made_rows({"AU12": [1.0, 2.0]})
    write_table(part_file(Path("odd"), "../../out.mp4"), [("out.mp4", rows)])
    assert run("convert", "odd", "-o", "csv", "--format", "csv").exit_code == 0
    assert files("csv") == ["out.csv", "out.csv.json"]


def test_a_page_tells_which_part_is_damaged(dataset):
    pytest.importorskip("jinja2")
    part_file(dataset, "p2.mp4").write_bytes(b"PAR1 nothing")
    assert run("report", dataset, "-o", "page.html", "--no-pictures").exit_code == 1
    text = Path("page.html").read_text()
    assert "p2.mp4" in text and "rest.mp4" in text


def test_the_provenance_is_in_each_part(study):
    engine = tiny_analyzer(tiny_networks())
    outcomes = engine.tables(["study/001.mp4", "study/b/001.mp4"], "dataset", format="dataset")
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert [outcome.job.target for outcome in outcomes] == [
        Path("dataset", PARTS[0].replace("001", "study%2F001")), Path("dataset", PARTS[2])
    ]  # fmt: skip
    told = read_provenance(Path("dataset", PARTS[2]))
    assert told["input"]["name"] == "001.mp4"
