import json
import os

import numpy as np
import pytest
from PIL import Image

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.datasets import label_maps, pairs
from segan_tf.imaging import images
from segan_tf.synthetic import lesions

SEED = 7
LESION, HAIR, RULER = range(3)


@pytest.fixture(scope="module")
def drawings():
    return [lesions.draw_lesion(index, SEED) for index in range(60)]


def lesion_of(drawing):
    return drawing.label_maps[..., LESION] == 1


def files_in(directory):
    """Returns {path below directory: content} of every file."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


def test_same_seed_and_index_give_the_same_bytes(drawings):
    for index in (0, 31, 59):
        again = lesions.draw_lesion(index, SEED)
        assert again.image.tobytes() == drawings[index].image.tobytes()
        label_maps = drawings[index].label_maps.tobytes()
        assert again.label_maps.tobytes() == label_maps


def test_every_index_and_every_seed_draws_another_image(drawings):
    others = [lesions.draw_lesion(index, SEED + 1) for index in range(9)]
    drawn = {drawing.image.tobytes() for drawing in drawings + others}
    assert len(drawn) == 60 + 9


@pytest.mark.parametrize(
    ("index", "color", "marked"),
    [
        (4, (225.964, 192.297, 170.085), (3874, 0, 0)),  # with a sticker
        (13, (114.778, 74.03, 54.21), (27186, 1618, 309)),  # hairs and ruler
        (14, (136.824, 90.158, 83.316), (20466, 0, 0)),  # with a pen mark
    ],
)
def test_drawings_stay_the_same_over_releases(index, color, marked):
    # If they change, raise GENERATOR_VERSION. The tolerance is one level in one
    # of a thousand pixels.
    assert lesions.GENERATOR_VERSION == 1
    drawing = lesions.draw_lesion(index, 0)
    mean = drawing.image.mean(axis=(0, 1))
    np.testing.assert_allclose(mean, color, atol=0.001)
    assert tuple(drawing.label_maps.sum(axis=(0, 1))) == marked


def test_image_and_label_maps_have_one_size_and_the_promised_values(drawings):
    for drawing in drawings:
        height, width, channels = drawing.image.shape
        assert 160 <= height <= 280
        assert 200 <= width <= 320
        assert channels == 3
        assert drawing.image.dtype == drawing.label_maps.dtype == np.uint8
        assert drawing.label_maps.shape == (height, width, 3)
        assert set(np.unique(drawing.label_maps)) <= {0, 1}
    assert len({drawing.image.shape for drawing in drawings}) > 50


def test_label_names():
    assert lesions.LABEL_NAMES == ("lesion", "hair", "ruler mark")


def test_the_size_is_height_then_width():
    drawing = lesions.draw_lesion(0, SEED, size=(48, 64))
    assert drawing.image.shape == (48, 64, 3)
    assert drawing.label_maps.shape == (48, 64, 3)
    assert drawing.label_maps[..., LESION].any()


def test_a_size_too_small_to_draw_is_an_error():
    with pytest.raises(ValueError, match=r"size \(15, 64\).*use 16 or more"):
        lesions.draw_lesion(0, SEED, size=(15, 64))


def test_nearly_every_lesion_differs_in_color_from_its_skin(drawings):
    distances = []
    for drawing in drawings:
        lesion = lesion_of(drawing)
        inside = drawing.image[lesion].mean(0)
        outside = np.median(drawing.image[~lesion], 0)
        distances.append(np.linalg.norm(inside - outside))
    # 12 of 255 is seen at a glance; 60 - 57 may be fainter.
    assert np.sum(np.array(distances) > 12) >= 57


def test_label_follows_the_drawn_edge_to_the_pixel():
    """Of a sharp outline, moved by two pixels the label would fit worse."""
    better = 0
    for index in range(20):
        drawing = lesions.draw_lesion(index, SEED, size=(200, 200))
        lesion = lesion_of(drawing)
        gray = drawing.image.mean(-1)

        def contrast(label, gray=gray):
            return gray[~label].mean() - gray[label].mean()

        moved = [
            contrast(np.roll(lesion, shift, axis))
            for shift in (-2, 2)
            for axis in (0, 1)
        ]
        better += contrast(lesion) > max(moved)
    assert better >= 17


def test_skin_spans_light_to_dark(drawings):
    skins = [
        np.median(drawing.image[~lesion_of(drawing)].mean(-1))
        for drawing in drawings
    ]
    darkest, middle, lightest = np.quantile(skins, [0.1, 0.5, 0.9])
    assert darkest < 95
    assert 105 < middle < 165
    assert lightest > 175


def test_lesions_have_all_sizes_and_every_image_has_one(drawings):
    shares = np.array([lesion_of(drawing).mean() for drawing in drawings])
    assert shares.min() > 0.002
    assert np.sum(shares < 0.05) >= 3
    assert np.sum(shares > 0.3) >= 3
    assert shares.max() < 0.9


def test_some_lesions_reach_the_border_and_most_do_not(drawings):
    reaching = 0
    for drawing in drawings:
        lesion = lesion_of(drawing)
        edges = (lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1])
        reaching += any(edge.any() for edge in edges)
    assert 60 * 0.05 <= reaching <= 60 * 0.4


def test_hairs_and_ruler_marks_over_the_lesion_leave_it_lesion(drawings):
    hairy = 0
    for drawing in drawings:
        lesion = lesion_of(drawing)
        hairy += (lesion & (drawing.label_maps[..., HAIR] == 1)).sum() > 50
    assert hairy >= 15


def test_some_images_have_hairs_or_a_ruler_and_some_have_none(drawings):
    for layer, low, high in ((HAIR, 0.4, 0.8), (RULER, 0.15, 0.5)):
        marked = [d.label_maps[..., layer].any() for d in drawings]
        assert 60 * low <= sum(marked) <= 60 * high


def test_dark_hairs_are_darker_than_their_surroundings(drawings):
    darker = hairy = 0
    for drawing in drawings:
        hair = drawing.label_maps[..., HAIR] == 1
        if hair.any():
            hairy += 1
            around = np.roll(hair, 4, 1) & ~hair
            gray = drawing.image.mean(-1)
            darker += gray[hair].mean() < gray[around].mean()
    assert hairy / 2 < darker < hairy


def test_nothing_is_labeled_behind_the_black_frame(drawings):
    framed = 0
    for drawing in drawings:
        corners = drawing.image[[0, 0, -1, -1], [0, -1, 0, -1]]
        if corners.max() < 60:
            framed += 1
            assert not drawing.label_maps[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert 60 * 0.08 <= framed <= 60 * 0.35


def test_folder_holds_pairs_that_the_program_reads(tmp_path):
    lesions.draw_folder(str(tmp_path), count=2, seed=SEED)
    assert sorted(files_in(tmp_path)) == [
        "drawn.json",
        "images/drawn_0000.jpg",
        "images/drawn_0001.jpg",
        "label_maps/drawn_0000.png",
        "label_maps/drawn_0001.png",
    ]
    drawing = lesions.draw_lesion(1, SEED)
    label_map = label_maps.read_label_file(
        tmp_path / "label_maps/drawn_0001.png"
    )
    assert np.array_equal(label_map, drawing.label_maps[..., :1])
    with Image.open(tmp_path / "label_maps/drawn_0001.png") as image:
        assert set(np.unique(np.asarray(image))) == {0, 255}
    image = images.read_image(tmp_path / "images/drawn_0001.jpg")
    # JPEG at quality 92 keeps all but the sensor's noise.
    difference = image.astype(float) - drawing.image
    assert np.abs(difference).mean() < 6
    assert json.loads((tmp_path / "drawn.json").read_text()) == {
        "count": 2,
        "seed": SEED,
        "version": lesions.GENERATOR_VERSION,
    }


def recorded(seen):
    """Makes a progress bar that records what goes through it."""

    def progress(items, **_):
        for item in items:
            yield item
            seen.append(item)

    return progress


def test_progress_advances_after_every_pair(tmp_path):
    seen = []
    lesions.draw_folder(
        str(tmp_path),
        count=3,
        seed=SEED,
        progress=recorded(seen),
    )
    assert seen == [0, 1, 2]


def test_a_folder_already_drawn_is_not_drawn_again(tmp_path):
    lesions.draw_folder(str(tmp_path), count=2, seed=SEED)
    seen = []
    lesions.draw_folder(
        str(tmp_path), count=2, seed=SEED, progress=recorded(seen)
    )
    assert seen == []


def test_an_interrupted_folder_is_completed(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    lesions.draw_folder(str(whole), count=3, seed=SEED)

    def interrupt(items, **_):
        yield from list(items)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lesions.draw_folder(str(broken), count=3, seed=SEED, progress=interrupt)
    assert "drawn.json" not in files_in(broken)
    leftover = broken / "images" / "drawn_0002.jpg.12.34.partial"
    leftover.write_bytes(b"half")
    lesions.draw_folder(str(broken), count=3, seed=SEED)
    assert files_in(broken) == files_in(whole)


def test_interrupted_redrawing_is_not_taken_for_the_old_drawing(tmp_path):
    lesions.draw_folder(str(tmp_path), count=2, seed=SEED)
    old = files_in(tmp_path)

    def interrupt(items, **_):
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lesions.draw_folder(
            str(tmp_path), count=2, seed=SEED + 1, progress=interrupt
        )
    lesions.draw_folder(str(tmp_path), count=2, seed=SEED)
    assert files_in(tmp_path) == old


def test_a_missing_image_is_drawn_again(tmp_path):
    lesions.draw_folder(str(tmp_path), count=2, seed=SEED)
    whole = files_in(tmp_path)
    (tmp_path / "images" / "drawn_0001.jpg").unlink()
    lesions.draw_folder(str(tmp_path), count=2, seed=SEED)
    assert files_in(tmp_path) == whole


def test_another_count_or_version_redraws_own_files_only(tmp_path, monkeypatch):
    fresh, used = tmp_path / "fresh", tmp_path / "used"
    lesions.draw_folder(str(used), count=3, seed=SEED + 1)
    mine = {"images/mine.jpg": b"1", "label_maps/drawn_by_me.png": b"2"}
    for path, content in mine.items():
        (used / path).write_bytes(content)
    lesions.draw_folder(str(used), count=1, seed=SEED)
    lesions.draw_folder(str(fresh), count=1, seed=SEED)
    assert files_in(used) == {**files_in(fresh), **mine}

    seen = []
    monkeypatch.setattr(lesions, "GENERATOR_VERSION", 99)
    lesions.draw_folder(str(used), count=1, seed=SEED, progress=recorded(seen))
    assert seen == [0]


def test_a_damaged_record_is_ignored(tmp_path):
    lesions.draw_folder(str(tmp_path), count=1, seed=SEED)
    whole = files_in(tmp_path)
    (tmp_path / "drawn.json").write_bytes(b'{"count": \xff')
    lesions.draw_folder(str(tmp_path), count=1, seed=SEED)
    assert files_in(tmp_path) == whole


def test_a_count_below_one_is_an_error(tmp_path):
    with pytest.raises(config.UserError, match=r"\(0\) must be at least 1"):
        lesions.draw_folder(str(tmp_path), count=0, seed=SEED)


def test_a_file_instead_of_the_folder_is_an_error(tmp_path):
    path = tmp_path / "taken"
    path.write_bytes(b"")
    with pytest.raises(config.UserError, match="taken cannot hold.*choose"):
        lesions.draw_folder(str(path), count=1, seed=SEED)


def test_multiclass_labels_are_drawn_as_numbers_the_upper_hiding_the_lower(
    tmp_path,
):
    labels = labels_lib.Labels(lesions.LABEL_NAMES)
    lesions.draw_folder(str(tmp_path), count=3, seed=SEED, labels=labels)
    drawing = lesions.draw_lesion(2, SEED).label_maps
    (pair,) = pairs.find_pairs(str(tmp_path), labels).pairs[2:]
    label_map = label_maps.read_label_map(pair, labels)
    lesion, hair, ruler = np.moveaxis(drawing, -1, 0)
    expected = [lesion & ~(hair | ruler) & 1, hair & ~ruler & 1, ruler]
    np.testing.assert_array_equal(label_map, np.stack(expected, -1))


def test_multilabel_labels_have_a_file_each(tmp_path):
    labels = labels_lib.Labels(lesions.LABEL_NAMES, multiclass=False)
    lesions.draw_folder(str(tmp_path), count=2, seed=SEED, labels=labels)
    assert (tmp_path / "label_maps" / "drawn_0001_ruler_mark.png").exists()
    pair = pairs.find_pairs(str(tmp_path), labels).pairs[1]
    np.testing.assert_array_equal(
        label_maps.read_label_map(pair, labels),
        lesions.draw_lesion(1, SEED).label_maps,
    )
    # Drawn again with one label, nothing of the others is left.
    lesions.draw_folder(str(tmp_path), count=2, seed=SEED)
    assert sorted(os.listdir(tmp_path / "label_maps")) == [
        "drawn_0000.png",
        "drawn_0001.png",
    ]


def test_label_that_cannot_be_drawn_is_an_error(tmp_path):
    with pytest.raises(
        config.UserError, match=r"--label_names \(wart\): drawn lesions have"
    ):
        lesions.draw_folder(
            str(tmp_path), count=1, seed=0, labels=labels_lib.Labels(("wart",))
        )
