"""Tests that the configuration of TF Serving is valid and consistent."""

import pathlib
import re

import pytest
import running
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

import segan_tf
from export import versions
from export.serving import saved_model

pytestmark = pytest.mark.serving
yaml = pytest.importorskip("yaml", reason="scripts/test --all installs it")
pytest.importorskip(
    "tensorflow_serving.apis", reason="scripts/test --all installs it"
)
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

DEPLOY = running.ROOT / "deploy" / "tf_serving"
GRPC_PORT, REST_PORT = 8500, 8501
METRICS_PATH = "/monitoring/prometheus/metrics"
STATUS_PATH = f"/v1/models/{saved_model.SERVED_NAME}"

# tensorflow-serving-api leaves two messages out: their fields, after
# session_bundle_config.proto and monitoring_config.proto of TF Serving.
_FIELD = descriptor_pb2.FieldDescriptorProto
_INT = ".google.protobuf.Int64Value"
_TEXT = ".google.protobuf.StringValue"
_MESSAGES = {
    "BatchingParameters": [
        ("max_batch_size", 1, _INT),
        ("batch_timeout_micros", 2, _INT),
        ("max_enqueued_batches", 3, _INT),
        ("num_batch_threads", 4, _INT),
        ("thread_pool_name", 5, _TEXT),
        ("allowed_batch_sizes", 6, _FIELD.TYPE_INT64),
        ("pad_variable_length_inputs", 7, _FIELD.TYPE_BOOL),
    ],
    "PrometheusConfig": [
        ("enable", 1, _FIELD.TYPE_BOOL),
        ("path", 2, _FIELD.TYPE_STRING),
    ],
    "MonitoringConfig": [
        ("prometheus_config", 1, ".tensorflow.serving.PrometheusConfig"),
    ],
}


