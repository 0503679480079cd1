"""Documents: every fault with its line, and none that takes a server's time."""

import json
from pathlib import Path

import pytest

from springboard.system import documents
from springboard.system.documents import Strict


class Wrong(Exception):
    """What the documents of these tests raise."""


class Part(Strict):
    name: str
    size: int = 1


class Whole(Strict):
    parts: tuple[Part, ...] = ()
    tags: tuple[str, ...] = ()


def load(path: Path, text: str, *, as_json: bool = False) -> Whole:
    path.write_text(text)
    return documents.load(path, Whole, Wrong, as_json=as_json)


def fault(path: Path, text: str, *, as_json: bool = False) -> str:
    with pytest.raises(Wrong) as caught:
        load(path, text, as_json=as_json)
    return str(caught.value)


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    whole = Whole(parts=(Part(name="a", size=2),))
    assert load(tmp_path / "x", "parts:\n  - {name: a, size: 2}\n") == whole
    assert load(tmp_path / "x", json.dumps(whole.model_dump()), as_json=True) == whole


@pytest.mark.parametrize("as_json", [False, True])
def test_each_fault_has_file_line_and_field(tmp_path: Path, as_json: bool) -> None:
    path = tmp_path / "x"
    text = json.dumps({"parts": [{"name": "a", "size": "many"}], "odd": 1}, indent=1)
    size, odd = fault(path, text, as_json=as_json).splitlines()
    assert size.startswith(f"{path}:5: parts.0.size: ")
    assert odd.startswith(f"{path}:8: odd: Extra inputs")
    assert "many" not in size


@pytest.mark.parametrize(
    ("text", "as_json", "line", "reason"),
    [
        ("", False, 1, "expected a mapping"),
        ("[1]", False, 1, "expected a mapping"),
        ("[1]", True, 1, "expected an object"),
        ('{\n"parts": [,]}', True, 2, "no JSON: Expecting value"),
        ("{" * 100_000, True, 1, "no JSON"),
        ("[" * 100_000, True, 1, "no JSON"),
        ("[" * 5_000, False, 1, ""),
        ("parts:\n  - name: a\n    name: b\n", False, 3, "name stands twice"),
        ("a: 1\n" * 60_000, False, 1, "longer than"),
    ],
)
def test_what_is_no_document_is_told_with_its_line(
    tmp_path: Path, text: str, as_json: bool, line: int, reason: str
) -> None:
    assert fault(tmp_path / "x", text, as_json=as_json).startswith(f"{tmp_path}/x:{line}: {reason}")


def test_bytes_that_are_no_text_are_a_fault(tmp_path: Path) -> None:
    for as_json in (False, True):
        (tmp_path / "x").write_bytes(b"\xff\xfe\x00garbage")
        with pytest.raises(Wrong, match="x:1: "):
            documents.load(tmp_path / "x", Whole, Wrong, as_json=as_json)


@pytest.mark.parametrize("kind", ["lists", "mappings", "merges"])
def test_aliases_that_multiply_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Nine levels of nine: 400 million values in nine lines."""
    first = {"lists": "[x]", "mappings": "{k: x}", "merges": "{k: x}"}[kind]
    lines = [f"l0: &l0 {first}"]
    for level in range(1, 10):
        names = [f"*l{level - 1}"] * 9
        text = {
            "lists": f"[{', '.join(names)}]",
            "mappings": "{" + ", ".join(f"k{i}: {name}" for i, name in enumerate(names)) + "}",
            "merges": f"{{<<: [{', '.join(names)}]}}",
        }[kind]
        lines.append(f"l{level}: &l{level} {text}")
    assert "aliases make more than 100000 values" in fault(tmp_path / "x", "\n".join(lines))


def test_a_few_aliases_are_fine(tmp_path: Path) -> None:
    text = "parts:\n  - &one {name: a, size: 3}\n  - {<<: *one, name: b}\n"
    assert load(tmp_path / "x", text).parts[1] == Part(name="b", size=3)


def test_many_faults_are_told_in_part(tmp_path: Path) -> None:
    told = fault(tmp_path / "x", "tags: [" + "1, " * 50 + "]").splitlines()
    assert (len(told), told[-1]) == (21, f"{tmp_path}/x: and 30 faults more")


def test_what_cannot_be_read_is_named_and_what_is_missing_may_be_fine(tmp_path: Path) -> None:
    with pytest.raises(Wrong, match=f"{tmp_path}: Is a directory"):
        documents.load(tmp_path, Whole, Wrong)
    with pytest.raises(Wrong, match="No such file"):
        documents.load(tmp_path / "absent", Whole, Wrong)
    assert documents.load(tmp_path / "absent", Whole, Wrong, missing=Whole()) == Whole()
