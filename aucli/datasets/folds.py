"""Published folds and splits as data, subject-disjoint, and the guard against shared people.

``jaanet``: three folds of DISFA and three of BP4D, as in JAA-Net's code and many papers since.
``ntinou``: three folds of DISFA with a validation part, Ntinou et al. 2021. ``arl``: one split of
DISFA. ``fera2015``: BP4D by odd and even numbers, as in the challenge's training and development
parts. ``five``: five folds of UNBC-McMaster. ``parts``: the challenge's own parts of FERA 2017.
``thirds``: ours, every third subject, for datasets without published folds.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from aucli.datasets.adapters import ADAPTERS, adapter
from aucli.datasets.bp4d_plus import SUBJECTS as BP4D_PLUS_SUBJECTS
from aucli.datasets.names import UnknownName
from aucli.errors import DataError


@dataclass(frozen=True, slots=True)
class Fold:
    """Subjects to train on, to choose by, and to report on; no subject is in two of them.

    validation is empty where the protocol has none: choose by a part of ``train``, never by
    ``test``.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        everyone = [*self.train, *self.validation, *self.test]
        twice = sorted({subject for subject in everyone if everyone.count(subject) > 1})
        if twice:
            raise ValueError(f"subjects in two parts of a fold: {', '.join(twice)}")


def _sn(*numbers: int) -> tuple[str, ...]:
    return tuple(f"SN{n:03d}" for n in numbers)


def _fm(women: Iterable[int], men: Iterable[int]) -> tuple[str, ...]:
    return (*(f"F{n:03d}" for n in women), *(f"M{n:03d}" for n in men))


def _rotated(parts: Mapping[str, tuple[str, ...]]) -> dict[str, Fold]:
    """Each part is tested once, by training on all others."""
    return {
        name: Fold(tuple(s for n, part in parts.items() if n != name for s in part), (), test)
        for name, test in parts.items()
    }


def _thirds(subjects: tuple[str, ...]) -> dict[str, Fold]:
    return _rotated({f"T{n + 1}": subjects[n::3] for n in range(3)})


def _all_but(dataset: str, test: tuple[str, ...]) -> Fold:
    return Fold(tuple(s for s in ADAPTERS[dataset].subjects if s not in test), (), test)


FOLDS: dict[str, dict[str, dict[str, Fold]]] = {
    "disfa": {
        "jaanet": _rotated(
            {
                "P1": _sn(1, 2, 9, 10, 16, 26, 27, 30, 32),
                "P2": _sn(6, 11, 12, 13, 18, 21, 24, 28, 31),
                "P3": _sn(3, 4, 5, 7, 8, 17, 23, 25, 29),
            }
        ),
        "ntinou": {
            "F0": Fold(
                _sn(24, 4, 23, 32, 18, 30, 3, 31, 13, 10, 11, 5),
                _sn(12, 25, 17, 2, 16, 21),
                _sn(1, 7, 6, 29, 26, 28, 9, 8, 27),
            ),
            "F1": Fold(
                _sn(3, 31, 13, 1, 7, 6, 29, 26, 28, 9, 8, 27),
                _sn(24, 4, 23, 32, 18, 30),
                _sn(10, 11, 5, 12, 25, 17, 2, 16, 21),
            ),
            "F2": Fold(
                _sn(10, 11, 5, 12, 25, 17, 2, 16, 21, 9, 8, 27),
                _sn(1, 7, 6, 29, 26, 28),
                _sn(24, 4, 23, 32, 18, 30, 3, 31, 13),
            ),
        },
        "arl": {"arl": _all_but("disfa", _sn(2, 3, 4, 6, 7, 12, 13, 16, 23))},
    },
    "disfa-plus": {"thirds": _thirds(ADAPTERS["disfa-plus"].subjects)},
    "bp4d": {
        "jaanet": _rotated(
            {
                "P1": _fm((1, 2, 8, 9, 10, 16, 18, 23), (1, 4, 7, 8, 12, 14)),
                "P2": _fm((3, 5, 11, 13, 20, 22), (2, 5, 10, 11, 13, 16, 17, 18)),
                "P3": _fm((4, 6, 7, 12, 14, 15, 17, 19, 21), (3, 6, 9, 15)),
            }
        ),
        "fera2015": {"fera2015": _all_but("bp4d", _fm(range(2, 24, 2), range(2, 19, 2)))},
    },
    "bp4d-plus": {"thirds": _thirds(BP4D_PLUS_SUBJECTS)},
    "fera2017": {
        # Who of BP4D+ is in the validation part is not known beforehand: name everybody.
        "parts": {
            "parts": Fold(
                ADAPTERS["fera2017"].subjects, (), tuple(f"VA_{s}" for s in BP4D_PLUS_SUBJECTS)
            )
        }
    },
    "unbc": {
        "five": _rotated(
            {
                "F1": ("042-ll042", "052-dr052", "092-ch092", "103-jk103", "115-jy115"),
                "F2": ("043-jh043", "059-fn059", "095-tv095", "106-nm106", "120-kz120"),
                "F3": ("047-jl047", "064-ak064", "096-bg096", "107-hs107", "121-vw121"),
                "F4": ("048-aa048", "066-mg066", "097-gf097", "108-th108", "123-jh123"),
                "F5": ("049-bm049", "080-bn080", "101-mg101", "109-ib109", "124-dn124"),
            }
        )
    },
}


