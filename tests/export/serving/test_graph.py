"""Tests of a server's answers, with a segmentor that reads colors.

The probability of its labels is what red, green and blue are of 255, so the
expected numbers can be worked out by hand.
"""

import io
import json

import c_loader
import numpy as np
import pytest
import small_models
import tensorflow as tf
from PIL import Image

from export.serving import check, graph, image_decoding, saved_model
from segan_tf import config, labels

_SIZE = 16
_ONE = labels.Labels()
_MULTICLASS = labels.Labels(("vein", "artery", "optic disc"))
_MULTILABEL = labels.Labels(("globules", "streaks"), multiclass=False)


def _export(folder, named):
    segmentor = small_models.build_color_reader(named.count, size=_SIZE)
    return saved_model.export_saved_model(
        segmentor, str(folder), version=1, labels=named
    )


@pytest.fixture(scope="module", params=[_ONE, _MULTICLASS, _MULTILABEL])
def served(request, tmp_path_factory):
    """Returns the labels, the version's folder and a session of it."""
    path = _export(tmp_path_factory.mktemp("export"), request.param)
    with c_loader.CSession(path) as session:
        yield request.param, path, session


@pytest.fixture(scope="module")
def lesion_session(tmp_path_factory):
    path = _export(tmp_path_factory.mktemp("export"), _ONE)
    with c_loader.CSession(path) as session:
        yield session


@pytest.fixture(scope="module")
def multiclass_session(tmp_path_factory):
    path = _export(tmp_path_factory.mktemp("export"), _MULTICLASS)
    with c_loader.CSession(path) as session:
        yield session


@pytest.fixture(scope="module")
def multilabel_session(tmp_path_factory):
    path = _export(tmp_path_factory.mktemp("export"), _MULTILABEL)
    with c_loader.CSession(path) as session:
        yield session


def _png(image):
    stream = io.BytesIO()
    Image.fromarray(np.uint8(image)).save(stream, "PNG")
    return stream.getvalue()


def _plain(color, height=_SIZE, width=_SIZE):
    return np.full((height, width, 3), color, np.uint8)


def _quarters(*colors):
    """Draws four plain quarters, from left to right and down."""
    image = np.zeros((_SIZE, _SIZE, 3), np.uint8)
    half = _SIZE // 2
    for i, color in enumerate(colors):
        top, left = half * (i // 2), half * (i % 2)
        image[top : top + half, left : left + half] = color
    return image


def _decode(content):
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.mode) == ("PNG", "L")
    return np.array(image)


def _ask(session, *images):
    encoded = np.array([_png(image) for image in images], dtype=object)
    return session.run("serving_default", {"image_bytes": encoded})


def test_lesion_is_255_with_its_fraction_and_mean(lesion_session):
    image = _quarters((204, 0, 0), (0, 0, 0), (153, 0, 0), (102, 0, 0))

    answer = _ask(lesion_session, image)

    gray = _decode(answer["label_map_bytes"][0])
    half = _SIZE // 2
    expected = np.zeros((_SIZE, _SIZE))
    expected[:, :half] = 255  # 204 / 255 = 0.8 and 153 / 255 = 0.6; not 0.4
    np.testing.assert_array_equal(gray, expected)
    assert answer["lesion_fraction"].tolist() == [2 / 4]
    assert answer["label_fractions"].tolist() == [[2 / 4]]
    assert answer["mean_probability"].shape == (1,)
    assert answer["mean_probability"][0] == pytest.approx((0.8 + 0.6) / 2)
    assert answer["label_names"].tolist() == [[b"lesion"]]


def test_mean_without_a_lesion_is_0(lesion_session):
    answer = _ask(lesion_session, _plain((127, 255, 255)))  # 0.498

    assert not _decode(answer["label_map_bytes"][0]).any()
    assert answer["lesion_fraction"].tolist() == [0]
    assert answer["mean_probability"].tolist() == [0]


