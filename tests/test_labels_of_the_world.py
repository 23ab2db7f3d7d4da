"""Labels and tables as spreadsheets and other tools write them."""

import codecs
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from aucli.cli import app
from aucli.errors import DataError
from aucli.evaluation.tables import listed, read_labels, read_predictions
from aucli.table.reading import read_table

NAN = float("nan")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "header",
    ["frame,AU6,AU12", "Frame,AU06,AU12", "FRAME,au06,au12", "frame,AU06_r,AU12_r",
     "frame, AU06_r, AU12_r", "frame,au6_r,Au12_r", '"frame","AU06","AU12"'],
)  # fmt: skip
def test_names_of_columns(tmp_path: Path, header: str) -> None:
    labels = read_labels(write(tmp_path / "a.csv", f"{header}\n1,2,3\n2,1,0\n"))
    assert labels["frame_index"].tolist() == [0, 1]
    assert labels[["AU06", "AU12"]].to_numpy().tolist() == [[2, 3], [1, 0]]
    assert labels.attrs["unused"] == ()


SEMICOLONS = "frame;AU06;AU12\r\n1;0,5;3\r\n2;;1,25\r\n"
TABS = SEMICOLONS.replace(";", "\t")


@pytest.mark.parametrize(
    "content",
    [
        SEMICOLONS,
        TABS,
        "sep=;\r\n" + SEMICOLONS,
        codecs.BOM_UTF8 + SEMICOLONS.encode(),
        SEMICOLONS.encode("utf-16"),
        codecs.BOM_UTF16_BE + TABS.encode("utf-16-be"),
        TABS.encode("utf-16-le"),
        'frame,AU06,AU12\n1,"0,5",3\n2,,"1,25"\n',
    ],
)
def test_separators_commas_and_encodings(tmp_path: Path, content: str | bytes) -> None:
    labels = read_labels(write(tmp_path / "a.csv", content))
    np.testing.assert_array_equal(labels[["AU06", "AU12"]], [[0.5, 3], [NAN, 1.25]])
    openface = (
        content.decode("utf-16") if isinstance(content, bytes) and content[:1] == b"\xff" else None
    )
    if openface is None and isinstance(content, str):
        openface = content
    if openface:
        text = openface.replace("AU06", "AU06_r").replace("AU12", "AU12_r")
        found = read_predictions(write(tmp_path / "b.csv", text), "openface")
        np.testing.assert_array_equal(found.table["AU12"], [3, 1.25])


def test_names_of_people_are_kept(tmp_path: Path) -> None:
    text = "frame;Subject;AU06\n1;007;1\n2;Müller;2\n3;;3\n"
    labels = read_labels(write(tmp_path / "a.csv", text.encode("cp1252")))
    assert labels["subject"].tolist() == ["007", "Müller", "a"]


def test_the_right_side_is_no_intensity(tmp_path: Path) -> None:
    """AU12_r is an intensity, AU12_R the right side of the face."""
    text = "frame,AU12_R,AU12_L,AU12,AU06_c\n1,5,5,2,1\n"
    labels = read_labels(write(tmp_path / "a.csv", text))
    assert labels["AU12"].tolist() == [2] and "AU06" not in labels
    assert labels.attrs["unused"] == ("AU12_R", "AU12_L", "AU06_c")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("frame,AU6,AU06\n1,1,2\n", "has the columns AU6 and AU06, which all mean AU06; keep one."),
        ("frame,Frame,AU6\n1,1,2\n", "has the columns frame and Frame, which mean the same; keep"),
        ("frame,AU6\n1,inf\n", "line 2: AU6 is inf, which is no number; correct the table."),
        ("frame,AU6\n1,\n2,x\x1b[2J\n", r"line 3: AU6 is x\x1b[2J, which is no number; correct"),
        ("frame,AU6\n1e300,1\n", "line 2: frame is 1e+300, which is no frame number from 1;"),
        ("frame,AU6\n1,1\n2,1,5\n", "(Error tokenizing data. C error: Expected 2 fields in line 3"),
        ("frame,AU6\n1,0,5\n2,1,5\n", "(its rows have more cells than its header); check the"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        read_labels(write(tmp_path / "a.csv", text))
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_unused_columns_in_one_line(tmp_path: Path) -> None:
    assert listed(["a", "x_0", "x_1", "x_2", "y_8", "y_9", "b1", "b3"]) == (
        "a, x_0 to x_2, y_8, y_9, b1, b3"
    )
    head = "frame,timestamp,confidence,success," + ",".join(f"gaze_{i}" for i in range(6))
    rows = [f"{i},{i / 25},0.9,1,0,0,0,0,0,0,{i % 3}" for i in range(1, 7)]
    table = write(tmp_path / "p.csv", "\n".join([head + ",AU12_r", *rows]))
    text = "".join(f"{i};{i % 3};x;1\n" for i in range(1, 7))
    labels = write(tmp_path / "l.csv", "frame;AU12;Coder;Pain\n" + text)
    command = ["eval", "--predictions", str(table), "--labels", str(labels), "--resamples", "0"]
    result = CliRunner().invoke(app, [*command, "--json", str(tmp_path / "a.json")])
    assert result.exit_code == 0, result.output
    notes = json.loads((tmp_path / "a.json").read_text())["origin"]["notes"]
    assert notes == [
        "Columns of the labels that are not used: Coder, Pain.",
        "Columns of the predictions that are not used: gaze_0 to gaze_5.",
    ]
    assert all(note in result.stdout for note in notes)


def test_a_table_that_a_spreadsheet_saved(tmp_path: Path) -> None:
    head = "video,frame,timestamp,face_id,success,confidence,AU01_r,AU12_r"
    plain = write(
        tmp_path / "a.csv", f"{head}\na.mp4,1,0.0,0,True,0.98,0.1,2.5\na.mp4,2,0.04,,False,,,\n"
    )
    saved = plain.read_text().replace(",", ";").replace(".0", ",0").replace("0.", "0,")
    saved = saved.replace("2.5", "2,5")
    other = write(tmp_path / "b.csv", codecs.BOM_UTF8 + saved.encode())
    pd.testing.assert_frame_equal(read_table(other), read_table(plain))
    again = write(tmp_path / "c.csv", saved.replace(";", "\t").encode("utf-16"))
    pd.testing.assert_frame_equal(read_table(again), read_table(plain))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\0" * 99, b"[" * 9999, b"PAR1PAR1"])
def test_tables_that_are_none(tmp_path: Path, name: str, content: bytes) -> None:
    path = write(tmp_path / name, content)
    for read in (read_table, read_labels, read_predictions):
        with pytest.raises(DataError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
