"""Every block of README and docs/ is executed or validated, and every link leads somewhere."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from markdown_it import MarkdownIt

from docs.reference.markdown import anchor
from model_handler.pipeline import Settings
from model_handler.request.source import S3Object, parse
from springboard.cli.app import app
from springboard.deploy.settings import Canary, Host
from springboard.endpoint.document import Endpoint, Limits
from springboard.front import schema
from springboard.system.checkout import ROOT
from tests import pages
from tests.pages import Block

BLOCKS = [block for page in pages.PAGES for block in pages.blocks(page)]
# What runs nowhere but in a shell of the reader's, on things that are the reader's.
READERS_TOOLS = {"aws", "export", "ssh", "sudo"}
# What a reader makes.
READERS_FILES = {"inventory/hosts.yml"}
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_has_a_language_and_a_way_to_hold_it_true(block: Block) -> None:
    assert block.language in {"sh", "python", "yaml", "json", "text", "mermaid"}, (
        "fence it, with its language"
    )
    if block.language in {"text", "mermaid"}:
        return
    assert block.way, "no comment before it says how a test executes or validates it (tests/pages.py)"
    kind, _, name = block.way.partition(": ")
    if kind == "check":
        assert name.split()[0] in CHECKS, f"no test validates {name}"
    else:
        users = [path for path in (ROOT / "tests").rglob("test_*.py") if f'"{block.way}"' in path.read_text()]
        assert users, f"no test executes {name}"


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.way.startswith("check: ")], ids=str)
def test_block_is_valid(block: Block) -> None:
    CHECKS[block.way.removeprefix("check: ").split()[0]](block)


def arguments(command: str) -> list[str]:
    return shlex.split(command, comments=True)


def check_make(block: Block) -> None:
    for command in block.commands():
        program, *rest = arguments(command)
        assert program == "make"
        done = subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        # Make takes any variable and says nothing of one that nobody reads.
        given = {one.partition("=")[0] for one in rest if "=" in one}
        assert given <= set(re.findall(r"\$\((?:if \$\()?(\w+)", (ROOT / "Makefile").read_text()))


def check_cli(block: Block) -> None:
    for command in block.commands():
        program, *rest = arguments(command)
        assert program == "springboard"
        springboard(rest)


def springboard(words: list[str]) -> None:
    """Parse a command line of `springboard` as it does, without running it."""
    command: Any = typer.main.get_command(app)
    while below := getattr(command, "commands", None):
        command, words = below[words[0]], words[1:]
    command.make_context("springboard", words)


def check_engine(block: Block) -> None:
    """`docker build` with arguments that the Containerfile has; `docker run` as its test starts the image."""
    containerfile = (ROOT / "Containerfile").read_text()
    for command in block.commands():
        program, verb, *rest = arguments(command)
        assert program == "docker"
        if verb == "build":
            assert rest[:2] == ["-f", "Containerfile"]
            given = [rest[i + 1].partition("=")[0] for i, word in enumerate(rest) if word == "--build-arg"]
            assert all(f"\nARG {name}=" in containerfile for name in given)
        else:
            at = rest.index("springboard")
            assert {"--read-only", "--tmpfs", "/tmp", "./build/model:/opt/ml/model:ro"} <= set(rest[:at])
            springboard([*rest[at + 1 :], "--archive", "/opt/ml/model"])


# In a process of its own: Ansible replaces `sys.intern`, and torch then compiles nothing any more.
PARSE = """
import json, sys
from ansible.cli.inventory import InventoryCLI
from ansible.cli.playbook import PlaybookCLI
kinds = {"ansible-playbook": PlaybookCLI, "ansible-inventory": InventoryCLI}
parsed = []
for program, *rest in json.load(sys.stdin):
    cli = kinds[program.rpartition("/")[2]]([program, *rest])
    cli.init_parser()
    parsed.append(vars(cli.parser.parse_args(rest)))
