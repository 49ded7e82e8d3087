"""Promise: files for clusters in the documentation are such as their readers take, as far as can be
said where there is no cloud, no Kubernetes and no Slurm.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
yaml: Any = pytest.importorskip("yaml")  # comes with Ray
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)
# Fields of KubeRay's types (ray-operator/apis/ray/v1) that are of use here.
_JOB = {
    "activeDeadlineSeconds", "backoffLimit", "entrypoint", "entrypointNumCpus",
    "entrypointNumGpus", "rayClusterSpec", "shutdownAfterJobFinishes", "submitterPodTemplate",
    "ttlSecondsAfterFinished",
}  # fmt: skip
_CLUSTER = {"headGroupSpec", "rayVersion", "workerGroupSpecs"}
_HEAD = {"labels", "rayStartParams", "resources", "template"}
_GROUP = _HEAD | {"groupName", "maxReplicas", "minReplicas", "numOfHosts", "replicas"}
_POD = {"containers", "nodeSelector", "terminationGracePeriodSeconds", "tolerations", "volumes"}
_CONTAINER = {"env", "image", "name", "resources", "volumeMounts"}


def _blocks(kind: str) -> list[str]:
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def _asked_of_ray(script: str, data: object) -> Any:
    """Return what a script says that has Ray, and `data`."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\ndata = json.load(sys.stdin)\n{script}"],
        input=json.dumps(data), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@needs_ray
def test_the_cluster_file_for_a_cloud_is_one_of_rays() -> None:
    script = (
        "from ray.autoscaler._private.util import prepare_config, validate_config\n"
        "config = prepare_config(data)\n"
        "validate_config(config)\n"
        "print(json.dumps(config['available_node_types']))"
    )
    types = _asked_of_ray(script, yaml.safe_load(_blocks("yaml")[0]))
    assert types["gpu"]["resources"]["GPU"] == 1
    assert types["gpu"]["min_workers"] == types["gpu"]["max_workers"]


def _check_pod(template: Mapping[str, Any]) -> None:
    spec = template["spec"]
    assert spec.keys() <= _POD
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        assert container.keys() <= _CONTAINER
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_manifest_for_kuberay_has_fields_that_it_knows() -> None:
    job = yaml.safe_load(_blocks("yaml")[1])
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"].keys() <= _JOB
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster.keys() <= _CLUSTER
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"\nray=={cluster['rayVersion']}\n" in pinned
    head, groups = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head.keys() <= _HEAD
    for group in groups:
        assert group.keys() <= _GROUP
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (head, *groups):
        _check_pod(group["template"])
        # What goes wrong as the operator reads it: numbers, and what has a field of its own.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert not group["rayStartParams"].keys() & {"labels", "resources"}


@needs_ray
def test_options_of_ray_in_these_files_are_rays() -> None:
    job = yaml.safe_load(_blocks("yaml")[1])
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    script = (
        "from ray.scripts.scripts import cli\n"
        "names = {n: [o for p in cli.commands[n].params for o in p.opts] for n in data}\n"
        "print(json.dumps(names))"
    )
    known = _asked_of_ray(script, ["start", "stop", "symmetric-run", "drain-node"])
    for group in groups:
        assert {f"--{name}" for name in group["rayStartParams"]} <= set(known["start"])
    said = "\n".join(_blocks("sh"))
    for command, rest in re.findall(r"\bray (start|symmetric-run) (.*?)(?: -- |\n|$)", said):
        assert set(re.findall(r"--[a-z-]+", rest)) <= set(known[command])


def test_the_script_for_slurm_is_one_of_bashs() -> None:
    if (bash := shutil.which("bash")) is None:
        pytest.skip("there is no bash")
    (script,) = [block for block in _blocks("sh") if "#SBATCH" in block]
    assert script.startswith("#!/bin/bash\n#SBATCH ")  # behind a command they are not read
    subprocess.run([bash, "-n"], input=script, text=True, check=True)
