"""Chunks that are done by a real Ray cluster of two nodes, one of which is killed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clipcache.embed import EmbedOptions, embed
from clipcache.engines.ray import Ray
from clipcache.engines.work import Task
from clipcache.errors import EngineError
from clipcache.images.folder import Folder
from tests.pictures import folder, tree
from tests.real_encoder import tiny

# In a process of its own, since Ray leaves threads and files behind that are not ours to judge.
CLUSTER = """
import json, logging, os, sys
from pathlib import Path
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
import ray
from ray.cluster_utils import Cluster
from clipcache.embed import EmbedOptions, embed
from clipcache.engines.ray import Ray
from clipcache.images.folder import Folder
from tests.real_encoder import tiny

photos, cache = map(Path, sys.argv[1:])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
found = {"workers": 0, "killed": None, "done": 0}

def tell(done, failed, total):
    found["done"] = done
    found["workers"] = max(found["workers"], 2 - int(ray.available_resources().get("CPU", 0)))
    if done >= 16 and found["killed"] is None:
        found["killed"] = done
        cluster.remove_node(second, allow_graceful=False)

options = EmbedOptions(batch_size=5, workers=1, chunk_rows=8)
embed(Folder(photos), tiny(), cache, options, tell, engine=Ray(tiny))
print(json.dumps(found))
ray.shutdown()
cluster.shutdown()
"""


def on_two_nodes(photos: Path, cache: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, str(photos), str(cache)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # Ray prints there, too.
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    found: dict[str, object] = json.loads(line)
    return found


def test_a_node_that_dies_costs_its_chunks_only(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    photos = folder(tmp_path / "photos", {"coat": 70, "hat": 50})
    found = on_two_nodes(photos, tmp_path / "c")
    assert found["workers"] == 2
    assert found["killed"] in range(16, 110), "in the middle"
    assert found["done"] == 120
    embed(Folder(photos), tiny(), tmp_path / "w", EmbedOptions(batch_size=5, chunk_rows=8))
    assert tree(tmp_path / "c") == tree(tmp_path / "w")


def test_without_ray_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"Ray is not installed; `pip install clipcache\[ray\]`"):
        next(Ray(tiny).run(Task(tmp_path, Folder(tmp_path), 5, 1), []))
