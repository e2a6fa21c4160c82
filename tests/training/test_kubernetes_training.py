"""Tests that the pods of the Kubernetes Job are workers that meet."""

import re

import pytest
import running

import segan_tf
from segan_tf.training import cluster, link, signals

pytestmark = pytest.mark.runtimes
yaml = pytest.importorskip("yaml", reason="scripts/test --all installs it")

DEPLOY = running.ROOT / "deploy" / "train"
INDEX = "$(JOB_COMPLETION_INDEX)"  # replaced by Kubernetes, in arguments too


@pytest.fixture(scope="module")
def manifests():
    found = list(yaml.safe_load_all((DEPLOY / "job.yaml").read_text()))
    assert [(m["apiVersion"], m["kind"]) for m in found] == [
        ("v1", "Service"),
        ("batch/v1", "Job"),
    ]
    return found


@pytest.fixture(scope="module")
def job(manifests):
    return manifests[1]["spec"]


@pytest.fixture(scope="module")
def container(job):
    (container,) = job["template"]["spec"]["containers"]
    return container


def test_each_pod_is_a_worker(job, container, seen):
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"]
    for index in range(job["completions"]):
        args = [a.replace(INDEX, str(index)) for a in container["args"]]
        result = running.run(*args)
        assert result.status == 0, result.err
    found = [cluster.find(config) for config in seen]
    assert [one.index for one in found] == list(range(job["completions"]))
    assert {one.count for one in found} == {job["completions"]}
    assert seen[0].batch_size % job["completions"] == 0


def test_coordinator_is_the_first_pod_in_the_service(manifests, job, container):
    service, job_manifest = manifests
    name = job_manifest["metadata"]["name"]
    subdomain = job["template"]["spec"]["subdomain"]
    assert subdomain == service["metadata"]["name"]
    # A Service without an address of its own gives each pod a name.
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert f"--coordinator={name}-0.{subdomain}:2222" in container["args"]


def test_lost_workers_are_replaced_and_mistakes_are_not(job, container):
    # Policies for exit codes need pods that are not restarted.
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["backoffLimit"] > 0
    actions = {}
    for rule in job["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes", {"values": []})
        assert codes.get("containerName", "train") == container["name"]
        assert codes.get("operator", "In") == "In"
        actions.update(dict.fromkeys(codes["values"], rule["action"]))
    assert actions == {
        1: "FailJob",
        link.LOST_STATUS: "Ignore",
        signals.EXIT_STATUS: "Ignore",
    }
    assert "--noresume" not in container["args"]


def test_folders_are_mounted(job, container):
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    volumes = {v["name"] for v in job["template"]["spec"]["volumes"]}
    assert set(mounts) == volumes
    data, run = mounts["data"], mounts["run"]
    assert f"--data_dir={data['mountPath']}" in container["args"]
    assert data["readOnly"]
    assert f"--model_dir={run['mountPath']}/segan" in container["args"]
    assert not run.get("readOnly")
    user = container["securityContext"]["runAsUser"]
    assert job["template"]["spec"]["securityContext"]["fsGroup"] == user


def test_image_has_the_name_of_the_version(container):
    name = f"segan-tf-train:{segan_tf.__version__}"
    assert container["image"] == name
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(rf"-t {re.escape(name)} ", text)
