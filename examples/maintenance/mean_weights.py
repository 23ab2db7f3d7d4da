"""The mean of the weights of two networks, of which one was trained on from the other.

    python examples/maintenance/mean_weights.py weights/builtin-landmarks RUN/weights --out MEAN

Networks are named by a path without suffix; .safetensors and .json lie there. MEAN is a new folder,
then a RUN for embed_weights.py; its card is that of the second network.
"""

import argparse
from pathlib import Path

import torch

from aucli.errors import AucliError, run_script
from aucli.weights.cards import load_weights, save_weights


def mean_into(other: torch.nn.Module, net: torch.nn.Module) -> None:
    """``net`` becomes the mean of both. Raises ValueError where they differ in layers or sizes."""
    theirs = other.state_dict()
    ours = net.state_dict()
    if {k: v.shape for k, v in theirs.items()} != {k: v.shape for k, v in ours.items()}:
        raise ValueError("the networks differ in layers or sizes")
    for name, value in ours.items():
        if value.is_floating_point():  # others count batches
            value.copy_((value + theirs[name]) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path, metavar="FIRST")
    parser.add_argument("second", type=Path, metavar="SECOND")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    arguments = parser.parse_args()
    try:
        first, second = (load_weights(path) for path in (arguments.first, arguments.second))
        mean_into(first.net, second.net)
        arguments.out.mkdir(parents=True)
    except (ValueError, AucliError, OSError) as error:
        parser.error(str(error))
    card = {key: value for key, value in second.card.items() if key not in ("sha256", "bytes")}
    print(save_weights(arguments.out / "weights", second.net, card))


if __name__ == "__main__":
    run_script(main)
