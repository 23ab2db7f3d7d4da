"""Tools beside each other: names, matching, agreement, lag; every kind of table that users give."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_tables import made_rows, write_table
from tool_tables import write_libreface, write_openface, write_openface3, write_py_feat
from typer.testing import CliRunner

from aucli.cli import app
from aucli.comparison.agreement import score_pairs
from aucli.comparison.comparing import CompareOptions, compare
from aucli.comparison.pairing import match_names
from aucli.comparison.sides import open_sides
from aucli.errors import OptionError
from aucli.metrics import icc31, kappa, pair_sums, pcc, roc_auc

NAN = float("nan")
N = 80
T = np.arange(N) / 10
SMILE = (2 + 1.5 * np.sin(T * 2) + 0.4 * np.sin(T * 5)).clip(0, 5).round(3)
BROW = (1 + np.cos(T * 3)).round(3)


def levels(**values: np.ndarray) -> dict[str, list[float]]:
    return {au: own.tolist() for au, own in values.items()}


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def told(stderr: str) -> str:
    """What a user reads, on one line."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", stderr).split())


def two(tmp_path: Path, **options: object):
    """The comparison of what lies in a/ and b/."""
    sides = open_sides([str(tmp_path / "a"), str(tmp_path / "b")])
    (found,), failed = compare(sides, CompareOptions(**options))  # type: ignore[arg-type]
    assert failed == []
    return found


def scored(found, au: str = "AU12"):
    return next(score for score in found.scores.pooled if score.au == au)


def test_intensities_have_the_scores_of_eval(tmp_path: Path) -> None:
    other = (SMILE * 0.8 + 0.5).round(3)
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)))
    write_openface(tmp_path / "b" / "x.csv", levels(AU12=other))
    found = two(tmp_path)
    score = scored(found)
    assert (score.frames, score.coverage, score.only_a, score.only_b) == (N, 1.0, 0, 0)
    assert score.pcc == pytest.approx(pcc(other, SMILE), abs=1e-6)
    assert score.icc31 == pytest.approx(icc31(other, SMILE), abs=1e-6)
    assert score.mean_difference == pytest.approx(float(np.mean(other - SMILE)), abs=1e-6)
    assert score.mae == pytest.approx(float(np.abs(other - SMILE).mean()), abs=1e-6)
    assert (score.lag_frames, score.lag_seconds) == (0, 0)
    row = int(np.abs(other - SMILE).argmax())
    assert (score.largest_frame, score.largest_seconds) == (row + 1, pytest.approx(T[row]))
    assert np.isnan(score.auc) and found.pairs[0].by == "frame"


@pytest.mark.parametrize("late", [3, -4])
def test_lag_is_how_much_later_b_is(tmp_path: Path, late: int) -> None:
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)))
    write_libreface(tmp_path / "b" / "x.csv", levels(AU12=np.roll(SMILE, late)))
    score = scored(two(tmp_path))
    assert score.lag_frames == late
    assert score.lag_seconds == pytest.approx(late / 10)
    assert score.lag_pcc > 0.99 > score.pcc
    assert np.isnan(scored(two(tmp_path, max_lag_seconds=0.2)).lag_frames)


def test_probabilities_have_no_icc_but_auc_and_kappa(tmp_path: Path) -> None:
    chance = (1 / (1 + np.exp(-3 * (SMILE - 1.2)))).round(4)
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)))
    write_py_feat(tmp_path / "b" / "x.csv", levels(AU12=chance))
    score = scored(two(tmp_path))
    assert np.isnan([score.icc31, score.mae, score.mean_difference]).all()
    assert score.why == ("ICC, MAE, difference: one is a probability",)
    assert score.auc == roc_auc(chance, SMILE >= 1) == 1.0
    sums = pair_sums(chance, SMILE, positive=1, predicted_positive=0.5)
    assert score.kappa == pytest.approx(float(kappa(sums)[0]))
    assert 0 < score.kappa < 1


