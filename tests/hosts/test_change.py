"""A host that serves is changed, and nobody who calls notices."""

import functools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from springboard.system.checkout import ROOT
from tests.hosts.harness import Hosts, Node
from tests.hosts.served import CLIP, Caller, Models, settings
from tests.stands.waiting import at_work

Serving = Callable[[str], tuple[Node, Caller]]


@contextmanager
def load(caller: Caller, clients: int = 4) -> Iterator[list[str]]:
    """Score again and again from `clients` threads, at a pace that leaves this machine most of its time.

    Yields what each request came to, "" for a score.
    """
    outcomes: list[str] = []
    body = CLIP.read_bytes()

    def call() -> None:
        try:
            answer = caller.client.post("/invocations", content=body)
            outcomes.append("" if answer.status_code == 200 else f"{answer.status_code} {answer.text}")
        except httpx.HTTPError as error:
            outcomes.append(repr(error))

    with at_work(*[call] * clients, pause=6):
        yield outcomes


def runs(node: Node) -> set[str]:
    """Return the folder of the front that runs."""
    program = "tr '\\0' '\\n' </proc/$(systemctl show -P MainPID springboard-front)/cmdline | head -n 1"
    return {node.sh(program).strip().removesuffix("/bin/python")}


def test_changed_runtime_unit_and_front_cost_no_request(
    serving: Serving, hosts: Hosts, models: Models, tmp_path: Path
) -> None:
    """Nor does a run that is killed, be it while it builds or before it restarts: the next one heals it."""
    node, caller = serving("changed")
    checkout = tmp_path / "checkout"
    for part in ("springboard", "model_handler", "playbooks", "inventory", "requirements"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "ansible.cfg", checkout)
    config = (ROOT / "config.properties").read_text()
    (checkout / "config.properties").write_text(config + "# another runtime\n")
    with (checkout / "springboard" / "__init__.py").open("a") as code:
        code.write("# another front\n")
    given = {"springboard": [node], **settings(models), "springboard_worker_memory": "46%"}
    look = "ls -d /opt/springboard/*/????????????; ls -d /var/lib/springboard/instances/*"
    before = set(node.sh(look).split())
    old_front = runs(node)

    two_runtimes = "[ $(ls -d /opt/springboard/worker/????????????/lib/*/site-packages/torch | wc -l) = 2 ]"

    half_way = functools.partial(node.succeeds, "sh", "-c", two_runtimes)
    killed = hosts.play("configure.yml", checkout=checkout, kill_when=half_way, **given)
    assert killed.returncode < 0, killed.output
    with load(caller) as outcomes:
        play = hosts.play("configure.yml", checkout=checkout, **given)
        assert play.ok, play.output
    assert [outcome for outcome in outcomes if outcome] == []
    assert len(outcomes) > 20, "the load itself"
    after = set(node.sh(look).split())
    worker, front, instance = (
        {path for path in after - before if part in path} for part in ("/worker/", "/front/", "/instances/")
    )
    assert (len(worker), len(front), len(instance)) == (1, 1, 1), after
    assert runs(node) == front != old_front
    assert caller.score()["model"]["version"] == "1.0.0"

    # What a run leaves that is killed once the new front is in place, but the old one runs.
    (new,) = front
    old = "/opt/springboard/front/0123456789ab"
    node.sh(f"cp -a {new} {old} && sed -i 's,^#!.*,#!{old}/bin/python,' {old}/bin/springboard")
    node.sh(f"ln -sfn {old} /opt/springboard/front/current && systemctl restart springboard-front")
    node.sh(f"ln -sfn {new} /opt/springboard/front/current")
    assert runs(node) == {old}
    shutil.copy(ROOT / "tests" / "hosts" / "role.yml", checkout / "playbooks")
    for changed in (2, 0):  # restarts it, and removes the old one's folder
        play = hosts.play("role.yml", checkout=checkout, role="front", **given)
        assert play.ok, play.output
        assert play.count("changed") == changed, play.output
        assert runs(node) == front
    caller.wait_serving()
