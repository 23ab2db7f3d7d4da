"""``aucli.analyze``: a video as a pandas table, for notebooks and scripts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from aucli.pipeline.analysis import AnalyzeOptions, analyze_video
from aucli.pipeline.loading import load_models
from aucli.pipeline.neutral import measure_neutral

if TYPE_CHECKING:
    import pandas as pd

Group = Literal["sides", "places", "presence", "landmarks"]


def analyze(
    path: Path | str,
    *,
    profile: Literal["builtin", "accurate"] = "builtin",
    model: str | None = None,
    detector: str | None = None,
    landmarks: str | None = None,
    faces: str | int = "largest",
    every: int = 1,
    device: str = "auto",
    calibrate: str | None = None,
    groups: Sequence[Group] = (),
) -> "pd.DataFrame":
    """AU intensities of a video, a picture or a folder of pictures: one row a face and frame.

    profile: which networks; model, detector, landmarks name others than the profile's, see
    :mod:`aucli.pipeline.loading`. faces: 'largest', 'all' or a number. every: analyse each Nth
    frame. calibrate: subtract a person's baseline, ``median``, ``neutral=10-40`` ..., see
    :mod:`aucli.pipeline.calibration`. groups: more columns. The columns are those of
    :mod:`aucli.table.schema`; ``face_id`` and ``AU.._c`` are nullable integers.
    ``attrs["provenance"]``
    tells how the rows came to be; a damaged file says so in ``attrs["provenance"]["input"]``.

    Raises:
        InputError: the file is missing, or nothing in it can be decoded; ``calibrate`` cannot be
            understood, or the neutral frames show no face.
        WeightsError: a network's weights are not there or altered.
    """
    import pandas as pd

    options = AnalyzeOptions(
        profile=profile,
        model=model,
        detector=detector,
        landmarks=landmarks,
        faces=str(faces),
        every=every,
        device=device,
        calibrate=calibrate,
        sides="sides" in groups,
        places="places" in groups,
        presence="presence" in groups,
        landmarks_xy="landmarks" in groups,
    )
    models = load_models(options)
    neutral = measure_neutral(models, options)
    with analyze_video(path, models, options, neutral=neutral) as analysis:
        table = pa.Table.from_batches(analysis, analysis.columns.schema())
        provenance = analysis.provenance()
    nullable = {pa.int32(): pd.Int32Dtype(), pa.int8(): pd.Int8Dtype()}
    frame = table.to_pandas(types_mapper=nullable.get)
    frame.attrs["provenance"] = provenance
    return frame
