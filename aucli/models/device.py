"""Where networks run."""

from aucli.errors import OptionError


def resolve_device(name: str) -> str:
    """'auto' -> 'cuda' where there is one, else 'cpu'; other names are checked and kept.

    Raises OptionError for a device that is unknown or not there.
    """
    import torch  # takes seconds, which reading the options need not

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(f"device: '{name}' is not there; name auto, cpu or cuda.") from error
    return name
