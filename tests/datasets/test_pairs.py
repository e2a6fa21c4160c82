"""Tests of finding pairs: layouts, names and files without a partner."""

import dataclasses
import os

import pytest
from PIL import Image

from segan_tf import config, labels
from segan_tf.datasets import layouts, pairs
from segan_tf.imaging import formats


def draw(root, *names):
    """Writes a gray 16x16 image under each name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        form = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else None
        form = form or path.suffix[1:].upper()
        Image.new("L", (16, 16), 90).save(path, format=form)


def names_of(found):
    """Returns (id, split) of each pair."""
    return [(pair.id, pair.split) for pair in found.pairs]


@pytest.mark.parametrize(
    ("images", "label_maps", "split"),
    [
        (
            "ISBI2016_ISIC_Part1_Training_Data",
            "ISBI2016_ISIC_Part1_Training_GroundTruth",
            "train",
        ),
        (
            "ISBI2016_ISIC_Part1_Test_Data",
            "ISBI2016_ISIC_Part1_Test_GroundTruth",
            "test",
        ),
        (
            "ISIC-2017_Training_Data",
            "ISIC-2017_Training_Part1_GroundTruth",
            "train",
        ),
        (
            "ISIC-2017_Validation_Data",
            "ISIC-2017_Validation_Part1_GroundTruth",
            "validation",
        ),
        (
            "ISIC-2017_Test_v2_Data",
            "ISIC-2017_Test_v2_Part1_GroundTruth",
            "test",
        ),
        (
            "ISIC2018_Task1-2_Training_Input",
            "ISIC2018_Task1_Training_GroundTruth",
            "train",
        ),
        (
            "ISIC2018_Task1-2_Validation_Input",
            "ISIC2018_Task1_Validation_GroundTruth",
            "validation",
        ),
        (
            "ISIC2018_Task1-2_Test_Input",
            "ISIC2018_Task1_Test_GroundTruth",
            "test",
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["_segmentation", "_Segmentation"])
def test_official_isic_folder_names_its_split(
    tmp_path, images, label_maps, split, suffix
):
    draw(
        tmp_path,
        f"{images}/ISIC_0000001.jpg",
        f"{label_maps}/ISIC_0000001{suffix}.png",
    )
    found = pairs.find_pairs(str(tmp_path))
    assert found == pairs.DiscoveredPairs(
        (
            pairs.Pair(
                "ISIC_0000001",
                str(tmp_path / images / "ISIC_0000001.jpg"),
                (str(tmp_path / label_maps / f"ISIC_0000001{suffix}.png"),),
                split,
            ),
        ),
        (),
    )


def test_official_splits_come_together_sorted_by_id(tmp_path):
    for word, name in [
        ("Training", "ISIC_2"),
        ("Validation", "ISIC_1"),
        ("Test_v2", "ISIC_3"),
    ]:
        draw(
            tmp_path,
            f"ISIC-2017_{word}_Data/{name}.jpg",
            f"ISIC-2017_{word}_Part1_GroundTruth/{name}_segmentation.png",
        )
    found = pairs.find_pairs(str(tmp_path))
    assert names_of(found) == [
        ("ISIC_1", "validation"),
        ("ISIC_2", "train"),
        ("ISIC_3", "test"),
    ]
    assert found.problems == ()


def test_superpixels_texts_and_hidden_files_are_ignored(tmp_path):
    draw(
        tmp_path,
        "ISIC-2017_Training_Data/ISIC_1.jpg",
        "ISIC-2017_Training_Data/ISIC_1_superpixels.png",
        "ISIC-2017_Training_Data/ISIC_2_Superpixels.PNG",
        "ISIC-2017_Training_Data/._ISIC_1.jpg",
        "ISIC-2017_Training_Data/.thumbnails/ISIC_1.jpg",
        "ISIC-2017_Training_Part1_GroundTruth/ISIC_1_segmentation.png",
    )
    (tmp_path / "ISIC-2017_Training_Data" / "LICENSE.txt").write_text("CC-0")
    found = pairs.find_pairs(str(tmp_path))
    assert names_of(found) == [("ISIC_1", "train")]
    assert found.problems == ()


@pytest.mark.parametrize(
    "root", ["PH2_Dataset_images", "PH2 Dataset images", "."]
)
def test_ph2_cases_are_found(tmp_path, root):
    for case in ("IMD003", "IMD002"):
        draw(
            tmp_path / root,
            f"{case}/{case}_Dermoscopic_Image/{case}.bmp",
            f"{case}/{case}_lesion/{case}_lesion.bmp",
            f"{case}/{case}_roi/{case}_R1_Label1.bmp",
        )
    found = pairs.find_pairs(str(tmp_path))
    assert names_of(found) == [("IMD002", ""), ("IMD003", "")]
    assert found.problems == ()
    assert found.pairs[0].label_map_paths[0].endswith("IMD002_lesion.bmp")


def test_ph2_case_without_label_map_is_a_problem(tmp_path):
    draw(
        tmp_path,
        "IMD002/IMD002_Dermoscopic_Image/IMD002.bmp",
        "IMD002/IMD002_lesion/IMD002_lesion.bmp",
        "IMD003/IMD003_Dermoscopic_Image/IMD003.bmp",
    )
    found = pairs.find_pairs(str(tmp_path))
    assert names_of(found) == [("IMD002", "")]
    assert any("IMD003_lesion is missing" in line for line in found.problems)
    assert any("the 1 images in" in line for line in found.problems)


@pytest.mark.parametrize("folder", ["label_maps", "masks", "Masks"])
@pytest.mark.parametrize(
    "label_map",
    [
        "a.png",
        "a_segmentation.png",
        "a_label_map.PNG",
        "a_Mask.bmp",
        "a_LESION.jpg",
    ],
)
def test_plain_folders_take_common_names_of_label_maps(
    tmp_path, folder, label_map
):
    draw(tmp_path, "images/a.JPEG", f"{folder}/{label_map}")
    found = pairs.find_pairs(str(tmp_path))
    assert names_of(found) == [("a", "")]
    assert os.path.basename(found.pairs[0].label_map_paths[0]) == label_map
    assert found.problems == ()


def test_image_called_like_a_label_map_keeps_its_name(tmp_path):
    draw(tmp_path, "images/a_mask.jpg", "masks/a_mask.png")
    assert names_of(pairs.find_pairs(str(tmp_path))) == [("a_mask", "")]


def test_files_without_a_partner_are_problems(tmp_path):
    draw(
        tmp_path,
        "images/a.jpg",
        "images/b.jpg",
        "masks/a.png",
        "masks/c_mask.png",
    )
    found = pairs.find_pairs(str(tmp_path))
    image, label_map = tmp_path / "images/b.jpg", tmp_path / "masks/c_mask.png"
    assert names_of(found) == [("a", "")]
    assert found.problems == (
        f"image without label map, not used: {image}",
        f"label map without image, not used: {label_map}",
    )


@pytest.mark.parametrize("second", ["images/b.png", "masks/b_mask.png"])
def test_two_files_with_one_id_are_problems_and_not_used(tmp_path, second):
    draw(
        tmp_path,
        "images/a.jpg",
        "images/b.jpg",
        "masks/a.png",
        "masks/b.png",
        second,
    )
    found = pairs.find_pairs(str(tmp_path))
    (problem,) = found.problems
    assert names_of(found) == [("a", "")]
    for name in ("images/b.jpg", "masks/b.png", second):
        assert str(tmp_path / name) in problem
    assert "keep one of each" in problem


def test_id_in_two_official_splits_is_not_used(tmp_path):
    for word, names in [("Training", "ab"), ("Test", "b")]:
        for name in names:
            draw(
                tmp_path,
                f"ISIC2018_Task1-2_{word}_Input/{name}.jpg",
                f"ISIC2018_Task1_{word}_GroundTruth/{name}_segmentation.png",
            )
    found = pairs.find_pairs(str(tmp_path))
    (problem,) = found.problems
    assert names_of(found) == [("a", "train")]
    assert "b is in several folders" in problem
    assert "Training_Input" in problem
    assert "Test_Input" in problem


def test_official_images_without_ground_truth_folder_are_counted(tmp_path):
    draw(
        tmp_path,
        "ISIC-2017_Training_Data/a.jpg",
        "ISIC-2017_Training_Part1_GroundTruth/a_segmentation.png",
        "ISIC-2017_Test_v2_Data/b.jpg",
        "ISIC-2017_Test_v2_Data/c.jpg",
    )
    found = pairs.find_pairs(str(tmp_path))
    missing, unused = found.problems
    assert names_of(found) == [("a", "train")]
    assert "ISIC-2017_Test_v2_Part1_GroundTruth is missing" in missing
    assert "the 2 images in" in unused
    assert "not used" in unused


def test_unread_formats_and_inner_folders_are_problems(tmp_path):
    draw(tmp_path, "images/a.jpg", "masks/a.png", "images/more/b.jpg")
    (tmp_path / "images" / "c.JXL").write_bytes(b"II")
    found = pairs.find_pairs(str(tmp_path))
    unread, inner = found.problems
    assert "c.JXL is not used: only JPEG, PNG, BMP, TIFF" in unread
    assert "more is not searched, its 1 images are not used" in inner


def test_broken_link_stays_a_pair_for_the_checks_to_name(tmp_path):
    draw(tmp_path, "images/a.jpg", "masks/a.png", "masks/b.png")
    (tmp_path / "images" / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    found = pairs.find_pairs(str(tmp_path))
    assert names_of(found) == [("a", ""), ("b", "")]


def test_two_folders_of_any_name_are_paired(tmp_path):
    draw(tmp_path, "photos/a.jpg", "truth/a_lesion.png")
    found = pairs.find_pairs_in_folders(
        str(tmp_path / "photos"), str(tmp_path / "truth")
    )
    assert names_of(found) == [("a", "")]


def test_error_names_the_missing_folder_and_its_flag(tmp_path):
    gone = str(tmp_path / "gone")
    with pytest.raises(config.UserError, match="--data_dir .*gone.*not exist"):
        pairs.find_pairs(gone)
    with pytest.raises(config.UserError, match="--image_dir .*not exist"):
        pairs.find_pairs_in_folders(gone, str(tmp_path))
    draw(tmp_path, "photos/a.jpg")
    with pytest.raises(config.UserError, match="--label_map_dir .*not exist"):
        pairs.find_pairs_in_folders(str(tmp_path / "photos"), gone)


def test_file_instead_of_folder_is_an_error(tmp_path):
    draw(tmp_path, "a.jpg")
    with pytest.raises(config.UserError, match="not a readable folder"):
        pairs.find_pairs(str(tmp_path / "a.jpg"))


def test_error_names_the_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(config.UserError, match="--data_dir .*empty.*is empty"):
        pairs.find_pairs(str(tmp_path / "empty"))
    draw(tmp_path, "plain/masks/a.png")
    (tmp_path / "plain" / "images").mkdir()
    with pytest.raises(config.UserError, match="images holds no JPEG"):
        pairs.find_pairs(str(tmp_path / "plain"))


def test_error_about_an_unknown_layout_lists_the_known_ones(tmp_path):
    draw(tmp_path, "images/a.jpg")
    with pytest.raises(
        config.UserError, match="no known layout.*ISIC 2016.*PH2.*label_maps/"
    ):
        pairs.find_pairs(str(tmp_path))


def test_error_about_an_inner_folder_suggests_the_folder_above(tmp_path):
    draw(tmp_path, "ISIC-2017_Training_Data/a.jpg")
    with pytest.raises(config.UserError, match="give the folder above it"):
        pairs.find_pairs(str(tmp_path / "ISIC-2017_Training_Data"))


def test_several_layouts_in_a_folder_are_an_error(tmp_path):
    draw(
        tmp_path,
        "ISIC-2017_Training_Data/a.jpg",
        "ISIC2018_Task1-2_Training_Input/a.jpg",
    )
    with pytest.raises(config.UserError, match="ISIC 2017 and ISIC 2018"):
        pairs.find_pairs(str(tmp_path))


def test_label_maps_and_masks_together_are_an_error(tmp_path):
    draw(tmp_path, "images/a.jpg", "masks/a.png", "label_maps/a.png")
    with pytest.raises(config.UserError, match="both label_maps and masks"):
        pairs.find_pairs(str(tmp_path))


def test_no_common_id_at_all_is_an_error(tmp_path):
    draw(tmp_path, "images/a.jpg", "masks/b.png")
    with pytest.raises(config.UserError, match="no pair.*without label map"):
        pairs.find_pairs(str(tmp_path))


def test_one_folder_for_both_is_an_error(tmp_path):
    draw(tmp_path, "a.jpg")
    with pytest.raises(config.UserError, match="are the same folder"):
        pairs.find_pairs_in_folders(str(tmp_path), str(tmp_path))


def labeled(*names):
    return labels.Labels(names, multiclass=False)


def test_one_label_map_for_each_label_makes_one_pair(tmp_path):
    draw(
        tmp_path,
        "images/a.jpg",
        "masks/a_Ruler mark.png",
        "masks/a_hair.png",
    )
    found = pairs.find_pairs(str(tmp_path), labeled("hair", "ruler mark"))
    (pair,) = found.pairs
    assert [os.path.basename(path) for path in pair.label_map_paths] == [
        "a_hair.png",
        "a_Ruler mark.png",
    ]
    assert found.problems == found.notes == ()


def test_missing_label_map_of_a_label_is_a_problem(tmp_path):
    draw(tmp_path, "images/a.jpg", "images/b.jpg", "masks/a_hair.png")
    draw(tmp_path, "masks/b_hair.png", "masks/b_ruler.png")
    found = pairs.find_pairs(str(tmp_path), labeled("hair", "ruler"))
    assert [pair.id for pair in found.pairs] == ["b"]
    (problem,) = found.problems
    assert problem.startswith(
        "a has 0 label map(s) for ruler and needs one, a_ruler.png; none is"
    )


def test_label_maps_of_other_labels_are_left_out_with_a_note(tmp_path):
    draw(tmp_path, "images/a.jpg", "masks/a_hair.png")
    # "lesion" may end the name of any label map, but hair was asked for.
    draw(tmp_path, "masks/a_lesion.png", "masks/a_ruler.png")
    found = pairs.find_pairs(str(tmp_path), labeled("hair"))
    (pair,) = found.pairs
    assert pair.label_map_paths[0].endswith("a_hair.png")
    assert found.problems == ()
    (note,) = found.notes
    assert "2 label map(s) of other labels than hair are left out" in note


def test_index_map_together_with_maps_of_each_label_is_a_problem(tmp_path):
    draw(tmp_path, "images/a.jpg", "images/b.jpg", "masks/b.png")
    draw(tmp_path, "masks/a.png", "masks/a_x.png", "masks/a_y.png")
    found = pairs.find_pairs(str(tmp_path), labeled("x", "y"))
    assert [pair.label_map_paths for pair in found.pairs] == [
        (str(tmp_path / "masks" / "b.png"),)
    ]
    assert "a has 1 image(s) and 3 label map(s)" in found.problems[0]


def test_unknown_ending_without_maps_of_a_label_is_a_problem(tmp_path):
    draw(tmp_path, "images/a.jpg", "masks/a.png", "masks/a_foo.png")
    found = pairs.find_pairs(str(tmp_path))
    assert len(found.pairs) == 1
    assert "label map without image, not used: " in found.problems[0]


def test_one_row_of_the_table_adds_a_layout(tmp_path, monkeypatch):
    def find(data_dir, folders):
        if "photos" not in folders or "contours" not in folders:
            return []
        return [layouts.Part("test", folders["photos"], folders["contours"])]

    clinic = layouts.Layout(
        "Clinic",
        find,
        example="Photos with Contours",
        inner_folders=frozenset({"photos", "contours"}),
        label_map_endings=("_contour",),
        ignored_endings=("_preview",),
    )
    draw(tmp_path, "Photos/a.jpg", "Photos/a_preview.jpg")
    draw(tmp_path, "Contours/a_Contour.png")
    (tmp_path / "other").mkdir()

    monkeypatch.setattr(layouts, "LAYOUTS", (*layouts.LAYOUTS, clinic))

    found = pairs.find_pairs(str(tmp_path))
    assert names_of(found) == [("a", "test")]
    assert found.problems == ()
    for folder, message in (
        ("other", r"known layouts are ISIC 2016.* and Clinic \(Photos with"),
        ("Photos", "give the folder above it"),
    ):
        with pytest.raises(config.UserError, match=message):
            pairs.find_pairs(str(tmp_path / folder))
    draw(tmp_path, "images/a.jpg", "masks/a.png")
    with pytest.raises(config.UserError, match="or masks/ and Clinic, which"):
        pairs.find_pairs(str(tmp_path))


def test_messages_list_every_format_that_is_read(tmp_path, monkeypatch):
    draw(tmp_path, "images/a.jpg", "masks/a.png", "images/b.tga")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "empty" / "masks").mkdir()
    (tmp_path / "empty" / "masks" / "a.jxl").write_bytes(b"any")
    rows = [
        dataclasses.replace(row, is_read=row.is_read or row.name == "TGA")
        for row in formats.FORMATS
    ]
    monkeypatch.setattr(formats, "FORMATS", tuple(rows))

    (problem,) = pairs.find_pairs(str(tmp_path)).problems

    assert problem.startswith("image without label map")
    with pytest.raises(
        config.UserError,
        match=r"holds no JPEG.* or TGA file(.|\n)*a\.jxl is not used: "
        "only JPEG.* and TGA are read",
    ):
        pairs.find_pairs(str(tmp_path / "empty"))
