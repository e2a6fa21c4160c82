"""Tests of the rule and the statistics of the study of the critic."""

import json
from xml.etree import ElementTree

import analyze
import arms
import comparison
import numpy as np
import outcomes
import plan
import pytest
import regimes
import shape_metrics
import study
import tables

pytestmark = pytest.mark.any_edition

ARM = "ce_dice+relative"


def make_record(dice, **others):
    images = {name: [None] * len(dice) for name in shape_metrics.METRICS}
    ids = [f"{index}_x" for index in range(len(dice))]
    return {"images": {**images, "ids": ids, "dice": dice, **others}}


def make_screening(best=("relative", "concat"), dice=0.505):
    """Makes the records of all screenings, in which these are the best.

    Args:
      best: critics.
      dice: of the Dice loss alone, in the thin regime; elsewhere it is as good
        as with cross-entropy, 0.5.
    """
    records = {}
    for run in plan.screening(records):
        is_better = (run.regime, run.arm) == ("thin", "dice")
        records[run.name] = make_record([dice if is_better else 0.5] * 4)
    gains = {critic: 0.3 - 0.1 * place for place, critic in enumerate(best)}
    for run in plan.critic_screening(records):
        gain = gains.get(arms.critic_of(run.arm), 0)
        records[run.name] = make_record([0.5 + gain] * 4)
    return records


def test_screening_leaves_the_two_best_critics():
    for regime in regimes.REGIMES:
        expected = ["ce_dice+relative", "ce_dice+concat"]
        assert plan.chosen(make_screening(), regime) == expected


def test_critics_are_added_to_the_clearly_better_loss_of_pixels():
    records = make_screening(dice=0.515)
    assert plan.baseline(records, "thin") == "dice"
    assert plan.chosen(records, "thin")[0] == "dice+relative"
    assert plan.baseline(records, "cardiac") == "ce_dice"
    found = [r.arm for r in plan.equal_steps(records) if r.regime == "thin"]
    # The product's loss is compared in any case.
    expected = ["dice", "ce_dice", "dice+relative", "dice+concat"]
    assert found == 3 * expected


def test_a_critic_that_diverged_is_the_last():
    records = make_screening()
    for name in records:
        if "+relative-" in name:
            records[name] = {"failed": "a loss is not finite"}
    assert plan.chosen(records, "thin")[0] == "ce_dice+concat"


def test_equal_steps_runs_every_regime_and_seed():
    runs = list(plan.equal_steps(make_screening()))
    assert len({run.name for run in runs}) == len(runs)
    for regime in regimes.REGIMES:
        for seed in (0, 1, 2):
            found = [
                run.arm
                for run in runs
                if (run.regime, run.seed) == (regime, seed)
            ]
            assert found == ["ce_dice", "ce_dice+relative", "ce_dice+concat"]


def make_equal_steps(gain):
    """Adds to a screening runs in which `relative` gains so much."""
    records = make_screening()
    for run in plan.equal_steps(records):
        won = gain if run.arm == "ce_dice+relative" else 0.0
        values = [0.5 + 0.1 * i + 0.01 * run.seed + won for i in range(4)]
        records[run.name] = make_record(values)
    return records


def make_collapse():
    """Makes records in which Dice alone won the thin screening, but collapsed.

    There both critics gain, each over its own loss of pixels.
    """
    records = make_screening(dice=0.515)
    of_loss = {"dice": 0.2, "ce_dice": 0.5}
    for stage in (plan.equal_steps, plan.second_loss):
        for run in stage(records):
            dice = of_loss[arms.loss_of(run.arm)]
            gain = 0.1 if arms.critic_of(run.arm) else 0.0
            values = [dice + gain + 0.01 * image for image in range(4)]
            records[run.name] = make_record(values)
    return records


def test_critics_are_added_to_a_second_loss_where_the_baseline_collapsed():
    assert list(plan.second_loss(make_equal_steps(0.1))) == []
    records = make_collapse()
    assert plan.losses(records, "thin") == ["dice", "ce_dice"]
    runs = list(plan.second_loss(records))
    assert {run.arm for run in runs} == {"ce_dice+relative", "ce_dice+concat"}
    assert {(run.regime, run.kind) for run in runs} == {("thin", "steps")}
    assert [run.seed for run in runs] == [0, 0, 1, 1, 2, 2]