def test_multiclass_labels_are_their_numbers(multiclass_session):
    # In the third the background, 0.4, is likelier than 0.35 and 0.25; in the
    # fourth the third label, 0.4, than the background's 0.3.
    image = _quarters((204, 0, 0), (51, 153, 0), (89, 64, 0), (76.5, 0, 102))

    answer = _ask(multiclass_session, image)

    np.testing.assert_array_equal(
        _decode(answer["label_map_bytes"][0]),
        np.kron([[1, 2], [0, 3]], np.ones((_SIZE // 2, _SIZE // 2))),
    )
    assert answer["label_fractions"].tolist() == [[1 / 4] * 3]
    np.testing.assert_allclose(
        answer["mean_probability"], [[0.8, 0.6, 0.4]], rtol=1e-5
    )
    assert answer["label_names"].tolist() == [
        [b"vein", b"artery", b"optic disc"]
    ]
    assert "lesion_fraction" not in answer


def test_multilabel_labels_are_bits(multilabel_session):
    image = _quarters((204, 0, 0), (0, 153, 0), (255, 204, 0), (0, 0, 255))

    answer = _ask(multilabel_session, image)

    np.testing.assert_array_equal(
        _decode(answer["label_map_bytes"][0]),
        np.kron([[1, 2], [1 + 2, 0]], np.ones((_SIZE // 2, _SIZE // 2))),
    )
    assert answer["label_fractions"].tolist() == [[2 / 4, 2 / 4]]
    np.testing.assert_allclose(
        answer["mean_probability"],
        [[(0.8 + 1) / 2, (0.6 + 0.8) / 2]],
        rtol=1e-5,
    )


def test_batch_holds_images_of_any_sizes_and_formats(lesion_session):
    images = [
        _plain((255, 0, 0), 20, 50),
        _plain((0, 0, 0), 17, 19),
        _plain((255, 255, 255), 33, 16),
    ]
    encoded = [_png(image) for image in images]
    encoded[2] = tf.io.encode_jpeg(images[2]).numpy()

    answer = lesion_session.run("serving_default", {"image_bytes": encoded})

    for i, (image, gray) in enumerate(zip(images, (255, 0, 255), strict=True)):
        label_map = _decode(answer["label_map_bytes"][i])
        np.testing.assert_array_equal(label_map, np.full(image.shape[:2], gray))
    np.testing.assert_allclose(answer["mean_probability"], [1, 0, 1])


def test_large_image_is_shrunk_with_antialiasing(lesion_session):
    # One column in three is red: 1/3 everywhere, and no lesion, unless single
    # columns are picked.
    image = np.zeros((48, 3 * _SIZE, 3), np.uint8)
    image[:, 1::3, 0] = 255

    assert _ask(lesion_session, image)["lesion_fraction"].tolist() == [0]


def test_bad_image_has_an_error_and_the_others_of_its_batch_do_not(served):
    named, _, session = served
    good = [_png(_plain(color, 20, 30)) for color in ((204, 0, 0), (0, 153, 0))]
    bad = [b"no image", b"", good[0][:-30], _png(np.zeros((20, 20, 4)))]
    encoded = [good[0], *bad, good[1]]

    answer = session.run("serving_default", {"image_bytes": encoded})
    alone = session.run("serving_default", {"image_bytes": good})

    assert answer["error"].tolist() == [
        b"",
        b"is not a JPEG, PNG or BMP image",
        b"is empty",
        b"is damaged or truncated",
        b"is fully transparent: send it without its alpha channel",
        b"",
    ]
    assert answer["label_map_bytes"][1:5].tolist() == [b""] * 4
    for name, values in answer.items():
        np.testing.assert_array_equal(values[[0, 5]], alone[name], name)
        if values.dtype != object:
            assert not values[1:5].any()
    names = [name.encode() for name in named.names]
    assert answer["label_names"].tolist() == [names] * 6


def test_probabilities_come_with_label_names(served):
    named, _, session = served
    images = np.stack([_plain((51, 102, 0), 8, 40)] * 2)

    answer = session.run("probabilities", {"images": images})

    assert answer["probability_map"].shape == (2, 8, 40, named.count)
    np.testing.assert_allclose(
        answer["probability_map"][1, 3, 5],
        [51 / 255, 102 / 255, 0][: named.count],
        atol=1e-6,
    )
    names = [name.encode() for name in named.names]
    assert answer["label_names"].tolist() == [names] * 2


def test_signatures_have_open_batch_dimensions(served):
    named, _, session = served
    count = named.count

    assert set(session.signatures) == {"serving_default", "probabilities"}
    shapes = {
        name: {
            key: (info.dtype.name, info.shape)
            for key, info in (signature.inputs | signature.outputs).items()
        }
        for name, signature in session.signatures.items()
    }
    assert shapes["probabilities"] == {
        "images": ("uint8", (None, None, None, 3)),
        "probability_map": ("float32", (None, None, None, count)),
        "label_names": ("string", (None, count)),
    }
    expected = {
        "image_bytes": ("string", (None,)),
        "label_map_bytes": ("string", (None,)),
        "label_fractions": ("float32", (None, count)),
        "mean_probability": (
            "float32",
            (None,) if count == 1 else (None, count),
        ),
        "label_names": ("string", (None, count)),
        "error": ("string", (None,)),
    }
    if named is _ONE:
        expected["lesion_fraction"] = ("float32", (None,))
    assert shapes["serving_default"] == expected


def test_labels_are_in_the_folder_of_the_model(served):
    named, path, _ = served

    with open(f"{path}/assets.extra/labels.json", encoding="utf-8") as file:
        said = json.load(file)

    assert said == {
        "label_names": list(named.names),
        "label_kind": "multiclass" if named.multiclass else "multilabel",
    }


def test_more_multilabel_labels_than_bits_are_an_error(tmp_path):
    nine = labels.Labels(tuple("abcdefghi"), multiclass=False)

    with pytest.raises(config.UserError, match="at most 8 multilabel .* not 9"):
        saved_model.export_saved_model(
            None, str(tmp_path), version=1, labels=nine
        )

    eight = labels.Labels(tuple("abcdefgh"), multiclass=False)
    assert graph.gray_weights(eight) == [1, 2, 4, 8, 16, 32, 64, 128]


@pytest.mark.any_edition
@pytest.mark.parametrize(
    ("named", "color"),
    [
        (_ONE, (153, 0, 0)),  # 0.6; and 0.3 is 0.2 below 0.5
        (_MULTILABEL, (153, 51, 0)),
        # 0.5 of 0.5 + 0.2 + 0.3; the background's 0.6 with 0.2 + 0.2 has to
        # come down by 0.2 and the first 0.2 up by as much.
        (_MULTICLASS, (127.5, 51, 0)),
    ],
)
def test_check_measures_how_far_keras_is_from_the_served_decision(
    named, color, tmp_path
):
    path = _export(tmp_path, named)
    image = _plain(color)
    probability_map = np.float32(image[..., : named.count]) / 255

    def measure():
        return check.check_label_maps(
            path, [image], [probability_map], labels=named
        )

    assert measure() < 1e-6
    # Only the mean differs: nothing is decided otherwise.
    probability_map[..., 0] += 0.1
    assert measure() == pytest.approx(0.1, abs=1e-5)
    # The mean is the same again, but the right half is decided otherwise.
    probability_map[:, : _SIZE // 2, 0] += 0.2
    probability_map[:, _SIZE // 2 :, 0] -= 0.4
    assert measure() == pytest.approx(0.2, abs=0.002)


@pytest.mark.any_edition
def test_images_that_are_too_large_for_a_server_are_not_checked(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(image_decoding, "MAX_PIXELS", 20 * 20)
    untraced = image_decoding.read_image.python_function
    monkeypatch.setattr(image_decoding, "read_image", untraced)
    path = _export(tmp_path, _ONE)
    images = [_plain((204, 0, 0), 20, 20), _plain((204, 0, 0), 20, 21)]
    right, wrong = np.full((20, 20, 1), 0.8), np.zeros((20, 21, 1))

    difference = check.check_label_maps(
        path, images, [right, wrong], labels=_ONE
    )

    assert difference < 1e-6
    with c_loader.CSession(path) as session:
        answer = _ask(session, images[1])
    assert answer["error"][0].startswith(b"is too large (21x20); ")
