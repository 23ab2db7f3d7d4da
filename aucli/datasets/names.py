"""Names of the datasets, for the command line: nothing heavy is imported here."""

from aucli.errors import DataError, OptionError

# Each has a file of that name here; see :mod:`aucli.datasets.adapters`.
DATASETS = ("disfa", "disfa-plus", "bp4d", "bp4d-plus", "fera2017", "unbc")
SYNTHETIC = "synthetic"  # rendered faces, which nobody has to ask for


class UnknownName(DataError, OptionError):
    """A name or a number that a dataset does not have: a fold, a camera, a subject."""