def test_a_critic_is_compared_with_its_own_loss():
    records = make_collapse()
    found = outcomes.estimates(records, "thin")
    gains = {arm: round(one.mean, 6) for arm, one in found.items()}
    assert gains == {
        "ce_dice": 0.3,
        "ce_dice+relative": 0.1,
        "ce_dice+concat": 0.1,
        "dice+relative": 0.1,
        "dice+concat": 0.1,
    }
    lines = tables.make(records, {**make_costs(), "runs": {}})["steps"]
    rows = [line.split(" | ")[1] for line in lines[-6:]]
    critics = [
        arms.short_title(f"dice+{one}") for one in ("relative", "concat")
    ]
    assert rows == [
        *("Dice alone", *critics),
        *("cross-entropy + Dice", *critics),
    ]
    assert "| +0.3000 (" not in lines[-2]
    _, count = outcomes.overall(records, "relative")
    assert count == len(regimes.REGIMES) + 1


def test_seeds_of_another_loss_do_not_widen_a_critics_interval():
    records = make_collapse()
    before = outcomes.estimates(records, "thin")["dice+relative"]
    for seed in (0, 1, 2):
        name = f"thin-ce_dice-steps-seed{seed}"
        dice = np.array(records[name]["images"]["dice"]) + 0.1 * seed
        for arm in ("ce_dice", "ce_dice+relative", "ce_dice+concat"):
            name = f"thin-{arm}-steps-seed{seed}"
            records[name]["images"]["dice"] = list(dice)
    after = outcomes.estimates(records, "thin")
    assert after["ce_dice"].error > 0.05
    assert after["dice+relative"].error == pytest.approx(before.error)


def test_equal_time_shortens_only_what_is_better():
    costs = make_costs()["costs"]
    stage = plan.make_equal_time(costs)
    assert list(stage(make_equal_steps(-0.1))) == []
    runs = list(stage(make_equal_steps(0.1)))
    assert {run.arm for run in runs} == {"ce_dice+relative"}
    assert len(runs) == 3 * len(regimes.REGIMES)
    # 400 steps are 8 epochs of 50 for the baseline; 8 / 1.6 = 5.
    (run,) = (r for r in runs if (r.regime, r.seed) == ("isic_100", 0))
    assert (run.kind, run.epochs(50)) == ("time", 5)


def test_winners_are_confirmed_with_seeds_that_chose_nothing():
    records = make_equal_steps(0.1)
    stage = plan.make_confirmation(outcomes.winners)
    runs = list(stage(records))
    assert {run.seed for run in runs} == {3, 4, 5}
    assert {run.arm for run in runs} == {"ce_dice", "ce_dice+relative"}
    assert not set(runs) & set(plan.equal_steps(records))
    assert list(stage(make_equal_steps(-0.1))) == []


def test_error_has_the_variance_of_seeds_and_of_images():
    differences = np.array([[0.1, 0.3], [0.3, 0.5]])
    # Seeds: means .2 and .4, variance .02; images: .2 and .4, variance .02.
    between = comparison.seed_variance([differences])
    assert between == (pytest.approx(0.02), 1)
    found = comparison.estimate(differences, between)
    assert found.mean == pytest.approx(0.3)
    assert found.error == pytest.approx((0.02 / 2 + 0.02 / 2) ** 0.5)
    # Satterthwaite: (a + b)^2 / (a^2 / 1 + b^2 / 1) with a = b.
    assert found.freedom == pytest.approx(2)
    low, high = found.interval
    assert low == pytest.approx(0.3 - 4.3027 * found.error, abs=1e-4)
    assert high - 0.3 == pytest.approx(0.3 - low)


def test_seed_variance_is_pooled_over_losses():
    one = np.array([[0.0], [2.0]])  # variance 2
    other = np.array([[0.0], [4.0]])  # variance 8
    # Two losses that share a baseline: 2 / (1 + 1 / 4) degrees of freedom.
    assert comparison.seed_variance([one, other]) == (5.0, 1.6)


def test_pooled_estimate_is_weighed_and_has_a_smaller_error():
    one = comparison.Estimate(0.1, 0.03, 10)
    other = comparison.Estimate(0.3, 0.04, 10)
    found = comparison.pooled([one, other], [1, 1])
    assert found.mean == pytest.approx(0.2)
    assert found.error == pytest.approx(0.05 / 2)
    assert comparison.pooled([one, other], [3, 1]).mean == pytest.approx(0.15)


