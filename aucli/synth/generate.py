"""Renders a labelled set into Parquet shards, in several processes or on other computers; resumable
and deterministic."""

import io
import json
import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from aucli.aus import SYNTHETIC_AUS
from aucli.errors import AucliError, DataError, OutputError
from aucli.files import sweep_parts, write_text, write_whole
from aucli.synth.face import FaceMaker, FaceSample, intensity_columns
from aucli.synth.families import GAZE_COLUMNS
from aucli.synth.loading import load_family
from aucli.synth.mesh import FaceMesh
from aucli.synth.names import BOTH, FAMILIES
from aucli.synth.renderer import RESOLUTION, Renderer

FORMAT_VERSION = 1
SHARD_SIZE = 256
FACES_PER_PERSON = 2
JPEG_QUALITY = 92
MANIFEST = "manifest.json"

# Calls a function for each shard elsewhere; shards and what came of them, as they are ready.
Engine = Callable[[Callable[[int], bytes], Sequence[int]], Iterator[tuple[int, bytes]]]


@dataclass(frozen=True, slots=True)
class SynthConfig:
    """What decides every pixel and label of a set."""

    count: int
    seed: int = 0
    shard_size: int = SHARD_SIZE
    resolution: int = RESOLUTION
    family: str = "ict"  # of FAMILIES, or BOTH

    @property
    def families(self) -> tuple[str, ...]:
        return FAMILIES if self.family == BOTH else (self.family,)

    def family_of(self, identity: int) -> str:
        """Which family a person of the set is of. Half of the people are of either."""
        names = self.families
        return names[np.random.default_rng((11, self.seed, identity)).integers(len(names))]

    @property
    def shard_count(self) -> int:
        return -(-self.count // self.shard_size)


def generate(
    sources: Mapping[str, Path],
    out: Path,
    config: SynthConfig,
    processes: int | None = None,
    on_progress: Callable[[int], None] = lambda faces: None,
    engine: Engine | None = None,
) -> int:
    """Render the shards of ``config`` that ``out`` lacks; returns how many faces were rendered.

    sources: where each family of ``config`` lies: ICT-FaceKit's folder, MakeHuman's wheel.
    processes: on this computer, by default one for each core. engine: renders in their place, as
    :class:`aucli.cluster.RayTasks`; the shards are the same. on_progress is called with the number
    of faces just finished or found. Shards appear whole or not at all, so a killed run continues
    where it stopped; more faces may be asked for later, and of fewer none is removed.
    Raises DataError where ``out`` holds a set made with other settings, or a source is missing or
    damaged; nothing is written then. OutputError where ``out`` cannot be written.
    """
    manifest = _checked_manifest(out, config)
    chosen = tuple((name, sources[name].absolute()) for name in config.families)
    for name, source in chosen:  # mistakes are found, and caches written, before any process
        load_family(name, source)
    try:  # not before: with a mistake no folder is left that is bound to these settings
        write_text(out / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}); name a folder.") from error
    # A shard that is made anew gets all the faces that the set ever had in it.
    whole = replace(config, count=int(str(manifest["count"])))
    todo = []
    for shard in range(config.shard_count):
        # One that ends early was cut short by the count of an earlier run.
        if _face_count(shard_path(out, shard)) >= len(_indices(whole, shard)):
            on_progress(len(_indices(config, shard)))
        else:
            todo.append(shard)
    render = partial(_render_shard, chosen, whole)
    rendered = 0
    try:
        if engine is None:
            found = _in_processes(render, out, todo, processes)
        else:
            found = _elsewhere(engine, render, out, todo)
        with closing(found):
            for shard in found:
                rendered += len(_indices(whole, shard))
                on_progress(len(_indices(config, shard)))
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error.strerror or error}); make room, or name another "
            "folder."
        ) from error
    return rendered


def _elsewhere(
    engine: Engine, render: Callable[[int], bytes], out: Path, todo: Sequence[int]
) -> Generator[int]:
    """The shards that are done, as they come."""
    for shard, data in engine(render, todo):
        with write_whole(shard_path(out, shard)) as stream:
            stream.write(data)
        yield shard