def test_a_folder_of_tsv_tables_alone_is_read(tmp_path: Path) -> None:
    for name in "xy":
        write_py_feat(tmp_path / "a" / f"{name}.csv", levels(AU12=SMILE / 5))
        write_openface3(tmp_path / "b" / f"{name}.tsv", levels(AU12=SMILE / 5))
    (tmp_path / "a" / "participants.tsv").write_text("participant_id\nx\n", "utf-8")
    found, _ = compare(open_sides([str(tmp_path / "a"), str(tmp_path / "b")]), CompareOptions())
    assert [pair.video for pair in found[0].pairs] == ["x", "y"]


def test_two_probabilities(tmp_path: Path) -> None:
    chance = (SMILE / 5).round(4)
    write_py_feat(tmp_path / "a" / "x.csv", levels(AU12=chance, AU07=chance))
    write_openface3(tmp_path / "x.tsv", levels(AU12=chance))
    sides = open_sides([str(tmp_path / "a"), str(tmp_path / "x.tsv")])
    (found,), _ = compare(sides, CompareOptions())
    score = scored(found)
    assert score.pcc == pytest.approx(1) and np.isnan(score.icc31)
    assert "ICC: both are probabilities" in score.why
    assert [side.tool for side in sides] == ["py-feat", "openface3"]


def test_kappa_against_a_hand_worked_table() -> None:
    # 20 both, 5 only p, 10 only y, 15 neither: agreed .7, by chance .5 (Cohen 1960).
    p = [1] * 20 + [1] * 5 + [0] * 10 + [0] * 15
    y = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert float(kappa(pair_sums(p, y, positive=1))[0]) == pytest.approx(0.4)
    assert np.isnan(kappa(pair_sums([1, 1], [1, 1], positive=1))).all()


def test_hidden_faces_lower_the_coverage_and_nothing_else(tmp_path: Path) -> None:
    hidden = SMILE.copy()
    hidden[20:40] = NAN
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)))
    write_openface(tmp_path / "b" / "x.csv", levels(AU12=hidden))  # zeros, success 0
    score = scored(two(tmp_path))
    assert (score.frames, score.only_a, score.only_b) == (60, 20, 0)
    assert score.coverage == 0.75
    assert (score.pcc, score.mae) == (pytest.approx(1), pytest.approx(0, abs=1e-6))


def test_every_fifth_frame_is_matched_by_number(tmp_path: Path) -> None:
    frames = list(range(0, N, 5))
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)))
    few = made_rows(levels(AU12=SMILE[::5]), frames=frames)
    write_table(tmp_path / "b" / "x.parquet", few)
    found = two(tmp_path)
    score = scored(found)
    assert (found.pairs[0].by, score.frames, score.coverage) == ("frame", 16, 0.2)
    assert score.pcc == pytest.approx(1) and found.pairs[0].step_seconds == pytest.approx(0.5)


def test_other_rates_are_matched_by_time(tmp_path: Path) -> None:
    fast = np.arange(N * 3) / 30
    smile = (2 + 1.5 * np.sin(fast * 2) + 0.4 * np.sin(fast * 5)).clip(0, 5).round(3)
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=smile), fps=30))
    write_openface(tmp_path / "b" / "x.csv", levels(AU12=SMILE), fps=10)
    found = two(tmp_path)
    score = scored(found)
    assert (found.pairs[0].by, score.frames) == ("time", N)
    assert score.coverage == pytest.approx(1) and score.pcc == pytest.approx(1, abs=1e-5)
    forced = two(tmp_path, by="frame")
    assert forced.pairs[0].by == "frame" and scored(forced).pcc < 0.9
    code, out, _ = run(tmp_path / "a", tmp_path / "b")
    assert code == 0 and "1 video, rows matched by time, one face a frame." in out


def test_by_time_counts_what_only_the_faster_tool_has(tmp_path: Path) -> None:
    smile = np.repeat(SMILE, 3)  # 8 s at 30 a second
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=smile), fps=30))
    write_openface(tmp_path / "b" / "x.csv", levels(AU12=SMILE[:40]), fps=10)  # ends after 4 s
    score = scored(two(tmp_path))
    assert score.frames == 40
    assert score.coverage == pytest.approx(0.5, abs=0.02)


