"""Stills: every picture of a file, upright, in sRGB and 8 bits; damage is told."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from bright_faces import NONE, ONE, TWO, tiny_analyzer, tiny_networks, write_clip
from PIL import Image, ImageCms
from typer.testing import CliRunner
from video_clips import picture, read

from aucli import analyzer
from aucli.cli import app
from aucli.errors import InputError, LibraryError, PassingError
from aucli.pipeline import workers
from aucli.table.reading import read_table
from aucli.table.writer import read_provenance
from aucli.video import stills
from aucli.video.source import ImageSource, open_video
from aucli.video.stills import IMAGE_SUFFIXES, image_files, read_image, to_eight_bits

COLOURS = [(40 * i, 100, 50) for i in range(5)]


def page(i: int) -> Image.Image:
    """Of a colour of its own; a copy, because Pillow notes in an image how it was saved."""
    return Image.new("RGB", (32, 24), COLOURS[i])


def save_all(path: Path, **options: Any) -> Path:
    page(0).save(path, save_all=True, append_images=[page(i) for i in range(1, 5)], **options)
    return path


def message(path: Path) -> str:
    with pytest.raises(InputError) as error:
        open_video(path)
    return str(error.value).removeprefix(str(path))


# Several pictures in one file.


def test_every_page_of_a_tiff_is_a_picture(tmp_path):
    found = read(save_all(tmp_path / "a.tif"))
    assert found.frames[:, 0, 0].tolist() == [list(colour) for colour in COLOURS]
    assert np.isnan(found.seconds).all()
    assert (found.index.tolist(), found.info.declared_frames) == ([0, 1, 2, 3, 4], 5)
    assert open_video(tmp_path / "a.tif").unrelated


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path):
    from PIL.TiffImagePlugin import AppendingTiffWriter

    with AppendingTiffWriter(str(tmp_path / "a.tif"), new=True) as writer:
        for kind in (0, 1, 0):
            page(kind).save(writer, "TIFF", tiffinfo={254: kind})
            writer.newFrame()
    assert len(read(tmp_path / "a.tif").frames) == 2


@pytest.mark.parametrize("name", ["a.png", "a.apng", "a.webp"])
def test_an_animation_is_a_film(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {"format": "PNG"}
    path = save_all(tmp_path / name, duration=[40, 50, 60, 70, 80], **options)
    with open_video(path, batch_size=2) as source:
        assert not source.unrelated
        batches = list(source)
    assert [len(batch) for batch in batches] == [2, 2, 1]
    frames = np.concatenate([batch.frames for batch in batches])
    assert frames[:, 0, 0].tolist() == [list(colour) for colour in COLOURS]
    seconds = np.concatenate([batch.pts_seconds for batch in batches])
    assert seconds.tolist() == pytest.approx([0, 0.04, 0.09, 0.15, 0.22])


def test_an_animation_without_times_moves_on(tmp_path):
    found = read(save_all(tmp_path / "a.png", duration=0))
    assert found.seconds.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_the_cover_of_an_animation_is_no_frame(tmp_path):
    found = read(save_all(tmp_path / "a.png", duration=40, default_image=True))
    assert found.frames[:, 0, 0].tolist() == [list(colour) for colour in COLOURS[1:]]


def test_in_a_folder_every_picture_of_every_file_has_a_row(tmp_path):
    save_all(tmp_path / "1.tif")
    (tmp_path / "2.png").write_text("no image")
    save_all(tmp_path / "3.png", duration=40)
    page(4).save(tmp_path / "4.bmp")
    found = read(tmp_path)
    assert found.index.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert np.isnan(found.seconds).all()
    assert (found.info.declared_frames, found.report.corrupt_packets) == (4, 1)


def test_a_damaged_first_picture_does_not_cost_the_folder(tmp_path):
    (tmp_path / "1.png").write_text("no image")
    page(1).save(tmp_path / "2.png")
    found = read(tmp_path)
    assert (found.index.tolist(), found.report.corrupt_packets) == ([1], 1)


@pytest.mark.parametrize(
    ("number", "reason", "kind"),
    [(13, "Permission denied", PassingError), (22, "Invalid argument", InputError)],
)
def test_a_picture_that_the_system_refuses_is_not_at_fault(
    tmp_path, monkeypatch, number, reason, kind
):
    (tmp_path / "1.png").write_text("no picture")
    Image.new("RGB", (16, 16)).save(tmp_path / "2.png")

    def refuse(file: Any, *rest: Any, real: Any = open) -> Any:
        if str(file).endswith("2.png"):
            raise OSError(number, reason)
        return real(file, *rest)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError) as raised:
        open_video(tmp_path)
    assert type(raised.value) is kind
    told = f"{tmp_path}/2.png cannot be read (Permission denied); check the file."
    assert (str(raised.value) == told) is (kind is PassingError)


def test_large_pictures_behind_a_small_one_fill_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("aucli.video.source.MAX_BATCH_BYTES", 5000)
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    for i in range(2, 6):
        Image.new("RGB", (32, 24)).save(tmp_path / f"{i}.png")
    with open_video(tmp_path) as source:
        assert [len(batch) for batch in source] == [1, 2, 2]


# Kinds of files.


@pytest.mark.parametrize(
    "suffix", [".avif", ".jfif", ".jpe", ".jp2", ".pgm", ".ppm", ".qoi", ".tga"]
)
def test_rarer_kinds_are_read(tmp_path, suffix):
    assert suffix in IMAGE_SUFFIXES
    image = Image.fromarray(picture(3, 64, 48))
    grey = suffix == ".pgm"
    (image.convert("L") if grey else image).save(tmp_path / f"a{suffix}")
    wanted = np.array((image.convert("L") if grey else image).convert("RGB"))
    found = read(tmp_path / f"a{suffix}").frames[0]
    assert np.abs(found.astype(int) - wanted).mean() < 6


def test_pictures_of_maps_are_no_input(tmp_path):
    for name in ("x_frame000041_face0.png", "x_frame1000041_face-1.png", "frame000041.png"):
        (tmp_path / name).touch()
    assert [file.name for file in image_files(tmp_path)] == ["frame000041.png"]


def test_an_heic_photo_without_its_library_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    stills._with_heic.cache_clear()
    page(0).save(tmp_path / "2.png")
    for name in ("1.heic", "1.jpg"):  # telephones send them with either name
        photo = tmp_path / name
        photo.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
        for path in (photo, tmp_path):
            with pytest.raises(LibraryError) as error:
                open_video(path)
            assert str(error.value) == (
                f"{photo} is an HEIC photo, which needs pillow-heif; run "
                "`pip install 'aucli[heic]'`, or save the photo as JPEG."
            )
        photo.unlink()
    stills._with_heic.cache_clear()


def test_heic_photos(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    stills._with_heic.cache_clear()
    pillow_heif.register_heif_opener()
    image = picture(3, 64, 48)
    Image.fromarray(image).save(tmp_path / "a.heic", quality=95)
    found = read(tmp_path / "a.heic").frames
    assert len(found) == 1 and np.abs(found[0].astype(int) - image).mean() < 6


# Pixels.


@pytest.mark.parametrize(
    ("values", "wanted", "levels"),
    [
        (np.array([0, 200], np.uint16), [0, 200], "0 to 255"),
        (np.array([0, 512, 1000], np.uint16), [0, 128, 250], "0 to 1023"),
        (np.array([0, 2048, 4095], np.uint16), [0, 128, 255], "0 to 4095"),
        (np.array([0, 200 << 8], np.uint16), [0, 200], "0 to 65535"),
        (np.array([0, 70000], np.int32), [0, 68], "0 to 262143"),
        (np.array([-100, 0, 100], np.int32), [0, 128, 255], "-100 to 100"),
        (np.array([0, 0.5, 1], np.float32), [0, 128, 255], "0 to 1"),
        (np.array([0, 255, np.nan], np.float32), [0, 255, 0], "0 to 255"),
        (np.array([0, 65535], np.float32), [0, 255], "0 to 65535"),
        (np.array([-1, 1], np.float32), [0, 255], "-1 to 1"),
        (np.array([7, 7], np.float32), [7, 7], "0 to 255"),
    ],
)
def test_deep_pixels_keep_their_range(values, wanted, levels):
    found, note = to_eight_bits(values)
    assert found.dtype == np.uint8
    assert (found.tolist(), note) == (wanted, f"grey values {levels} became 0 to 255.")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_twelve_bits_in_a_file_of_sixteen_are_not_black(tmp_path, name):
    Image.fromarray(np.full((4, 6), 3000, np.uint16)).save(tmp_path / name)
    found = read(tmp_path / name)
    np.testing.assert_array_equal(found.frames, np.full((1, 4, 6, 3), 187))
    assert found.report.notes == ("grey values 0 to 4095 became 0 to 255.",)


def test_tables_and_the_user_are_told_of_deep_pixels(tmp_path, monkeypatch):
    models = tiny_networks()
    monkeypatch.setattr(analyzer, "load_networks", lambda options: models)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((48, 64), 3000, np.uint16)).save("a.png")
    result = CliRunner().invoke(app, ["analyze", "a.png", "--threads", "1"])
    assert result.exit_code == 0
    assert "warning: a.png: grey values 0 to 4095 became 0 to 255.\n" in result.stderr
    notes = read_provenance("a.parquet")["input"]["notes"]
    assert notes == ["grey values 0 to 4095 became 0 to 255."]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures_are_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture(3, 64, 48)
    Image.fromarray(image).save(tmp_path / f"a{suffix}", exif=exif)
    turned = {
        1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1],
        5: image.swapaxes(0, 1), 6: np.rot90(image, -1),
        7: image[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(image),
    }  # fmt: skip
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), turned[orientation])


def test_damaged_side_information_costs_no_picture(tmp_path):
    image = Image.fromarray(picture(3, 64, 48))
    image.save(tmp_path / "a.jpg")
    wanted = read_image(tmp_path / "a.jpg")
    image.save(tmp_path / "b.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", icc_profile=b"x" * 200)
    np.testing.assert_array_equal(read_image(tmp_path / "b.jpg"), wanted)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path, mode):
    clear = {"RGBA": (10, 20, 30, 0), "LA": (10, 0), "P": 0}[mode]
    options: dict[str, Any] = {"transparency": 0} if mode == "P" else {}
    Image.new(mode, (4, 4), clear).save(tmp_path / "a.png", **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.full((4, 4, 3), 255))


def test_colours_become_srgb(tmp_path):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    wanted = np.array(page(4))
    in_lab = ImageCms.profileToProfile(page(4), srgb, lab, outputMode="LAB")
    assert in_lab is not None
    in_lab.save(tmp_path / "lab.tif")
    assert np.abs(read_image(tmp_path / "lab.tif").astype(int) - wanted).max() <= 2
    page(4).convert("CMYK").save(tmp_path / "cmyk.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "cmyk.tif"), wanted)
    Image.new("1", (4, 4), 1).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bit.png"), np.full((4, 4, 3), 255))
    profile = ImageCms.ImageCmsProfile(srgb).tobytes()
    page(4).save(tmp_path / "srgb.png", icc_profile=profile)
    np.testing.assert_array_equal(read_image(tmp_path / "srgb.png"), wanted)
    # The same numbers with red and blue of the profile exchanged are another colour.
    red, blue = (profile.index(tag, 128) for tag in (b"rXYZ", b"bXYZ"))
    exchanged = bytearray(profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be")))
    exchanged[red : red + 4], exchanged[blue : blue + 4] = b"bXYZ", b"rXYZ"
    page(4).save(tmp_path / "other.png", icc_profile=bytes(exchanged))
    assert read_image(tmp_path / "other.png")[0, 0].tolist() != wanted[0, 0].tolist()


# Damage and size.


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".ppm"])
def test_a_cut_picture_is_damage_and_not_grey(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert message(path) == " is damaged, its picture ends too early; copy it again."


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path):
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    assert message(tmp_path / "bomb.png") == (
        " has frames of 20000 x 20000 pixels, more than max_pixels=100000000; make it "
        "smaller, or copy it again if that size is wrong."
    )
    Image.new("1", (9500, 9500)).save(tmp_path / "large.png")  # of which Pillow warns
    assert read_image(tmp_path / "large.png").shape == (9500, 9500, 3)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match="32 x 24 pixels, more than max_pixels=700"):
        ImageSource(tmp_path, [save_all(tmp_path / "a.tif")], 2, max_pixels=700)
    assert limit == Image.MAX_IMAGE_PIXELS


# Names of the pictures of a folder.


@pytest.fixture
def album(tmp_path, monkeypatch):
    """A current folder with a folder of pictures, of which one cannot be read, and a film."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analyzer, "load_networks", lambda options: tiny_networks())
    monkeypatch.setattr(workers, "MODULE", "bright_worker")
    folder = tmp_path / "album"
    folder.mkdir()
    for name, gray in (("eva 2.png", ONE), ("eva 10.png", TWO), ("nobody.png", NONE)):
        Image.new("RGB", (96, 64), (gray, gray, gray)).save(folder / name)
    (folder / "eva 3.png").write_text("no picture")
    write_clip(tmp_path / "film.mp4", [ONE] * 2)
    return folder