def _make_classes():
    file = descriptor_pb2.FileDescriptorProto(
        name="left_out.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number)
            repeated = field_name == "allowed_batch_sizes"
            field.label = (
                _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            )
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles(["left_out.proto"], pool)


def _parse(name, message):
    return text_format.Parse((DEPLOY / name).read_text(), message)


def _parse_left_out(name, message_name):
    return _parse(name, _make_classes()[f"tensorflow.serving.{message_name}"]())


def _read_yaml(name):
    return yaml.safe_load((DEPLOY / name).read_text())


def _read_all_yaml(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


@pytest.fixture(scope="module")
def pod():
    deployment = _read_yaml("kubernetes/deployment.yaml")
    assert (deployment["apiVersion"], deployment["kind"]) == (
        "apps/v1",
        "Deployment",
    )
    return deployment["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod):
    (container,) = pod["spec"]["containers"]
    return container


@pytest.fixture(scope="module")
def compose():
    return _read_yaml("docker-compose.yml")["services"]["segan"]


def test_the_model_has_the_name_that_warm_up_and_clients_use():
    servers = _parse(
        "models.config", model_server_config_pb2.ModelServerConfig()
    )

    (model,) = servers.model_config_list.config
    assert model.name == saved_model.SERVED_NAME
    assert model.base_path == f"/models/{saved_model.SERVED_NAME}"
    assert model.model_platform == "tensorflow"


def test_labels_name_versions_that_are_loaded(container):
    servers = _parse(
        "models.config", model_server_config_pb2.ModelServerConfig()
    )

    (model,) = servers.model_config_list.config
    assert set(model.version_labels) == {"stable", "canary"}
    loaded = model.model_version_policy.specific.versions
    assert set(model.version_labels.values()) <= set(loaded)
    assert list(loaded) == [1]  # an empty folder's first export
    assert {
        "--allow_version_labels_for_unavailable_models=true",
        "--model_config_file_poll_wait_seconds=60",
    } <= set(container["args"])


def test_batch_sizes_increase_to_the_largest():
    batching = _parse_left_out("batching.config", "BatchingParameters")

    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 1
    assert sizes[-1] == batching.max_batch_size.value
    # `probabilities` would answer padded images as if they were not.
    assert not batching.pad_variable_length_inputs
    assert 0 < batching.batch_timeout_micros.value < 10_000
    assert batching.max_enqueued_batches.value > 0


def test_threads_are_those_of_the_cpu_limit(container, compose):
    batching = _parse_left_out("batching.config", "BatchingParameters")

    cores = container["resources"]["limits"]["cpu"]
    assert str(batching.num_batch_threads.value) == cores
    assert f"--tensorflow_intra_op_parallelism={cores}" in container["args"]
    assert f"--tensorflow_inter_op_parallelism={cores}" in container["args"]
    assert str(compose["cpus"]) == cores


def test_batching_is_off(container, compose):
    arguments = container["args"] + compose["command"]
    assert not [flag for flag in arguments if "batching" in flag]


def test_metrics_are_served_where_prometheus_looks(pod):
    monitoring = _parse_left_out("monitoring.config", "MonitoringConfig")

    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == METRICS_PATH
    assert pod["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(REST_PORT),
        "prometheus.io/path": METRICS_PATH,
    }


def test_rest_alone_can_be_reached_from_other_machines(container, compose):
    service = _read_yaml("kubernetes/service.yaml")
    servers, _ = _read_all_yaml("kubernetes/network.yaml")

    assert container["ports"] == [{"name": "rest", "containerPort": REST_PORT}]
    assert service["spec"]["ports"] == [
        {"name": "rest", "port": REST_PORT, "targetPort": "rest"}
    ]
    (ingress,) = servers["spec"]["ingress"]
    assert ingress["ports"] == [{"protocol": "TCP", "port": "rest"}]
    assert compose["ports"] == [
        f"127.0.0.1:{port}:{port}" for port in (GRPC_PORT, REST_PORT)
    ]
    assert f"/{REST_PORT}" in compose["healthcheck"]["test"][-1]


@pytest.mark.parametrize(
    ("probe", "path"),
    [
        ("startupProbe", STATUS_PATH),
        ("readinessProbe", f"{STATUS_PATH}/metadata"),
        ("livenessProbe", STATUS_PATH),
    ],
)
def test_probes_use_urls_of_tf_serving(container, probe, path):
    assert container[probe]["httpGet"] == {"path": path, "port": "rest"}


def test_probes_allow_time_to_load_and_to_be_busy(container):
    startup, live = container["startupProbe"], container["livenessProbe"]

    assert startup["periodSeconds"] * startup["failureThreshold"] >= 120
    assert live["periodSeconds"] * live["failureThreshold"] >= 60


def test_both_ways_start_the_same_server(container, compose):
    assert compose["image"] == container["image"]
    flags = [f for f in container["args"] if "parallelism" not in f]
    assert compose["command"] == flags
    memory = container["resources"]["limits"]["memory"]
    assert compose["mem_limit"] == memory.lower().removesuffix("i")


def test_every_file_in_the_arguments_is_mounted(container, pod):
    named = {
        pathlib.PurePath(path).name
        for path in re.findall(
            r"_file=/config/(\S+)", " ".join(container["args"])
        )
    }
    kustomization = _read_yaml("kustomization.yaml")
    hashed, models = kustomization["configMapGenerator"]
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}

    assert named <= {*hashed["files"], *models["files"]}
    assert all((DEPLOY / name).is_file() for name in named)
    assert sorted(kustomization["resources"]) == sorted(
        str(path.relative_to(DEPLOY))
        for path in (DEPLOY / "kubernetes").iterdir()
    )
    assert mounts["models"]["mountPath"] == f"/models/{saved_model.SERVED_NAME}"
    assert mounts["config"] == {
        "name": "config",
        "mountPath": "/config",
        "readOnly": True,
    }
    assert volumes["config"]["projected"]["sources"] == [
        {"configMap": {"name": hashed["name"]}},
        {"configMap": {"name": models["name"]}},
    ]


def test_an_edited_version_reaches_running_servers(container):
    """A new name would start new servers; a single file is never updated."""
    _, models = _read_yaml("kustomization.yaml")["configMapGenerator"]

    assert models["files"] == ["models.config"]
    assert models["options"] == {"disableNameSuffixHash": True}
    assert all(
        "subPath" not in mount
        for mount in container["volumeMounts"]
        if mount["name"] == "config"
    )


def test_export_fills_the_volume_that_servers_read(container, pod):
    claim = _read_yaml("kubernetes/models.yaml")
    job = _read_yaml("kubernetes/export.yaml")
    exporting = job["spec"]["template"]["spec"]
    (exporter,) = exporting["containers"]
    (waiting,) = pod["spec"]["initContainers"]

    assert (claim["apiVersion"], claim["kind"]) == (
        "v1",
        "PersistentVolumeClaim",
    )
    # Servers of several nodes read it, and the Job writes.
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    name = claim["metadata"]["name"]
    claims = [
        volume["persistentVolumeClaim"]
        for spec in (exporting, pod["spec"])
        for volume in spec["volumes"]
        if volume["name"] == "models"
    ]
    assert claims == [
        {"claimName": name},
        {"claimName": name, "readOnly": True},
    ]
    written, waited, read = (
        next(m for m in c["volumeMounts"] if m["name"] == "models")
        for c in (exporter, waiting, container)
    )
    export_dir = written["mountPath"]
    assert f"--export_dir={export_dir}" in exporter["args"]
    version = versions.saved_model_path(export_dir, 1)
    assert f"{export_dir}/{read['subPath']}/1" == version
    assert waited["mountPath"] == export_dir
    assert f"{export_dir}/{read['subPath']}/*/" in waiting["command"][-1]
    assert exporting["securityContext"]["fsGroup"] == 1000
    assert exporting["restartPolicy"] == "Never"


def test_arguments_of_the_export_are_accepted(seen):
    job = _read_yaml("kubernetes/export.yaml")
    (exporter,) = job["spec"]["template"]["spec"]["containers"]

    assert running.run(*exporter["args"]).status == 0

    assert seen[0].model == "pretrained"


def test_image_of_the_export_is_that_of_predict_with_tensorflow():
    job = _read_yaml("kubernetes/export.yaml")
    (exporter,) = job["spec"]["template"]["spec"]["containers"]
    text = (DEPLOY / "Dockerfile").read_text()
    other = (DEPLOY.parent / "predict" / "Dockerfile").read_text()

    assert exporter["image"] == f"segan-tf-export:{segan_tf.__version__}"
    assert f"-t {exporter['image']} ." in text
    steps = [
        [line for line in one.splitlines() if not line.startswith("#")]
        for one in (text, other.replace("[lite]", "[cpu]"))
    ]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("name", ["deployment", "export"])
def test_pods_have_no_more_rights_than_they_need(name):
    """Those of the Kubernetes standard "restricted", and more."""
    pod = _read_yaml(f"kubernetes/{name}.yaml")["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {
        "type": "RuntimeDefault"
    }
    for container in pod["containers"] + pod.get("initContainers", []):
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in pod["volumes"]}


def test_containers_of_compose_have_no_more_rights_than_they_need(compose):
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    assert compose["security_opt"] == ["no-new-privileges:true"]
    assert not compose["user"].startswith("0")
    assert all(volume.endswith(":ro") for volume in compose["volumes"])


def test_network_policies_name_pods_that_exist():
    policies = _read_all_yaml("kubernetes/network.yaml")

    for policy, file in zip(policies, ["deployment", "export"], strict=True):
        assert policy["apiVersion"] == "networking.k8s.io/v1"
        assert policy["kind"] == "NetworkPolicy"
        template = _read_yaml(f"kubernetes/{file}.yaml")["spec"]["template"]
        chosen = policy["spec"]["podSelector"]["matchLabels"]
        assert chosen == template["metadata"]["labels"]
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert policy["spec"]["egress"] == []
    assert policies[1]["spec"]["ingress"] == []


def test_requests_under_way_are_answered_before_a_server_ends(container, pod):
    client = (running.ROOT / "examples" / "serving_client.py").read_text()
    (deadline,) = re.findall(r'"--timeout", type=float, default=(\S+),', client)
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]

    assert command == "sleep"
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert float(deadline) < int(seconds) < grace


