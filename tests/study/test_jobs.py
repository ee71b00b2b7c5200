"""One job: what it measures, and that a measurement cut off goes on after its last row."""

import json

import pytest
import torch

from rsnl_lib import data, networks
from rsnl_lib.data import catalogue
from rsnl_lib.measure import evaluate
from rsnl_lib.networks import zoo
from rsnl_lib.study import cost, training


@pytest.fixture(scope="module")
def d():
    d = data.load("digits")
    return d._replace(x_test=d.x_test[:60], y_test=d.y_test[:60])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return networks.build("digits_student").eval()


def test_a_measurement_that_is_cut_off_goes_on_and_gives_the_same_rows(
    d, net, tmp_path, monkeypatch
):
    whole, kept, asked, sweep = (
        training.measure_levels(net, d),
        tmp_path / "run.rows",
        [],
        evaluate.sweep,
    )
    assert len(whole) == len(catalogue.needed("digits")) + 10 and all(
        set(row) == {"perturbation", "level", "unit", "draws", "n", "correct"} for row in whole
    )

    def stops(*args, **more):
        asked.append(args[3])
        if len(asked) in (4, 12):
            raise KeyboardInterrupt
        return sweep(*args, **more)

    monkeypatch.setattr(evaluate, "sweep", stops)
    for rows in (3, 10):
        with pytest.raises(KeyboardInterrupt):
            training.measure_levels(net, d, kept=kept)
        assert len(json.loads(kept.read_text())["rows"]) == rows, "all but the one under way"
    assert training.measure_levels(net, d, kept=kept) == whole and len(asked) == len(whole) + 2, (
        "nothing is measured twice"
    )
    with torch.no_grad():
        net[0].layer.weight[0] += 1
    assert training.measure_levels(net, d, kept=kept) == training.measure_levels(net, d), (
        "another network's rows are not taken"
    )


def test_what_is_not_wanted_is_not_measured(d, net):
    whole = training.measure_levels(net, d)
    have = {
        (row["perturbation"], row["level"], row["unit"])
        for row in whole
        if row["perturbation"] != "poisson"
    }
    assert training.measure_levels(net, d, but=have) == [
        row for row in whole if row["perturbation"] == "poisson"
    ]


@pytest.mark.parametrize(
    "dataset, count",
    [("mnist", 20), ("cifar10", 17), ("cifar100", 17), ("usps", 1), ("usps_resized", 1)],
)
def test_only_levels_that_are_asked_for_are_measured(dataset, count):
    assert len(catalogue.needed(dataset)) == count and set(catalogue.needed(dataset)) <= set(
        catalogue.levels(dataset)
    )


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_work_is_counted_once_a_network_and_cheaper_by_the_transform(name, monkeypatch):
    direct = networks.count(networks.build(name), catalogue.SHAPES[name.split("_")[0]])[1]
    saved = {"cifar_teacher": 680_140_800, "digits_teacher": 0}.get(name)
    got = cost._work(name, 10)
    if saved is not None:
        assert got == pytest.approx(direct - (1 - cost.TRANSFORMED) * saved)
    assert cost.TRANSFORMED * direct <= got <= direct
    monkeypatch.setattr(zoo, "build", None)
    assert cost._work(name, 10) == got