NAMED = [(1, "eva 2.png"), (3, "eva 10.png"), (3, "eva 10.png"), (4, "nobody.png")]


def analyze(*arguments):
    return CliRunner().invoke(app, ["analyze", "--threads", "1", "--faces", "all", *arguments])


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl", "openface"])
def test_every_row_names_its_picture(album, form):
    result = analyze("album", "film.mp4", "--format", form, "-o", "out/")
    suffix = "csv" if form == "openface" else form
    assert result.exit_code == 1
    assert (
        "warning: album: 1 picture not read (eva 3.png); the rows that could be decoded are in "
        f"out/album.{suffix}."
    ) in result.stderr
    table = read_table(album.parent / f"out/album.{suffix}")
    assert [*zip(table["frame"], table["picture"], strict=True)] == NAMED
    assert "picture" not in read_table(album.parent / f"out/film.{suffix}")


@pytest.mark.parametrize("out", ["all.csv", "all.parquet", "-"])
def test_one_table_of_pictures_and_films_names_the_pictures(album, out):
    result = analyze("film.mp4", "album", "-o", out, *(["--format", "csv"] if out == "-" else []))
    if out == "-":
        out = "streamed.csv"
        Path(out).write_text(result.stdout)
    table = read_table(Path(out))
    assert table.loc[table["video"] == "film.mp4", "picture"].fillna("").to_list() == ["", ""]
    pictures = table[table["video"] == "album"]
    assert [*zip(pictures["frame"], pictures["picture"], strict=True)] == NAMED


