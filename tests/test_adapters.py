"""Every quirk of the datasets' layouts, on look-alikes; every mistake with its file and line."""

import shutil
from pathlib import Path

import lookalikes
import numpy as np
import pytest
from lookalikes import counting, landmarks66, write_text

from aucli.aus import DISFA_AUS
from aucli.datasets import disfa
from aucli.datasets.adapters import ADAPTERS, check, find_recordings, load_labels
from aucli.datasets.footage import FrameReader, Pictures
from aucli.errors import DataError


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One look-alike of each dataset; tests that change one copy it first."""
    folder = tmp_path_factory.mktemp("datasets")
    return {name: write(folder / name) for name, write in lookalikes.WRITERS.items()}


@pytest.fixture
def changed(roots: dict[str, Path], tmp_path: Path):
    """A copy of a look-alike that the test may damage."""
    return lambda name: Path(shutil.copytree(roots[name], tmp_path / name))


EXPECTED = {
    "disfa": (lookalikes.DISFA_SUBJECTS, 3, 6 + 5 + 6),
    "disfa-plus": (lookalikes.DISFA_PLUS_SUBJECTS, 6, 6 * 4),
    "bp4d": (lookalikes.BP4D_SUBJECTS, 6, 6 * 4),
    "bp4d-plus": (lookalikes.BP4D_SUBJECTS, 6, 6 * 4),
    "fera2017": (("TR_F001", "TR_M010", "VA_F001"), 3, 15),
    "unbc": (lookalikes.UNBC_SUBJECTS, 3, 12),
}


@pytest.mark.parametrize("dataset", EXPECTED)
def test_labels_of_every_dataset(roots: dict[str, Path], dataset: str) -> None:
    subjects, videos, rows = EXPECTED[dataset]
    labels = load_labels(dataset, roots[dataset])
    aus = ADAPTERS[dataset].aus
    assert list(labels.columns) == ["subject", "video", "frame_index", *aus]
    assert tuple(labels["subject"].unique()) == subjects
    assert (labels["video"].nunique(), len(labels)) == (videos, rows)
    assert {str(labels[au].dtype) for au in aus} == {"float32"}
    for row in labels.to_dict("records"):
        subject = row["subject"].removeprefix("TR_").removeprefix("VA_")
        for au in aus:
            frame = row["frame_index"]
            if dataset == "unbc" and frame == 0:
                assert row[au] == 0  # its file is empty
            elif dataset.startswith("bp4d") and (au, frame) == ("AU17", lookalikes.UNCODED):
                assert np.isnan(row[au])
            else:
                assert row[au] == counting(subject, au, frame), (row["video"], frame, au)


@pytest.mark.parametrize("dataset", EXPECTED)
def test_frames_of_every_dataset(roots: dict[str, Path], dataset: str) -> None:
    for recording in find_recordings(dataset, roots[dataset]):
        assert recording.frames is not None
        wanted = recording.labels.frame_index[::2]
        reader = FrameReader(recording.frames, wanted)
        batches = list(reader)
        assert np.concatenate([b.frame_index for b in batches]).tolist() == wanted.tolist()
        assert batches[0].frames.shape[1:] == (64, 96, 3)
        assert recording.too_short(reader.total) is None
        assert recording.too_short(int(recording.labels.frame_index[-1])) is not None


@pytest.mark.parametrize("dataset", EXPECTED)
def test_check_names_only_the_subjects_that_are_not_there(roots, dataset: str) -> None:
    found = EXPECTED[dataset][0]
    missing = [s for s in ADAPTERS[dataset].subjects if s not in found]
    problems = check(dataset, roots[dataset])
    assert problems == [
        f"{subject} is missing in {roots[dataset]}; copy it from the dataset."
        for subject in missing
    ]


# The layouts


def test_disfa_drops_the_bad_frames(tmp_path: Path) -> None:
    lookalikes.disfa_labels(tmp_path, "SN001", 430)
    labels = load_labels("disfa", tmp_path)  # the videos are not needed
    numbers = (labels["frame_index"] + 1).tolist()
    assert numbers == [*range(1, 398), *range(421, 431)]
    bad = find_recordings("disfa", tmp_path)[0].bad + 1
    assert bad.tolist() == list(range(398, 421))
    assert sum(b - a + 1 for a, b in disfa.BAD_RANGES["SN021"]) == 3052


def test_disfa_right_camera(roots: dict[str, Path]) -> None:
    found = find_recordings("disfa", roots["disfa"], camera="right")
    assert [str(r.frames).rpartition("/")[2] for r in found] == [
        "RightVideoSN001_Comp.avi", "RightVideoSN010_comp.avi", "RightVideoSN031_comp.avi"
    ]  # fmt: skip
    assert [r.landmarks for r in found] == [None, None, None]


@pytest.mark.parametrize("nested", [True, False])
def test_disfa_landmarks(roots: dict[str, Path], changed, nested: bool) -> None:
    root = roots["disfa"]
    if not nested:
        root = changed("disfa")
        (root / "Landmark_Points" / "Landmark_Points").rename(root / "points")
        (root / "Landmark_Points").rmdir()
        (root / "points").rename(root / "landmark_points")
    for recording in find_recordings("disfa", root):
        assert recording.landmarks is not None
        for index in (0, 4):
            points = recording.landmarks(index)
            assert points is not None and points.shape == (68, 2)
            kept = np.delete(points, [60, 64], axis=0)
            assert kept == pytest.approx(landmarks66(index), abs=1e-5)
            assert points[48, 0] < points[60, 0] < points[61, 0]
            assert points[63, 0] < points[64, 0] < points[54, 0]
        assert recording.landmarks(6) is None


def test_au_files_are_not_sorted_by_letter(roots: dict[str, Path]) -> None:
    first = load_labels("disfa", roots["disfa"]).iloc[0]
    assert [first[au] for au in DISFA_AUS] == [(1 + int(au[2:])) % 6 for au in DISFA_AUS]


def test_bp4d_in_the_layout_of_fera_2015(tmp_path: Path, roots: dict[str, Path]) -> None:
    lookalikes.bp4d(tmp_path / "fera", fera2015=True)
    ours, theirs = (load_labels("bp4d", r) for r in (tmp_path / "fera", roots["bp4d"]))
    assert ours.equals(theirs)


def test_bp4d_frames_are_places_among_the_pictures(roots: dict[str, Path]) -> None:
    recording = find_recordings("bp4d", roots["bp4d"])[0]
    assert recording.video == "F001_T1"
    assert recording.labels.numbers.tolist() == [11, 12, 13, 14]
    assert recording.labels.frame_index.tolist() == [2, 3, 4, 5]
    # 9.jpg is before 10.jpg.
    assert isinstance(recording.frames, Pictures)
    assert [path.name for path in recording.frames.files][:2] == ["9.jpg", "10.jpg"]


def test_fera2017_views(roots: dict[str, Path]) -> None:
    assert find_recordings("fera2017", roots["fera2017"])[0].video == "FERA17_TR_F001_T1_6"
    other = find_recordings("fera2017", roots["fera2017"], camera="5")
    assert [r.video for r in other] == [
        "FERA17_TR_F001_T1_5", "FERA17_TR_M010_T1_5", "FERA17_VA_F001_T1_5"
    ]  # fmt: skip


def test_unbc_landmarks(roots: dict[str, Path]) -> None:
    recording = find_recordings("unbc", roots["unbc"])[0]
    assert recording.landmarks is not None
    points = recording.landmarks(2)
    assert points is not None
    assert np.delete(points, [60, 64], axis=0) == pytest.approx(landmarks66(2), abs=1e-5)


def test_unbc_without_a_label_file_is_not_coded(changed) -> None:
    root = changed("unbc")
    path = next(root.glob("Frame_Labels/FACS/*/ll042t1aaaff/*002_facs.txt"))
    path.unlink()
    labels = load_labels("unbc", root)
    assert labels[labels["video"] == "ll042t1aaaff"]["frame_index"].tolist() == [0, 2, 3]


# Mistakes


def first_problem(dataset: str, root: Path) -> str:
    with pytest.raises(DataError) as told:
        load_labels(dataset, root)
    sentence = str(told.value)
    assert sentence in check(dataset, root)
    assert sentence.count("\n") == 0 and sentence.endswith(".")
    return sentence


@pytest.mark.parametrize(
    ("line", "text", "told"),
    [
        (3, "3,x", "'3,x' is not a frame and its intensity; restore the file."),
        (3, "3", "'3' is not a frame and its intensity; restore the file."),
        (2, "2,6", "the intensity 6 is not 0-5; restore the file."),
        (2, "2,9", "the intensity 9 is not 0-5; restore the file."),
        (2, "2,-1", "the intensity -1 is not 0-5; restore the file."),
        (2, "2,nan", "the intensity nan is not 0-5; restore the file."),
        (4, "2,1", "frame 2 was already labelled in line 2; restore the file."),
        (1, "0,1", "frames are numbered from 1, not 0; restore the file."),
    ],
)
def test_wrong_label_lines(changed, line: int, text: str, told: str) -> None:
    root = changed("disfa")
    path = root / "ActionUnit_Labels/SN010/SN010_au1.txt"
    lines = path.read_text().split()
    lines[line - 1] = text
    write_text(path, lines)
    assert first_problem("disfa", root) == f"{path}, line {line}: {told}"


def test_wrong_lines_of_the_other_formats(changed) -> None:
    root = changed("bp4d")
    path = write_text(root / "AUCoding/AU_INT/AU10/F002_T2_AU10.csv", ["11,2", "12,7"])
    assert first_problem("bp4d", root) == (
        f"{path}, line 2: the intensity 7 is not 0-5 or 9 (unscorable); restore the file."
    )
    write_text(path, ["frame,intensity", "12,2"])
    assert first_problem("bp4d", root).startswith(f"{path}, line 1: 'frame,intensity' is not a")
    root = changed("disfa-plus")
    path = write_text(root / "Labels/SN003/A1_AU1_TrailNo_1/AU4.txt", ["# a", "# b", "0.jpg 3 3"])
    assert first_problem("disfa-plus", root).startswith(f"{path}, line 3: '0.jpg 3 3' is not")
    root = changed("unbc")
    path = next(root.glob("Frame_Labels/FACS/*/ll042t1aaaff/*003_facs.txt"))
    write_text(path, ["  4.0e+00 2.0e+00 0 0", "  6.0e+00 7.0e+00 0 0"])
    assert first_problem("unbc", root) == (
        f"{path}, line 2: the intensity 7 is not 0-5; restore the file."
    )
    write_text(path, ["6 2"])
    assert first_problem("unbc", root) == (
        f"{path}, line 1: '6 2' is not an AU, its intensity, onset and offset; restore the file."
    )


def test_labels_without_a_picture(changed) -> None:
    root = changed("bp4d")
    for number in (13, 14):
        (root / f"Sequences_2D+3D/M010/T1/{number}.jpg").unlink()
    path = root / "AUCoding/AU_INT/AU06/M010_T1_AU06.csv"
    assert first_problem("bp4d", root) == (
        f"{path}, line 3: frame 13 has no picture in {root}/Sequences_2D+3D/M010/T1, "
        "nor have 1 more; copy the pictures again."
    )


def test_pictures_that_are_not_numbered(changed) -> None:
    root = changed("disfa-plus")
    folder = root / "Images/SN003/A1_AU1_TrailNo_1"
    (folder / "000.jpg").rename(folder / "first.jpg")
    assert first_problem("disfa-plus", root) == (
        f"{folder} holds the picture first.jpg, whose name is no frame number; take it away."
    )


def test_missing_files(changed) -> None:
    root = changed("disfa")
    path = root / "ActionUnit_Labels/SN010/SN010_au9.txt"
    path.unlink()
    assert first_problem("disfa", root) == f"{path} is missing; copy it from the dataset."
    shutil.rmtree(path.parent)
    assert first_problem("disfa", root) == f"{path.parent} is missing; copy it from the dataset."
    root = changed("bp4d")
    shutil.rmtree(root / "Sequences_2D+3D/F001/T1")
    assert first_problem("bp4d", root) == (
        f"{root}/Sequences_2D+3D/F001/T1 is missing; copy it from the dataset."
    )
    root = changed("bp4d-plus")
    (root / "2D+3D/F001.zip").unlink()
    assert first_problem("bp4d-plus", root) == (
        f"{root}/2D+3D/F001.zip is missing; copy it from the dataset."
    )
    (root / "2D+3D/F001.zip").write_bytes(b"no zip")
    assert first_problem("bp4d-plus", root) == (
        f"{root}/2D+3D/F001.zip cannot be read as a zip; copy it again."
    )


def test_films_that_are_missing_or_too_short(changed) -> None:
    root = changed("disfa")
    lookalikes.write_film(
        root / "Videos_LeftCamera/LeftVideoSN001_comp.avi", [lookalikes.gray("", 0)] * 4
    )
    (root / "Videos_LeftCamera/LeftVideoSN031_comp.avi").unlink()
    assert len(load_labels("disfa", root)) == 17
    problems = [p for p in check("disfa", root) if " is missing in " not in p]
    assert problems == [
        f"{root}/ActionUnit_Labels/SN001/SN001_au1.txt, line 5: frame 5 is labelled, but "
        f"{root}/Videos_LeftCamera/LeftVideoSN001_comp.avi ends after 4 frames; "
        "copy the video again.",
        f"{root}/Videos_LeftCamera holds no LeftVideoSN031_comp.avi; copy it from the dataset.",
    ]


@pytest.mark.parametrize(
    ("dataset", "lacks"),
    [
        ("disfa", "ActionUnit_Labels"),
        ("disfa-plus", "Labels"),
        ("bp4d", "AUCoding/AU_INT"),
        ("bp4d-plus", "AUCoding/AU_INT"),
        ("fera2017", "int"),
        ("unbc", "Frame_Labels"),
    ],
)
def test_wrong_folder(tmp_path: Path, dataset: str, lacks: str) -> None:
    title = ADAPTERS[dataset].title
    with pytest.raises(DataError) as told:
        check(dataset, tmp_path)
    assert str(told.value) == (
        f"{tmp_path} holds no folder {lacks}; give the folder that holds {title}."
    )
    with pytest.raises(DataError, match=f"is no folder; give the folder that holds .*{title[-2:]}"):
        load_labels(dataset, tmp_path / "nothing")


def test_wrong_names(roots: dict[str, Path]) -> None:
    root = roots["disfa"]
    with pytest.raises(DataError, match="DISFA has no camera 'top'; there are left, right"):
        find_recordings("disfa", root, camera="top")
    with pytest.raises(DataError, match="BP4D has no camera 'left'; there is only one"):
        find_recordings("bp4d", roots["bp4d"], camera="left")
    with pytest.raises(DataError, match="has no subject SN002, SN099; give others"):
        find_recordings("disfa", root, subjects=["SN099", "SN001", "SN002"])
    with pytest.raises(DataError, match="There is no dataset 'disfa3'"):
        load_labels("disfa3", root)
    assert [r.subject for r in find_recordings("disfa", root, subjects=["SN010"])] == ["SN010"]


def test_an_empty_folder_of_the_right_shape(tmp_path: Path) -> None:
    (tmp_path / "ActionUnit_Labels").mkdir()
    with pytest.raises(DataError, match="holds no recording of DISFA; give its folder"):
        find_recordings("disfa", tmp_path)