def test_time_is_refused_where_there_is_none(tmp_path: Path) -> None:
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)))
    table = write_py_feat(tmp_path / "b" / "x.csv", levels(AU12=SMILE / 5))
    code, _, err = run(tmp_path / "a", tmp_path / "b", "--by", "time")
    assert code == 1
    assert told(err).endswith(f"{table} has no rising times for x; match it by frame.")


LEFT, RIGHT = (0.0, 0.0, 50.0, 50.0), (200.0, 0.0, 260.0, 60.0)


def test_two_faces_are_matched_by_their_boxes(tmp_path: Path) -> None:
    both = np.stack([SMILE, BROW], 1).ravel()  # left, right, left, right ...
    turned = np.stack([BROW, SMILE], 1).ravel()
    frames = np.repeat(np.arange(N), 2).tolist()
    write_openface(
        tmp_path / "a" / "x.csv", levels(AU12=both), frames=frames, face_ids=[0, 1] * N,
        boxes=[LEFT, RIGHT] * N,
    )  # fmt: skip
    near = [(5.0, 2.0, 55.0, 52.0), (195.0, 0.0, 258.0, 66.0)]
    write_py_feat(
        tmp_path / "b" / "x.csv", levels(AU12=turned / 5), frames=frames,
        boxes=[near[1], near[0]] * N,
    )  # fmt: skip
    found = two(tmp_path)
    score = scored(found)
    assert found.pairs[0].faces == "faces by their boxes"
    assert score.frames == 2 * N and score.pcc == pytest.approx(1, abs=1e-4)
    right = two(tmp_path, person=1)
    score = scored(right)
    assert (score.frames, score.only_a, score.only_b) == (N, 0, 0)
    assert right.pairs[0].a[:, 0] == pytest.approx(BROW, abs=1e-3)


def test_without_boxes_the_longest_face_of_each_is_taken(tmp_path: Path) -> None:
    short = BROW[:20]
    frames = [*range(N), *range(20)]
    write_openface(
        tmp_path / "a" / "x.csv", levels(AU12=np.concatenate([SMILE, short])), frames=frames,
        face_ids=[4] * N + [7] * 20,
    )  # fmt: skip
    write_libreface(tmp_path / "b" / "x.csv", levels(AU12=SMILE))
    found = two(tmp_path)
    assert found.pairs[0].faces == "the longest face of each"
    assert scored(found).pcc == pytest.approx(1)
    code, _, err = run(tmp_path / "a", tmp_path / "b", "--person", "3")
    assert code == 1 and "has no face 3 in x." in told(err)


def test_faces_elsewhere_are_compared_and_said(tmp_path: Path) -> None:
    write_openface(tmp_path / "a" / "x.csv", levels(AU12=SMILE), boxes=[LEFT] * N)
    write_py_feat(tmp_path / "b" / "x.csv", levels(AU12=SMILE / 5), boxes=[RIGHT] * N)
    found = two(tmp_path)
    assert found.pairs[0].faces == (
        "one face a frame, as their boxes do not overlap (other pixels, or other people)"
    )
    assert scored(found).frames == N


def test_videos_are_matched_by_name_or_its_last_part() -> None:
    assert match_names(["a/X", "b/y", "z"], ["x", "y", "w"]) == {"a/X": "x", "b/y": "y"}
    assert match_names(["s1.t1", "s1.t2"], ["s1.t2", "s1.t1"]) == {
        "s1.t1": "s1.t1", "s1.t2": "s1.t2",
    }  # fmt: skip
    assert match_names(["a/x", "b/x"], ["x", "y"]) == {}  # which one?
    assert match_names(["a/x", "b/x"], ["b/x", "a/x"]) == {"a/x": "a/x", "b/x": "b/x"}
    assert match_names(["smile"], ["session_01"]) == {"smile": "session_01"}