def test_overall_averages_regimes_of_the_same_images_first():
    records = make_equal_steps(0.1)
    for name, record in records.items():
        if "+relative-" in name and name.startswith("isic_25-"):
            dice = np.array(record["images"]["dice"]) - 0.11
            record["images"]["dice"] = dice.tolist()
    found, count = outcomes.overall(records, "relative")
    assert count == len(regimes.REGIMES)
    assert found.mean == pytest.approx(0.1 - 0.11 / count)
    # Equal for all images and seeds: there is no error.
    assert found.error == pytest.approx(0, abs=1e-6)
    assert outcomes.overall(records, "spectral") is None


def test_a_loss_that_diverged_is_in_the_table():
    records = make_equal_steps(0.1)
    records["thin-ce_dice+concat-steps-seed1"] = {
        "failed": "a loss is not finite"
    }
    assert outcomes.diverged(records, "thin") == {"ce_dice+concat": 1}
    assert outcomes.diverged(records, "thin", seeds=(3, 4, 5)) == {}
    assert "ce_dice+concat" not in outcomes.estimates(records, "thin")
    lines = tables.make(records, {**make_costs(), "runs": {}})["steps"]
    title = arms.short_title("ce_dice+concat")
    assert f"| | {title} | diverged in 1 |" in [
        line.replace("|  |", "| |") for line in lines
    ]


def test_losses_of_other_images_are_not_compared():
    records = make_equal_steps(0.1)
    ids = records["thin-ce_dice+relative-steps-seed0"]["images"]["ids"]
    ids.reverse()
    with pytest.raises(ValueError, match="different images"):
        outcomes.differences(records, "thin", ARM)


def test_only_runs_without_a_record_are_made_and_once():
    runs = list(plan.screening({}))
    done = [runs[0].name]
    assert list(study.missing([*runs, *runs], done)) == runs[1:]


def test_images_of_a_patient_count_as_one():
    records = make_equal_steps(0.1)
    for name, record in records.items():
        if name.startswith("cardiac"):
            record["images"]["ids"] = ["a_1", "a_2", "b_1", "b_2"]
    found = outcomes.differences(records, "cardiac", ARM)
    assert found.shape == (3, 2)
    assert outcomes.differences(records, "thin", ARM).shape == (3, 4)


def test_block_of_a_page_is_replaced():
    page = "a\n<!-- x -->\nold\n<!-- end -->\nb\n"
    filled = analyze.fill(page, "x", ["1", "2"])
    assert filled == "a\n<!-- x -->\n\n1\n2\n\n<!-- end -->\nb\n"
    with pytest.raises(ValueError, match="no block y"):
        analyze.fill(page, "y", [])


def make_costs():
    of_critics = dict.fromkeys(arms.ADDED_CRITICS, 1.6)
    return {
        "costs": {family: of_critics for family in regimes.SCREENED},
        "pulls": {"thin": dict.fromkeys(arms.ADDED_CRITICS, 0.7)},
    }


