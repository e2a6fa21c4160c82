import json

import pytest

from segan_tf.config import Config, UserError
from segan_tf.training import cluster

pytestmark = pytest.mark.any_edition

FLAGS = {"num_workers": 2, "worker_index": 1, "coordinator": "host:2222"}


def tf_config(monkeypatch, kind="worker", index=0, **jobs):
    content = {"cluster": jobs, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(content))


def test_process_without_either_trains_alone(monkeypatch):
    assert cluster.find(Config()) is None
    monkeypatch.setenv("TF_CONFIG", " ")
    assert cluster.find(Config()) is None
    tf_config(monkeypatch, worker=["a:1"])
    assert cluster.find(Config()) is None


def test_flags_name_the_chief():
    found = cluster.find(Config(**FLAGS))
    assert found == cluster.Cluster("host:2222", index=1, count=2)


@pytest.mark.parametrize(
    ("kind", "index", "jobs", "expected"),
    [
        ("worker", 1, {"worker": ["a:1", "b:1"]}, ("a:1", 1, 2)),
        ("chief", 0, {"chief": ["c:1"], "worker": ["a:1"]}, ("c:1", 0, 2)),
        ("worker", 0, {"chief": ["c:1"], "worker": ["a:1"]}, ("c:1", 1, 2)),
    ],
)
def test_tf_config_is_understood(monkeypatch, kind, index, jobs, expected):
    tf_config(monkeypatch, kind, index, **jobs)
    assert cluster.find(Config()) == cluster.Cluster(*expected)


@pytest.mark.parametrize(
    ("kind", "index", "jobs", "words"),
    [
        ("ps", 0, {"worker": ["a:1", "b:1"]}, "names the task ps, and only"),
        ("worker", 0, {"worker": ["a:1"], "ps": ["b:1"]}, "names the task ps"),
        ("worker", 2, {"worker": ["a:1", "b:1"]}, "no address for worker 2"),
        ("chief", 1, {"chief": ["a:1"], "worker": ["b:1"]}, "for chief 1"),
        ("worker", -1, {"worker": ["a:1", "b:1"]}, "for worker -1"),
        ("worker", 0, {"worker": ["a", "b"]}, "cannot be understood"),
        ("worker", 0, {"worker": ["a:99999", "b:1"]}, "a:99999 is not HOST:P"),
        ("worker", 0, {"worker": [":1", "b:1"]}, ":1 is not HOST:PORT"),
    ],
)
def test_mistake_in_tf_config_is_named(monkeypatch, kind, index, jobs, words):
    tf_config(monkeypatch, kind, index, **jobs)
    with pytest.raises(UserError, match=f"^the variable TF_CONFIG .*{words}"):
        cluster.find(Config())


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": 3}', '{"task": []}'])
def test_damaged_tf_config_shows_an_example(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    if text == '{"task": []}':
        assert cluster.find(Config()) is None
        return
    with pytest.raises(UserError, match="cannot be understood .*; give such"):
        cluster.find(Config())


def test_virtual_devices_and_tf_config_exclude_each_other(monkeypatch):
    tf_config(monkeypatch, worker=["a:1", "b:1"])
    words = r"^--virtual_devices \(2\) .* TF_CONFIG, which describes 2 workers"
    with pytest.raises(UserError, match=words):
        cluster.find(Config(virtual_devices=2))


def test_flags_and_tf_config_exclude_each_other(monkeypatch):
    tf_config(monkeypatch, worker=["a:1", "b:1"])
    with pytest.raises(UserError, match="both describe the workers"):
        cluster.find(Config(**FLAGS))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"num_workers": 1},
            "--worker_index (1) needs --num_workers, of 2 or more.",
        ),
        ({"coordinator": ""}, "--worker_index (1) needs --coordinator too."),
        (
            {"worker_index": None},
            "--coordinator (host:2222) needs --worker_index too.",
        ),
        (
            {"worker_index": 2},
            "--worker_index (2) must be below --num_workers (2).",
        ),
        (
            {"coordinator": "host"},
            "--coordinator (host) must be HOST:PORT, such as 10.0.0.1:2222.",
        ),
        (
            {"coordinator": "host:70000"},
            "--coordinator (host:70000) must be HOST:PORT, such as "
            "10.0.0.1:2222.",
        ),
        (
            {"virtual_devices": 2},
            "--virtual_devices (2) and --num_workers (2) exclude each other; "
            "give one.",
        ),
    ],
)
def test_incomplete_flags_are_one_line(changes, error):
    with pytest.raises(UserError) as caught:
        Config(**{**FLAGS, **changes})
    assert str(caught.value) == error


def test_library_does_not_start_workers():
    with pytest.raises(UserError, match="only the command line starts workers"):
        cluster.find(Config(num_workers=2))