def _in_processes(
    render: Callable[[int], bytes], out: Path, todo: Sequence[int], processes: int | None
) -> Generator[int]:
    """The shards that are done, as they come. Raises AucliError where a process is killed."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    most = min(processes or os.cpu_count() or 1, max(1, len(todo)))
    pool = ProcessPoolExecutor(most, mp_context=context)
    futures: list[Future[int]] = []
    try:
        futures += (pool.submit(_write_shard, render, out, shard) for shard in todo)
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise AucliError(
            "a process that renders was stopped, mostly for want of memory; use fewer processes. "
            "Give the same command again to go on."
        ) from error
    finally:
        # Whoever stops us does not wait for the shards in work.
        for future in futures:
            future.cancel()
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        sweep_parts(out)


def shard_path(out: Path, shard: int) -> Path:
    return out / f"shard-{shard:05d}.parquet"


def _indices(config: SynthConfig, shard: int) -> range:
    start = shard * config.shard_size
    return range(start, min(start + config.shard_size, config.count))


def count_faces(out: Path) -> int:
    """How many faces a set holds."""
    return sum(map(_face_count, out.glob("shard-*.parquet")))


def _face_count(shard: Path) -> int:
    """How many faces a shard has: 0 where it is missing or damaged, so that it is made anew."""
    try:
        return pq.read_metadata(shard).num_rows
    except (OSError, pa.ArrowException):
        return 0


def _checked_manifest(out: Path, config: SynthConfig) -> dict[str, object]:
    """What is to stand in the manifest; its count never sinks, as faces stay in the folder.

    Raises DataError where ``out`` holds a set made with other settings.
    """
    manifest = {"version": FORMAT_VERSION, **asdict(config), "aus": list(SYNTHETIC_AUS)}
    path = out / MANIFEST
    if not path.exists():
        return manifest
    try:
        found = json.loads(path.read_text("utf-8"))
        most = max(int(found["count"]), config.count)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{path} cannot be read; use another out folder.") from error
    found.setdefault("family", "ict")  # sets made before there was another
    if {**found, "count": 0} != {**manifest, "count": 0}:
        raise DataError(
            f"{out} holds a set made with other settings (seed {found.get('seed')}, "
            f"{found.get('resolution')} px, family {found['family']}): use another "
            "out folder or the same settings."
        )
    return {**manifest, "count": most}


@cache
def _maker(family: str, source: Path, resolution: int) -> FaceMaker:
    return FaceMaker(Renderer(FaceMesh(load_family(family, source)), resolution))


def _write_shard(render: Callable[[int], bytes], out: Path, shard: int) -> int:
    with write_whole(shard_path(out, shard)) as stream:
        stream.write(render(shard))
    return shard


def _render_shard(sources: tuple[tuple[str, Path], ...], config: SynthConfig, shard: int) -> bytes:
    """The Parquet file of a shard: the same wherever it is rendered."""
    rows = []
    for index in _indices(config, shard):
        identity = index // FACES_PER_PERSON
        family = config.family_of(identity)
        maker = _maker(family, dict(sources)[family], config.resolution)
        rng = np.random.default_rng((config.seed, index))
        sample = maker.sample(config.seed * 10_000_000 + identity, rng)
        rows.append({"index": index, "identity": identity, **_row(sample)})
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, _schema()), stream, compression="zstd",
                   write_page_checksum=True)  # fmt: skip
    return stream.getvalue()


def _schema() -> pa.Schema:
    return pa.schema(
        [
            ("index", pa.int64()),
            ("identity", pa.int64()),
            ("rgb", pa.binary()),
            ("matte", pa.binary()),
            ("landmarks", pa.list_(pa.float32(), 136)),
            ("visible", pa.list_(pa.bool_(), 68)),
            *[(f"{au}_{side}", pa.float32()) for au in SYNTHETIC_AUS for side in "LR"],
            *[(f"pose_{axis}", pa.float32()) for axis in ("Rx", "Ry", "Rz")],
            ("gaze_x", pa.float32()),
            ("gaze_y", pa.float32()),
            *[(name, pa.float32()) for name in GAZE_COLUMNS],
            ("blink", pa.float32()),
            ("family", pa.string()),
            ("age", pa.string()),
            ("beard", pa.bool_()),
            ("glasses", pa.bool_()),
        ]
    )


def _row(sample: FaceSample) -> dict[str, object]:
    columns = intensity_columns(sample.intensities)
    return {
        "rgb": _encode(sample.rgba[..., :3], "JPEG", quality=JPEG_QUALITY, subsampling=0),
        "matte": _encode(sample.rgba[..., 3], "PNG", compress_level=3),
        "landmarks": sample.landmarks.ravel().tolist(),
        "visible": sample.visible.tolist(),
        **columns,
        **dict(zip(("pose_Rx", "pose_Ry", "pose_Rz"), sample.pose_radians.tolist(), strict=True)),
        "gaze_x": float(sample.gaze_radians[0]),
        "gaze_y": float(sample.gaze_radians[1]),
        **dict(zip(GAZE_COLUMNS, sample.gaze.ravel().tolist(), strict=True)),
        "blink": (columns["AU45_L"] + columns["AU45_R"]) / 10,
        "family": sample.family,
        "age": sample.age,
        "beard": sample.beard,
        "glasses": sample.glasses,
    }


def _encode(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()
