"""Folds as data: the published subjects, nobody twice, nobody shared between datasets."""

import pytest

from aucli.datasets.adapters import ADAPTERS
from aucli.datasets.folds import FOLDS, Fold, folds, refuse_shared_people
from aucli.errors import DataError

EVERY = [(d, n) for d, protocols in FOLDS.items() for n in protocols]


@pytest.mark.parametrize(("dataset", "name"), EVERY)
def test_folds_are_disjoint_and_cover_the_dataset(dataset: str, name: str) -> None:
    known = set(ADAPTERS[dataset].subjects)
    for fold in folds(dataset, name).values():
        train, validation, test = map(set, (fold.train, fold.validation, fold.test))
        assert train and test
        assert not train & validation and not train & test and not validation & test
        assert len(train | validation | test) == sum(map(len, (train, validation, test)))
        if dataset == "fera2017":
            assert train == known and all(subject.startswith("VA_") for subject in test)
        else:
            assert train | validation | test == known


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("disfa", "jaanet"), ("disfa", "ntinou"), ("bp4d", "jaanet"), ("unbc", "five")],
)
def test_every_subject_is_tested_once(dataset: str, name: str) -> None:
    tested = [subject for fold in folds(dataset, name).values() for subject in fold.test]
    assert sorted(tested) == sorted(ADAPTERS[dataset].subjects)


def test_sizes_of_the_datasets() -> None:
    sizes = {name: len(adapter.subjects) for name, adapter in ADAPTERS.items()}
    assert sizes == {
        "disfa": 27, "disfa-plus": 9, "bp4d": 41, "bp4d-plus": 140, "fera2017": 41, "unbc": 25
    }  # fmt: skip


def test_published_parts() -> None:
    assert "SN025" in folds("disfa", "jaanet")["P3"].test
    assert [len(fold.test) for fold in folds("bp4d", "jaanet").values()] == [14, 14, 13]
    first = folds("disfa", "ntinou")["F0"]
    assert (len(first.train), len(first.validation), len(first.test)) == (12, 6, 9)
    assert first.validation == ("SN012", "SN025", "SN017", "SN002", "SN016", "SN021")
    fera = folds("bp4d", "fera2015")["fera2015"]
    assert (len(fera.train), len(fera.test)) == (21, 20)
    assert {"F001", "F023", "M017"} <= set(fera.train) and {"F022", "M018"} <= set(fera.test)
    assert len(folds("disfa", "arl")["arl"].test) == 9
    assert folds("unbc", "five")["F4"].test[1] == "066-mg066"


def test_a_fold_with_somebody_twice_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="two parts of a fold: SN002"):
        Fold(("SN001", "SN002"), (), ("SN002",))
    with pytest.raises(ValueError, match="two parts of a fold: SN001"):
        Fold(("SN001", "SN001"), (), ())


def test_unknown_names() -> None:
    with pytest.raises(DataError, match="DISFA has no folds 'five'; there are jaanet, ntinou, arl"):
        folds("disfa", "five")
    with pytest.raises(DataError, match="no dataset 'disfa2'; there are disfa, disfa-plus, bp4d"):
        folds("disfa2", "jaanet")


def test_people_of_disfa_and_disfa_plus_are_not_mixed() -> None:
    train = {"disfa-plus": ADAPTERS["disfa-plus"].subjects}
    fold = folds("disfa", "jaanet")["P1"]
    with pytest.raises(DataError) as told:
        refuse_shared_people(train, {"disfa": fold.test})
    assert str(told.value) == (
        "4 people are both trained on and tested (disfa SN001, disfa SN009, disfa SN010 ...); "
        "leave them out of the training, or allow it (--allow-seen, allow_seen=True)."
    )
    shared = refuse_shared_people(train, {"disfa": fold.test}, force=True)
    assert shared == ("disfa SN001", "disfa SN009", "disfa SN010", "disfa SN027")
    assert refuse_shared_people({"disfa": fold.train}, {"disfa": fold.test}) == ()
    assert refuse_shared_people({"disfa-plus": ["SN003"]}, {"disfa": fold.test}) == ()


def test_people_of_fera2017_are_those_of_its_sources() -> None:
    assert refuse_shared_people({"bp4d": ["F001"]}, {"fera2017": ["VA_F001"]}) == ()
    with pytest.raises(DataError, match="bp4d F001"):
        refuse_shared_people({"bp4d": ["F001"]}, {"fera2017": ["TR_F001"]})
    with pytest.raises(DataError, match="bp4d-plus F001"):
        refuse_shared_people({"bp4d-plus": ["F001"]}, {"fera2017": ["VA_F001"]})