def test_four_videos_and_three(tmp_path: Path) -> None:
    for number in range(4):
        rows = made_rows(levels(AU12=np.roll(SMILE, number), AU01=BROW))
        write_table(tmp_path / "a" / f"v{number}.parquet", rows, aus=("AU12", "AU01"))
    for number in (1, 2, 7):
        write_openface(tmp_path / "b" / f"v{number}.csv", levels(AU12=np.roll(SMILE, number) * 0.5))
    out = tmp_path / "out.csv"
    code, text, err = run(tmp_path / "a", tmp_path / "b", "-o", out)
    assert code == 0
    assert "Without a partner, left out: aucli 0 has v0, v3; OpenFace has v7." in text
    assert "Not compared: aucli 0 alone has AU01." in text
    assert "All rows of all videos" in text and "Videos, means over the AUs" in text
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["scope"], row["video"], row["au"]) for row in rows] == [
        ("video", "v1", "AU12"), ("video", "v2", "AU12"),
        ("pooled", "all videos", "AU12"), ("mean", "mean of the videos", "AU12"),
    ]  # fmt: skip
    assert (rows[0]["a"], rows[0]["b"], rows[2]["frames"]) == ("aucli 0", "OpenFace", "160")
    assert float(rows[0]["pcc"]) == pytest.approx(1, abs=1e-5)
    assert told(err).endswith("4 rows -> " + str(out))


def test_three_tools_and_their_names(tmp_path: Path) -> None:
    write_openface(tmp_path / "a" / "x.csv", levels(AU12=SMILE))
    write_openface(tmp_path / "b" / "x.csv", levels(AU12=SMILE * 0.9))
    write_libreface(tmp_path / "c" / "x.csv", levels(AU12=SMILE))
    sides = open_sides([str(tmp_path / name) for name in "abc"])
    assert [side.name for side in sides] == ["OpenFace (a)", "OpenFace (b)", "LibreFace (c)"]
    sides = open_sides([f"old={tmp_path / 'a'}", str(tmp_path / "b"), str(tmp_path / "c")])
    assert [side.name for side in sides] == ["old", "OpenFace", "LibreFace"]
    found, _ = compare(sides, CompareOptions())
    assert [each.name for each in found] == ["old | OpenFace", "old | LibreFace",
                                             "OpenFace | LibreFace"]  # fmt: skip