def test_servers_are_spread_and_not_all_taken_at_once(pod):
    budget = _read_yaml("kubernetes/disruption.yaml")
    scaler = _read_yaml("kubernetes/autoscaler.yaml")
    labels = pod["metadata"]["labels"]

    assert (budget["apiVersion"], budget["kind"]) == (
        "policy/v1",
        "PodDisruptionBudget",
    )
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["maxUnavailable"] < scaler["spec"]["minReplicas"]
    constraints = pod["spec"]["topologySpreadConstraints"]
    assert [c["topologyKey"] for c in constraints] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    for constraint in constraints:
        assert constraint["labelSelector"]["matchLabels"] == labels
        # One node must not keep a second server from starting.
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"


def test_service_and_autoscaler_find_the_servers(pod):
    deployment = _read_yaml("kubernetes/deployment.yaml")
    service = _read_yaml("kubernetes/service.yaml")
    scaler = _read_yaml("kubernetes/autoscaler.yaml")

    labels = pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert scaler["apiVersion"] == "autoscaling/v2"
    assert (
        scaler["spec"]["scaleTargetRef"]["name"]
        == (deployment["metadata"]["name"])
    )
    # Both would set the number of servers.
    assert "replicas" not in deployment["spec"]
    assert 2 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]


def test_autoscaler_acts_before_the_limit(container):
    scaler = _read_yaml("kubernetes/autoscaler.yaml")
    resources = container["resources"]

    (metric,) = scaler["spec"]["metrics"]
    percent = metric["resource"]["target"]["averageUtilization"]
    # It is told of the request.
    used = percent / 100 * float(resources["requests"]["cpu"])
    assert used / float(resources["limits"]["cpu"]) == pytest.approx(0.7)


@pytest.mark.parametrize(
    "path",
    [
        *sorted(DEPLOY.glob("kubernetes/*.yaml")),
        DEPLOY.parent / "predict" / "job.yaml",
    ],
    ids=lambda path: path.name,
)
def test_manifest_is_valid_by_the_official_schemas(path):
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="scripts/test --all installs it"
    )
    for resource in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(resource, "1.33", strict=True)