json.dump(parsed, sys.stdout, default=str)
"""


@cache
def ansible_arguments() -> dict[tuple[str, ...], dict[str, Any]]:
    """What Ansible's own parsers make of each of its commands in the pages."""
    blocks = [block for block in BLOCKS if block.way.startswith("check: ansible")]
    commands = [arguments(command) for block in blocks for command in block.commands()]
    done = subprocess.run(
        [sys.executable, "-c", PARSE], input=json.dumps(commands), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {tuple(command): given for command, given in zip(commands, json.loads(done.stdout), strict=True)}


def check_ansible(block: Block) -> None:
    for command in block.commands():
        given = ansible_arguments()[tuple(arguments(command))]
        files = [*(given["inventory"] or []), *(given.get("args") or [])]
        assert all((ROOT / file).is_file() for file in files if file not in READERS_FILES), files
        sources = "".join(path.read_text() for path in (ROOT / "playbooks").rglob("*.yml"))
        for extra in given.get("extra_vars") or []:
            assert re.search(rf"\b{extra.partition('=')[0]}\b", sources), extra


def check_module(block: Block) -> None:
    for command in block.commands():
        program, dash, module, *rest = arguments(command)
        assert (program, dash) == (".venv/bin/python", "-m")
        found = importlib.util.find_spec(module)
        assert found is not None
        assert found.origin is not None
        if module == "pytest":
            assert all((ROOT / word).exists() for word in rest if word.startswith("tests"))
            continue
        # Not its --help, which would import torch for that. Options are named, or are fields of a recipe.
        source = "".join(path.read_text() for path in Path(found.origin).parent.glob("*.py"))
        for word in rest:
            field = word.removeprefix("--").replace("-", "_")
            known = re.search(rf'(?m)"{word}"|^    {field}: ', source)
            assert known or not word.startswith("--"), word


def check_archive(block: Block) -> None:
    for command in block.commands():
        program, *rest = arguments(command)
        assert program == "./archive.sh"
        options_are_known([program], rest)


def check_torchserve(block: Block) -> None:
    (command,) = block.commands()
    words = arguments(command)
    program = words.index(".venv/bin/torchserve")
    options_are_known([str(ROOT / words[program])], words[program + 1 :])
    assert (ROOT / words[-1]).is_file()


def options_are_known(program: list[str], words: list[str]) -> None:
    done = subprocess.run([*program, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    known = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", done.stdout))
    given = {word for word in words if word.startswith("--")}
    assert given <= known, given - known


def check_shell(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    for command in block.commands():
        words = arguments(command)
        assert words[0] in READERS_TOOLS
        if "springboard" in words:
            springboard(words[words.index("springboard") + 1 :])


def check_variables(block: Block) -> None:
    files = sorted((ROOT / "inventory" / "group_vars" / "all").glob("*.yml"))
    turned: dict[str, Any] = {}
    for file in files:
        turned |= yaml.safe_load(file.read_text())
    for name, value in yaml.safe_load(block.text).items():
        assert name in turned, f"{name} is no knob of inventory/group_vars"
        if name != "springboard_workers":  # a number or `auto`
            assert isinstance(value, type(turned[name])), f"{name} is a {type(turned[name]).__name__}"
    given = yaml.safe_load(block.text)
    Limits.model_validate(given.get("springboard_limits", {}))
    Canary.model_validate(given.get("springboard_canary", {}))
    worker = {"runtime": "/opt", "workers": given.get("springboard_workers", 1)}
    needed = {"models": "s3://my-models", "worker": worker}
    Host.model_validate(needed | given.get("springboard_deploy_settings", {}))


def check_endpoint(block: Block) -> None:
    Endpoint.model_validate(yaml.safe_load(block.text))


def check_model_config(block: Block) -> None:
    written = yaml.safe_load(block.text)
    Settings.from_mapping(written.pop("handler"))
    ours = yaml.safe_load((ROOT / "model_handler" / "model-config.yaml").read_text())
    assert written.keys() <= ours.keys()


def check_openapi(block: Block) -> None:
    """The document is the shape's, and has nothing that the shape does not."""
    name = block.way.split()[-1]
    if name == "Pointer":
        assert isinstance(parse(block.text.encode(), "application/json"), S3Object)
        return
    kind = getattr(schema, name)
    assert (
        kind.model_validate_json(block.text).model_dump_json()
        == kind.model_validate_json(block.text, extra="forbid").model_dump_json()
    )


CHECKS: dict[str, Callable[[Block], None]] = {
    "make": check_make,
    "cli": check_cli,
    "ansible": check_ansible,
    "engine": check_engine,
    "module": check_module,
    "archive": check_archive,
    "torchserve": check_torchserve,
    "shell": check_shell,
    "variables": check_variables,
    "endpoint.yml": check_endpoint,
    "model-config": check_model_config,
    "openapi": check_openapi,
}


def test_keys_page_works(tmp_path: Path) -> None:
    """The commands of docs/access.md, one after the other."""
    environment = {**os.environ, "SPRINGBOARD_KEYS_FILE": str(tmp_path / "keys.json")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = ""
    for block in pages.every("run: keys", "sh"):
        done = subprocess.run(
            ["bash", "-euc", block.text], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert "AWS_SECRET_ACCESS_KEY=" in printed
    assert "SPRINGBOARD_TOKEN=" in printed
    assert "my-ci\tbearer token" in printed


@pytest.mark.parametrize("page", [*pages.PAGES, *REFERENCE], ids=lambda page: page.relative_to(ROOT))
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    for target in links(page):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not heading or heading in headings(file), target


def links(page: Path) -> list[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    inline = [child for token in tokens for child in token.children or []]
    return [
        str(one.attrs.get("href") or one.attrs.get("src"))
        for one in inline
        if one.type in ("link_open", "image")
    ]


def headings(page: Path) -> set[str]:
    """Return a page's anchors, as forges and the site make them."""
    found = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {anchor(one) for one in found}


def test_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_page_can_be_reached_from_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        files = [link.partition("#")[0] for link in links(page) if "://" not in link]
        ahead += [(page.parent / file).resolve() for file in files if file]
    assert {*pages.PAGES, *REFERENCE} <= reached