def test_two_versions_of_aucli_say_what_changed(tmp_path: Path) -> None:
    made = {"model": {"name": "net", "sha256": "1" * 64}, "options": {"faces": "all", "end": None}}
    old = {"aucli": "0.1", **made, "input": {"name": "x.mp4", "sha256": "aa"}}
    new = {"aucli": "0.2", **made, "input": {"name": "x.mp4", "sha256": "bb"}}
    new |= {"model": {"name": "net", "sha256": "2" * 64}}
    moved = SMILE.copy()
    moved[30] = 5
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)), provenance=old)
    write_table(tmp_path / "b" / "x.csv", made_rows(levels(AU12=moved)), provenance=new)
    code, out, _ = run(tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert (
        "Changed from aucli 0.1 to aucli 0.2: version 0.1 -> 0.2; AU network net (11111111) -> net "
        "(22222222)."
    ) in out
    assert "The tables of x were made of two different files." in out
    assert f"{abs(5 - SMILE[30]):.2f} at 3.00 s" in out
    again = write_table(tmp_path / "c" / "x.csv", made_rows(levels(AU12=SMILE)), provenance=old)
    _, out, _ = run(tmp_path / "a", again)
    assert "Both were made by the same version, networks and options." in out
    options = [{**old, "options": {"precision": precision}} for precision in ("fp32", "int8")]
    bits = [
        write_table(tmp_path / kind / "x.csv", made_rows(levels(AU12=SMILE)), provenance=told)
        for kind, told in zip("de", options, strict=True)
    ]
    assert "precision fp32 -> int8." in run(*bits)[1]


def test_a_table_that_does_not_move_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)))
    write_openface(tmp_path / "b" / "x.csv", levels(AU12=np.zeros(N)))
    score = scored(two(tmp_path))
    assert np.isnan([score.pcc, score.icc31, score.lag_frames]).all()
    assert score.why == ("PCC, ICC: no change in b", "lag: in no video")
    assert score.mae == pytest.approx(SMILE.mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ("one", 2, "compare needs two tables or folders, or more; name a second one."),
        ("same", 2, "{a} and {a} are the same; name two different ones."),
        ("names", 2, "two inputs are named x; give each a name of its own."),
        ("absent", 1, "aucli: {tmp}/none does not exist; check the name."),
        ("aus", 1, "one has AU12, the other AU01; no AU is in both."),
        ("frames", 1, "x has no frame in which both have a face with an AU."),
        ("videos", 1, "no video is in both. Without a partner, left out: aucli 0 has x, y; "
                      "OpenFace has u, v. Name the tables like the videos."),
        ("empty", 1, "aucli: {b}/x.csv has no rows."),
        ("nothing", 1, "aucli: {b}/x.csv cannot be read as a table"),
        ("strange", 1, "{b}/x.csv has no columns of a tool that aucli knows; write the tool in "
                       "front, such as openface3=x.csv: aucli, openface, openface3, py-feat, "
                       "libreface."),
        ("unknown", 1, "aucli: No table has AU45; the AUs are AU12."),
        ("input", 2, "is an input; a comparison never takes its place"),
        ("suffix", 2, "has no suffix that is known"),
        ("page", 2, "does not end in .html."),
        ("useless", 2, "--blur has no effect on a comparison without --report."),
        ("lag", 2, "max"),
    ],
)  # fmt: skip
def test_every_door(tmp_path: Path, case: str, code: int, words: str) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_table(a / "x.parquet", made_rows(levels(AU12=SMILE)))
    other = write_openface(b / "x.csv", levels(AU12=SMILE))
    given: list[object] = [a, b]
    if case == "one":
        given = [a]
    elif case == "same":
        given = [a, a]
    elif case == "names":
        given = [f"x={a}", f"x={b}"]
    elif case == "absent":
        given = [a, tmp_path / "none"]
    elif case == "aus":
        write_openface(other, levels(AU01=SMILE))
    elif case == "frames":
        write_openface(other, levels(AU12=SMILE), frames=range(500, 500 + N))
        given += ["--by", "frame"]
    elif case == "videos":
        write_table(a / "y.parquet", made_rows(levels(AU12=SMILE)))
        other.rename(b / "u.csv")
        write_openface(b / "v.csv", levels(AU12=SMILE))
    elif case == "empty":
        other.write_text(other.read_text().splitlines()[0] + "\n")
    elif case == "nothing":
        other.write_text("")
    elif case == "strange":
        other.write_text("one,two\n1,2\n")
        given = [a, other]
    elif case == "unknown":
        given += ["--aus", "45"]
    elif case == "input":
        given += ["-o", other, "--overwrite"]
    elif case == "suffix":
        given += ["-o", tmp_path / "x.doc"]
    elif case == "page":
        given += ["--report", tmp_path / "x.pdf"]
    elif case == "useless":
        given += ["--blur"]
    elif case == "lag":
        given += ["--max-lag", "-1"]
    found, _, err = run(*given)
    assert found == code
    assert words.format(a=a, b=b, tmp=tmp_path) in told(err)
    assert "Traceback" not in err


def test_a_damaged_table_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in "xy":
        write_table(tmp_path / "a" / f"{name}.parquet", made_rows(levels(AU12=SMILE)))
        write_openface(tmp_path / "b" / f"{name}.csv", levels(AU12=SMILE))
    bad = tmp_path / "b" / "y.csv"
    bad.write_text(bad.read_text().replace(",0.98,", ",zero,", 1))
    (tmp_path / "b" / "participants.csv").write_text("participant,group\n1,a\n")
    code, out, err = run(tmp_path / "a", tmp_path / "b")
    assert code == 1
    assert f"aucli: {bad}, line 2: confidence is zero, which is no number" in told(err)
    assert "Without columns of a tool, passed over: participants.csv." in told(err)
    assert "1 video, rows matched by frame" in out
    assert "Without a partner, left out: aucli 0 has y." in out