def test_page_is_filled_and_the_plot_is_drawn(tmp_path, monkeypatch):
    records = make_equal_steps(0.1)
    for run in plan.make_equal_time(make_costs()["costs"])(records):
        records[run.name] = records[f"{run.regime}-ce_dice-steps-seed0"] | {
            "epochs": 5
        }
    for record in records.values():
        record.setdefault("epochs", 8)
    (tmp_path / "records").mkdir()
    for name, record in records.items():
        (tmp_path / f"records/{name}.json").write_text(json.dumps(record))
    row = {"rank_correlation": 0.5, "found_of_worst": 0.4, "low": 0, "high": 1}
    for name, content in {
        "step_costs": {"costs": make_costs()["costs"]},
        "pulls": {"pulls": make_costs()["pulls"]},
        "quality": {"runs": {"ce_dice": {"features": row}}},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    page = tmp_path / "critic.md"
    page.write_text(analyze.PAGE.read_text())
    monkeypatch.setattr(analyze, "PAGE", page)
    analyze.main(["analyze.py", str(tmp_path)])
    filled = page.read_text()
    for regime in regimes.REGIMES.values():
        assert f"| {regime.title} | {arms.ARMS['ce_dice'].title} |" in filled
    # The same in every seed and image: the interval has no width.
    assert "| **+0.1000 (+0.1000 to +0.1000)** |" in filled
    assert "| +0.000 to +1.000 | 0.40 |" in filled
    assert "| 0.5 | 0.70 |" in filled  # weight and pull
    assert "| 1.00 |" in filled  # 5 epochs of 1.6 against 8
    assert "![Gains of critics at equal time" in filled
    assert (tmp_path / "critic_time.svg").exists()
    plot = (tmp_path / "critic_steps.svg").read_text()
    ElementTree.fromstring(plot)
    assert plot.count("<circle") == 2 * len(regimes.REGIMES)
    assert plot.count('class="clear"') == plot.count('class="group"')
    assert plot.count('class="group"') == len(regimes.REGIMES)


def test_cldice_of_a_broken_line():
    true = np.zeros((5, 9), bool)
    true[2] = True
    predicted = true.copy()
    predicted[2, 4:] = False
    # The predicted line is true; 4 of 9 pixels of the true one are found.
    expected = 2 * 1 * (4 / 9) / (1 + 4 / 9)
    assert shape_metrics.cldice(predicted, true) == pytest.approx(expected)
    assert shape_metrics.cldice(np.zeros_like(true), true) == 0


def test_metrics_of_labels_that_are_missed_or_absent():
    true = np.zeros((3, 4, 2), np.uint8)
    true[1, 1, 0] = 1
    predicted = np.zeros_like(true)
    predicted[0, 0, 1] = 1
    found = shape_metrics.measure(predicted, true, is_thin=False)
    assert found["dice"] == 0
    assert found["low"] == 1
    assert found["hd95"] == found["assd"] == 5  # the diagonal of 3 x 4
    assert found["components"] == 1
    assert found["false"] == 1
    right = shape_metrics.measure(true, true, is_thin=False)
    assert (right["dice"], right["false"], right["hd95"]) == (1, 0, 0)


def make_isic(folder, count):
    images = folder / "ISIC-2017_Training_Data"
    maps = folder / "ISIC-2017_Training_Part1_GroundTruth"
    images.mkdir(parents=True)
    maps.mkdir()
    names = [f"ISIC_{index:07d}" for index in range(count)]
    for name in names:
        (images / f"{name}.jpg").touch()
        (maps / f"{name}_segmentation.png").touch()
    (folder / "random_500_test.txt").write_text("\n".join(names[:9]))
    rows = [f"{name},{'T1' if i % 2 else 'T2'}" for i, name in enumerate(names)]
    (folder / "annotation_tools.csv").write_text("\n".join(["id,tools", *rows]))


def make_cardiac(folder):
    for inner in ("images", "label_maps"):
        (folder / inner).mkdir(parents=True)
    rows = ["id,group"]
    for patient in range(12):
        for part in range(2):
            name = f"p{patient}_{part}"
            (folder / "images" / f"{name}.jpg").touch()
            (folder / "label_maps" / f"{name}.png").touch()
            rows.append(f"{name},patient{patient:02d}")
    (folder / "groups.csv").write_text("\n".join(rows))
    (folder / "labels.json").write_text("{}")
    (folder / "test_ids.txt").write_text("p11_0\np11_1")


def test_no_regime_trains_on_what_it_tests(tmp_path, monkeypatch):
    monkeypatch.setattr(regimes, "_DRAWN", 6)
    monkeypatch.setattr(regimes, "_DRAWN_TEST", 2)
    monkeypatch.setattr(regimes, "_VALIDATION", 10)
    make_isic(tmp_path / "isic2017", 150)
    make_cardiac(tmp_path / "cardiac")
    out = tmp_path / "out"
    regimes.prepare(tmp_path, out)
    folders = {regime.folder for regime in regimes.REGIMES.values()}
    folders |= {
        plan.Run(f, "", "screening", 0).folder for f in regimes.SCREENED
    }
    trained = {}
    for folder in folders:
        test = (out / folder / "test_ids.txt").read_text().split()
        files = {path.stem for path in (out / folder / "images").iterdir()}
        assert test
        assert set(test) < files
        trained[folder] = {name.rsplit("_", 1)[0] for name in files - set(test)}
        assert not trained[folder] & set(test)
    assert trained["isic_25"] < trained["isic_50"] < trained["isic_100"]
    for family in regimes.SCREENED:
        folder = regimes.REGIMES[family].folder
        test = set((out / folder / "test_ids.txt").read_text().split())
        images = (out / f"{folder}_screening" / "images").iterdir()
        names = {path.stem for path in images}
        # A training pair has a number at its end.
        assert not (names | {name.rsplit("_", 1)[0] for name in names}) & test
    patients = {name.split("_")[0] for name in trained["cardiac_screening"]}
    held_out = (out / "cardiac_screening/test_ids.txt").read_text().split()
    assert not patients & {name.split("_")[0] for name in held_out}
