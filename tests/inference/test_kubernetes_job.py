"""Tests that the Kubernetes Job predicts every image of an archive once."""

import collections
import re

import numpy as np
import pytest
import running
from PIL import Image

import segan_tf

pytestmark = pytest.mark.runtimes
yaml = pytest.importorskip("yaml", reason="scripts/test --all installs it")

DEPLOY = running.ROOT / "deploy" / "predict"
INDEX = "$(JOB_COMPLETION_INDEX)"  # replaced by Kubernetes, in arguments too


@pytest.fixture(scope="module")
def job():
    found = yaml.safe_load((DEPLOY / "job.yaml").read_text())
    assert (found["apiVersion"], found["kind"]) == ("batch/v1", "Job")
    return found["spec"]


@pytest.fixture(scope="module")
def container(job):
    (container,) = job["template"]["spec"]["containers"]
    return container


def arguments(container, index):
    return [a.replace(INDEX, str(index)) for a in container["args"]]


def test_each_pod_has_a_shard(job, container, seen):
    assert job["completionMode"] == "Indexed"
    assert 1 <= job["parallelism"] <= job["completions"]
    for index in range(job["completions"]):
        assert running.run(*arguments(container, index)).status == 0
    assert {c.num_shards for c in seen} == {job["completions"]}
    assert [c.shard for c in seen] == list(range(job["completions"]))


def test_lost_pods_are_replaced_and_damaged_images_are_not_tried_again(
    job, container
):
    # Pods of an indexed Job with a limit for each index must not restart.
    assert job["backoffLimitPerIndex"] > 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert "--skip_bad_images" in container["args"]
    assert "--noresume" not in container["args"]


def test_there_is_a_worker_for_each_core(container):
    cores = container["resources"]["limits"]["cpu"]
    assert f"--workers={cores}" in container["args"]


def test_folders_are_mounted(job, container):
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    volumes = {v["name"] for v in job["template"]["spec"]["volumes"]}
    assert set(mounts) == volumes
    archive, results = mounts["archive"], mounts["results"]
    assert f"--input={archive['mountPath']}" in container["args"]
    assert archive["readOnly"]
    assert f"--output_dir={results['mountPath']}" in container["args"]
    assert not results.get("readOnly")


def test_image_has_the_name_of_the_version(container):
    name = f"segan-tf:{segan_tf.__version__}"
    assert container["image"] == name
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(rf"-t {re.escape(name)} ", text)


def test_all_pods_together_predict_every_image_once(job, container, tmp_path):
    archive, results = tmp_path / "archive", tmp_path / "results"
    archive.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(60, 200, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(archive / f"{number}.png")
    paths = {"=/archive": f"={archive}", "=/results": f"={results}"}
    written = collections.Counter()
    for index in range(0, job["completions"]):
        given = [
            re.sub("=/archive|=/results", lambda found: paths[found[0]], one)
            for one in arguments(container, index)
        ]
        assert running.run(*given, "--workers=1").status == 0
    for table in results.glob("predictions-*-of-*.csv"):
        written.update(table.read_text().splitlines()[1:])
    ids = [row.partition(",")[0] for row in written.elements()]
    assert sorted(ids) == sorted(map(str, range(12)))