def folds(dataset: str, name: str) -> dict[str, Fold]:
    """The folds of a dataset by the name of their protocol. Raises UnknownName."""
    adapter(dataset)
    there = FOLDS[dataset]
    if name not in there:
        raise UnknownName(
            f"{ADAPTERS[dataset].title} has no folds {name!r}; there are {', '.join(there)}."
        )
    return there[name]


def fold_number(dataset: str, protocol: str | None, wanted: str) -> int:
    """Number, from 0, of a fold by its name (``P1``) or number; no protocol: the dataset's first.

    Raises UnknownName for what is not there.
    """
    adapter(dataset)
    protocol = protocol or next(iter(FOLDS[dataset]))
    names = list(folds(dataset, protocol))
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    there = ", ".join(f"{name} ({number})" for number, name in enumerate(names))
    raise UnknownName(f"{protocol} has no fold {wanted}; its folds are {there}.")


def named_fold(dataset: str, protocol: str | None, number: int) -> tuple[str, str, Fold]:
    """Fold ``number`` (from 0) as published, after the names of its protocol and its own.

    protocol: None for the dataset's first. Raises UnknownName.
    """
    adapter(dataset)
    protocol = protocol or next(iter(FOLDS[dataset]))
    named = folds(dataset, protocol)
    if not 0 <= number < len(named):
        raise UnknownName(f"{protocol} has folds 0 to {len(named) - 1}, not {number}.")
    return protocol, *list(named.items())[number]


def choose_fold(dataset: str, protocol: str | None, number: int, there: Container[str]) -> Fold:
    """A fold of :func:`named_fold`, of the subjects that are there, with people to validate on.

    Where the protocol has no validation part, every fourth of its training subjects becomes one (of
    two or three, the last), so that a run is never chosen by its test people, who are all named.
    """
    _, _, fold = named_fold(dataset, protocol, number)
    train = tuple(subject for subject in fold.train if subject in there)
    if fold.validation:
        return Fold(train, tuple(s for s in fold.validation if s in there), fold.test)
    validation = train[3::4] or train[1:][-1:]
    return Fold(tuple(s for s in train if s not in validation), validation, fold.test)


def person(dataset: str, subject: str) -> tuple[str, str]:
    """Who a subject is, as (dataset, subject) of the first dataset that shows the person.

    DISFA+ shows nine people of DISFA under their names there. FERA 2017 renders the people of BP4D
    (TR) and some of BP4D+ (VA); these are matched by name.
    """
    if dataset == "disfa-plus":
        return "disfa", subject
    if dataset == "fera2017":
        return "bp4d" if subject.startswith("TR_") else "bp4d-plus", subject[3:]
    return dataset, subject


def refuse_shared_people(
    train: Mapping[str, Iterable[str]], test: Mapping[str, Iterable[str]], force: bool = False
) -> tuple[str, ...]:
    """Raise DataError where somebody of ``test`` is in ``train``, under whatever dataset.

    train, test: dataset -> subjects. force: return who they are instead, as "disfa SN001".
    """

    def people(data: Mapping[str, Iterable[str]]) -> set[tuple[str, str]]:
        return {person(dataset, subject) for dataset, names in data.items() for subject in names}

    shared = tuple(" ".join(one) for one in sorted(people(train) & people(test)))
    if shared and not force:
        who = "1 person is" if len(shared) == 1 else f"{len(shared)} people are"
        raise DataError(
            f"{who} both trained on and tested ({', '.join(shared[:3])}"
            f"{' ...' if shared[3:] else ''}); leave them out of the training, "
            "or allow it (--allow-seen, allow_seen=True)."
        )
    return shared
