"""``aucli overlay``: a video with what its table says drawn into it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aucli.cli import options as shared
from aucli.cli.command import examples
from aucli.errors import DataError
from aucli.words import counted

if TYPE_CHECKING:
    import pandas as pd

    from aucli.report.overlay import Cut, Made, OverlayOptions
    from aucli.report.readings import Readings

VOICE = "A voice identifies a person as a face does; --no-sound leaves it out."
EXAMPLES = examples(
    "aucli analyze clip.mp4 --places --sides",
    "aucli overlay clip.mp4 clip.parquet",
    "aucli overlay clip.mp4 clip.parquet --aus 6,12,25 -o smile.mp4",
    "aucli overlay clip.mp4 clip.parquet --aus 12 --clips smiles",
    "aucli overlay clip.mp4 clip.parquet --anonymise --alone --no-sound",
)


def overlay(
    video: Annotated[
        Path, typer.Argument(metavar="VIDEO", help="A video, a picture or a folder of pictures.")
    ],
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="Its table, as aucli analyze wrote it.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A film that ends in .mp4, or a folder. Default: VIDEO's name with .overlay.mp4, "
            "in the current folder; of a picture with .overlay.png.",
        ),
    ] = None,
    aus: Annotated[
        str | None,
        typer.Option(
            metavar="AU,AU...",
            help="Whose bars are shown: 6,12,25, or all. Default: the eight strongest.",
        ),
    ] = None,
    face: Annotated[
        int | None,
        typer.Option(
            metavar="ID", min=0, help="Whose bars are shown. Default: the face that is there most."
        ),
    ] = None,
    landmarks: Annotated[
        bool,
        typer.Option("--landmarks", help="Draw the 68 landmarks of a table with --landmarks-xy."),
    ] = False,
    anonymise: Annotated[
        bool,
        typer.Option(
            "--anonymise",
            "--anonymize",
            help="Hide the heads for good. Where a face is lost, its last place is hidden for 1 s, "
            "then the whole frame. The table must have --faces all.",
        ),
    ] = False,
    alone: Annotated[
        bool,
        typer.Option(
            "--alone",
            help="With --anonymise: nobody but the people in the table is to be seen.",
        ),
    ] = False,
    clips: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write a clip of each event of the AUs that have bars, by the rule of 'aucli "
            "events', with a second before and after it. Without --out, no whole film.",
        ),
    ] = None,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Leave the sound out.")] = False,
    start: Annotated[
        float | None,
        typer.Option(metavar="TIME", parser=shared.seconds, help="Begin at this time: 90 or 1:30."),
    ] = None,
    end: Annotated[
        float | None,
        typer.Option(metavar="TIME", parser=shared.seconds, help="End at this time."),
    ] = None,
    other_copy: Annotated[
        bool,
        typer.Option(
            "--other-copy",
            help="VIDEO is a smaller or converted copy of the one that was analyzed: find the rows "
            "by their times.",
        ),
    ] = False,
    overwrite: shared.Overwrite = False,
    quiet: shared.Quiet = False,
) -> None:
    """Draw a table into its video: faces, where their AUs act, bars, and the last seconds.

    The film is an MP4 with the times and the sound of the video, as far as the table goes. Nothing
    else of the file is copied: no title, no place, no date. Dots and places need a table of
    'aucli analyze --places --sides'. In the bars, the person's left stands over the right.
    """
    import pandas as pd

    from aucli.cli.console import note, progress_bar, warn
    from aucli.files import shown
    from aucli.report import overlay as engine
    from aucli.report import sources
    from aucli.report.readings import to_readings
    from aucli.table.dataset import refuse_taken
    from aucli.table.reading import choose_aus, read_table

    _check(anonymise, alone, landmarks, other_copy, start, end)
    name = Path(os.path.abspath(video)).name
    stem = name if video.is_dir() else Path(name).stem
    target, is_file = _target(stem, out)
    if clips is not None and out is None:
        target = None
    rows = sources.rows_of(read_table(table), video, table)
    told = _provenance(table)
    source = sources.source_of(told, video)
    if anonymise:
        _require_faces(told, source, table, alone)
    if not other_copy and not sources.is_source(source, video):
        raise DataError(
            f"{shown(video)} is not the file that {shown(table)} was made of; give that one, or "
            "say --other-copy where it is a copy of it."
        )
    readings = to_readings(rows)
    named: tuple[str, ...] = ()
    if aus is not None:
        wanted = [] if aus.strip().lower() == "all" else aus.replace(" ", "").split(",")
        named = choose_aus(readings.aus, wanted, table)
    options = engine.OverlayOptions(
        bars=named,
        face=face,
        landmarks=landmarks,
        anonymise=anonymise,
        sound=not no_sound,
        start=start,
        end=end,
        by_time=other_copy,
    )
    cuts: list[Cut] = []
    if clips is not None:
        cuts = _clips(table, rows, readings, options, clips, stem)
        if out is None and not cuts:
            times = rows["timestamp"].unique()
            why = "no event of these AUs" if len(times) > 1 else "one frame alone has no events"
            if pd.isna(times).all():
                why = "pictures have no time, so they have no events"
            note(f"{shown(video.name)}: {why}, so no clip.")
            return
    films = [] if target is None else engine.possible_files(target, is_file)
    refuse_taken([*films, *(cut.file for cut in cuts)], [video, table], "film")
    if readings.places_px is None and not quiet:
        warn(
            f"{shown(table)} has no places, so no dots are drawn; analyze with --places --sides "
            "for them."
        )
    if landmarks and readings.landmarks_px is None and not quiet:
        warn(f"{shown(table)} has no landmarks; analyze with --landmarks-xy for them.")
    size = (source["width"], source["height"]) if {"width", "height"} <= set(source) else None
    with progress_bar(shown(video.name), quiet=quiet) as bar:
        from aucli.cli import stopping

        def on_frames(done: int, declared: int) -> None:
            stopping.check()
            bar.move(done, declared or None, f"frame {done}")

        made = engine.write_overlay(
            video,
            readings,
            target,
            options,
            clips=cuts,
            is_file=is_file,
            size_wh=size,
            overwrite=overwrite,
            on_frames=on_frames,
        )
    _tell(made, video, anonymise and made.sound, quiet)
    if made.damage:
        note(f"aucli: {shown(video)}: {made.damage}; the film has what could be decoded.")
        raise typer.Exit(1)


def _check(
    anonymise: bool,
    alone: bool,
    landmarks: bool,
    other_copy: bool,
    start: float | None,
    end: float | None,
) -> None:
    if alone and not anonymise:
        raise typer.BadParameter("it goes with --anonymise.", param_hint="--alone")
    if anonymise and landmarks:
        raise typer.BadParameter(
            "they show the form of the face, which --anonymise hides.", param_hint="--landmarks"
        )
    if anonymise and other_copy:
        raise typer.BadParameter(
            "in another copy the faces may be at other places and times, and --anonymise would "
            "miss them; analyze VIDEO itself.",
            param_hint="--other-copy",
        )
    if end is not None and end <= (start or 0):
        raise typer.BadParameter(
            f"{end:g} s is not after the start, {start or 0:g} s.", param_hint="--end"
        )


def _target(stem: str, out: str | None) -> tuple[Path | None, bool]:
    """Folder and start of the film's name, or its whole name, and which of them."""
    if out == "":
        raise typer.BadParameter("an empty name; name a film or a folder.", param_hint="--out")
    if out is None:
        return Path(stem), False
    path = Path(out)
    if out.endswith(("/", os.sep)) or path.is_dir():
        return path / stem, False
    if path.suffix.lower() not in (".mp4", ".png"):
        raise typer.BadParameter(
            f"{out!r}: end the name of a film in .mp4, of a picture in .png, or of a folder in /.",
            param_hint="--out",
        )
    return path, True


