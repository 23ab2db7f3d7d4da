"""The baseline of a person from a video of the neutral face, measured once for all inputs."""

from dataclasses import replace

from aucli.errors import InputError
from aucli.pipeline.analysis import AnalyzeOptions, Models, analyze_video, sha256
from aucli.pipeline.calibration import Baseline, Readings, parse_calibration


def measure_neutral(models: Models, options: AnalyzeOptions) -> Baseline | None:
    """The median of the largest face over the video of ``options.calibrate``; None for other kinds.

    Raises InputError where the video cannot be read or shows no face.
    """
    if options.calibrate is None:
        return None
    video = parse_calibration(options.calibrate, options.faces).video
    if video is None:
        return None
    readings = Readings()
    plain = replace(options, calibrate=None)
    with analyze_video(video, models, plain, on_rows=readings.add) as analysis:
        for _ in analysis:
            pass
    baseline = readings.pooled()
    if baseline is None:
        raise InputError(f"{video} shows no face to take as neutral; name another video.")
    return replace(baseline, sha256=sha256(video))