def test_a_tool_is_named_where_its_columns_do_not_tell(tmp_path: Path) -> None:
    eight = [1, 2, 4, 6, 9, 12, 25, 26]
    names = ",".join(f"AU{au}" for au in eight)
    lines = [f"{row},{','.join([str(value / 5)] * 8)}" for row, value in enumerate(SMILE)]
    table = tmp_path / "x.csv"
    table.write_text("\n".join([f"frame_idx,{names}", *lines]) + "\n")
    own = write_table(tmp_path / "x.parquet", made_rows(levels(AU12=SMILE)))
    code, out, err = run(own, table)
    assert code == 1 and "openface3=x.csv" in err
    code, out, _ = run(own, f"openface3={table}")
    assert code == 0 and "b is openface3" in out and "probability" in out


def test_several_videos_in_one_table(tmp_path: Path) -> None:
    parts = [(f"{name}.mp4", made_rows(levels(AU12=SMILE))) for name in "xy"]
    write_table(tmp_path / "all.csv", parts)
    write_openface(tmp_path / "b" / "x.csv", levels(AU12=SMILE))
    write_openface(tmp_path / "b" / "y.csv", levels(AU12=SMILE))
    sides = open_sides([str(tmp_path / "all.csv"), str(tmp_path / "b")])
    (found,), _ = compare(sides, CompareOptions())
    assert [pair.video for pair in found.pairs] == ["x", "y"]


def test_files_of_every_kind(tmp_path: Path) -> None:
    write_table(tmp_path / "a" / "x.jsonl", made_rows(levels(AU12=SMILE)))
    write_libreface(tmp_path / "b" / "x.csv", levels(AU12=SMILE))
    pytest.importorskip("openpyxl")
    for suffix in ("csv", "xlsx", "jsonl", "parquet"):
        out = tmp_path / f"out.{suffix}"
        code, text, _ = run(tmp_path / "a", tmp_path / "b", "-o", out, "--quiet")
        assert (code, text) == (0, "") and out.stat().st_size > 0
    row = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert (row["au"], row["auc"], row["frames"]) == ("AU12", None, N)
    code, _, err = run(tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out.csv")
    assert code == 1 and "exists already; --overwrite" in told(err)


def test_narrow_screens_keep_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "a" / "x.parquet", made_rows(levels(AU12=SMILE)))
    write_openface(tmp_path / "b" / "x.csv", levels(AU12=SMILE * 0.5))
    monkeypatch.setattr("aucli.cli.score_tables.PIPED_WIDTH", 80)
    _, out, _ = run(tmp_path / "a", tmp_path / "b")
    (line,) = [line for line in out.splitlines() if line.strip().startswith("AU12")]
    assert len(line) <= 80 and line.split()[:2] == ["AU12", "80"]
    assert line.split()[-1] == f"{SMILE.max() / 2:.2f}"


def test_a_path_that_tells_two_sides_apart_is_said_once(tmp_path: Path) -> None:
    for name in "ab":
        write_table(tmp_path / name / "x.csv", made_rows(levels(AU12=SMILE)))
    code, out, _ = run(tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv")
    assert code == 0
    assert "a is aucli 0 (a/x.csv) (intensity); b is aucli 0 (b/x.csv) (intensity). 1 video" in out
    _, out, _ = run(f"old={tmp_path / 'a'}", tmp_path / "b" / "x.csv")
    assert f"a is old ({tmp_path / 'a'}" in out


def test_a_name_without_a_path_is_refused() -> None:
    with pytest.raises(OptionError, match="=x is not NAME=TABLE; give both"):
        open_sides(["=x", "y"])


def test_nothing_is_scored_without_pairs() -> None:
    assert score_pairs([]).pooled == ()