def _clips(
    table: Path,
    rows: "pd.DataFrame",
    readings: "Readings",
    options: "OverlayOptions",
    folder: Path,
    stem: str,
) -> "list[Cut]":
    """A clip for each event of the AUs that have bars, of the face that has them where named."""
    from aucli.report.clips import clips_of_events
    from aucli.report.overlay import shown_aus
    from aucli.report.study import read_faces

    video = rows["video"].iloc[0]
    faces = [
        face
        for face in read_faces(table)
        if face.video == video and options.face in (None, face.face_id)
    ]
    return list(clips_of_events(faces, shown_aus(readings, options), folder, stem))


def _provenance(table: Path) -> dict[str, Any]:
    """How the table came to be; empty for a text that was changed since."""
    from aucli.table.writer import read_provenance

    try:
        return read_provenance(table)
    except (OSError, ValueError):
        return {}


def _require_faces(told: dict[str, Any], source: dict[str, Any], table: Path, alone: bool) -> None:
    """Refuse to hide faces by a table that may lack some, or be of another video."""
    from aucli.files import shown

    if not source.get("sha256"):
        raise typer.BadParameter(
            f"{shown(table)} does not tell which file it was made of, or was changed since, so the "
            "faces may be elsewhere; analyze VIDEO again.",
            param_hint="--anonymise",
        )
    faces = told.get("options", {}).get("faces")
    if alone or faces == "all":
        return
    has = f"was made with --faces {faces}" if faces else "does not tell whose faces it has"
    raise typer.BadParameter(
        f"{shown(table)} {has}, so other people would stay visible; analyze with --faces all, or "
        "say --alone where nobody else is to be seen.",
        param_hint="--anonymise",
    )


def _tell(made: "Made", video: Path, voice: bool, quiet: bool) -> None:
    from aucli.cli.console import note, warn
    from aucli.files import shown

    if voice:
        warn(VOICE)
    if quiet:
        return
    for sentence in made.notes:
        note(f"{shown(video.name)}: {sentence}")
    frames = counted(made.frames, "frame")
    hidden = f", {made.hidden_whole} of them hidden as a whole" if made.hidden_whole else ""
    where = str(made.files[0])
    if len(made.files) > 1:
        what = "pictures" if made.files[0].suffix == ".png" else "films"
        where = f"{len(made.files)} {what}, {where} ..."
    note(f"{shown(video.name)}: {frames}{hidden} -> {where}")