def test_python_warns_of_what_a_folder_holds_beside_its_pictures(album, recwarn):
    analyzer = tiny_analyzer()
    analyzer.frame("album")
    analyzer.tables(".", out="tables")
    assert not recwarn.list
    shutil.copy("film.mp4", album / "film.mp4")
    with pytest.warns(UserWarning) as caught:
        table = analyzer.frame("album")
    assert str(caught[0].message) == (
        "album is read as its pictures; it holds 1 more input (film.mp4) that `Analyzer.tables` "
        "would read."
    )
    assert [*zip(table["frame"], table["picture"], strict=True)] == NAMED


def test_a_dataset_of_pictures_and_films_has_the_same_columns(album):
    analyze("film.mp4", "album", "-o", "set/", "--format", "dataset")
    parts = sorted(Path("set").glob("input=*/part-0.parquet"))
    schemas = [pq.read_schema(part).remove_metadata() for part in parts]
    assert len(parts) == 2 and schemas[0] == schemas[1] and "picture" in schemas[0].names


def test_python_names_the_pictures(album):
    table = tiny_analyzer(faces="all").frame(album)
    assert [*zip(table["frame"], table["picture"], strict=True)] == NAMED
    assert "picture" not in tiny_analyzer().frame(album / "eva 2.png")


def test_many_pictures_that_cannot_be_read_are_counted(album):
    for i in range(7):
        (album / f"z{i}.png").write_text("no picture")
    said = analyze("album", "-q").stderr
    assert "8 pictures not read (eva 3.png, z0.png, z1.png, z2.png, z3.png, ...);" in said
