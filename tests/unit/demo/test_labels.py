"""labels.csv as people and spreadsheets write it: every fault is named by its line, before all else."""

from pathlib import Path

import pytest

from demo.labels import LabelError, read_labels

HEADER = "clip,split,diving,final_score,position,armstand,rotation_type,ss_no,tw_no"
GOOD = "{clip},train,1,80.5,1,0,1,5,0"


def write(folder: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    """Write the table, and a clip of its own for every row that names one of `a`, `b`, `c`."""
    for name in "abc":
        (folder / f"{name}.mp4").write_bytes(name.encode())
    (folder / "labels.csv").write_text("\n".join([header, *rows, ""]), encoding)
    return folder


def faults(folder: Path) -> str:
    with pytest.raises(LabelError) as raised:
        read_labels(folder)
    return str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_spreadsheets_save_is_read(tmp_path: Path, encoding: str, separator: str) -> None:
    row = GOOD.format(clip="a.mp4").replace(",", separator)
    if separator != ",":
        row = row.replace("80.5", "80,5")
    empty = separator * 8
    header = HEADER.replace(",", separator)
    (label,) = read_labels(write(tmp_path, row, empty, header=header, encoding=encoding))
    assert (label.score, label.codes["ss_no"], label.path) == (80.5, 5, tmp_path / "a.mp4")


def test_whole_numbers_as_pandas_writes_them_and_paths_of_windows_are_read(tmp_path: Path) -> None:
    write(tmp_path, r"train\x.mp4,train,1.0,80,1.0,0.0,1.0,5.0,0.0".replace("1.0,80", "1,80"))
    (tmp_path / "train").mkdir()
    (tmp_path / "train/x.mp4").write_bytes(b"x")
    (label,) = read_labels(tmp_path)
    assert label.path == tmp_path / "train/x.mp4"
    assert label.codes["position"] == 1


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("gone.mp4,train,1,80,1,0,1,5,0", "clip gone.mp4 is not there"),
        (".,train,1,80,1,0,1,5,0", "clip . is a folder"),
        (",train,1,80,1,0,1,5,0", "clip is empty"),
        ("a.mp4,test,1,80,1,0,1,5,0", "split is 'test', and must be train or held_out"),
        ("a.mp4,train,False,80,1,0,1,5,0", "diving is 'False', and must be 1 or 0"),
        ("a.mp4,train,0.0,,,,,,", "diving is '0.0', and must be 1 or 0"),
        ("a.mp4,train,1,inf,1,0,1,5,0", "final_score is 'inf', and must be from 0 to 150"),
        ("a.mp4,train,1,nan,1,0,1,5,0", "final_score is 'nan', and must be from 0 to 150"),
        ("a.mp4,train,1,-5,1,0,1,5,0", "final_score is '-5', and must be from 0 to 150"),
        ("a.mp4,train,1,,1,0,1,5,0", "final_score is '', which is no number"),
        ("a.mp4,train,1,80,7,0,1,5,0", "position is '7', and must be from 0 to 2"),
        ("a.mp4,held_out,1,80,1,0,1,-1,0", "ss_no is '-1', and must be from 0 to 9"),
        ("a.mp4,train,1,80,1,0,1,2.5,0", "ss_no is '2.5', and must be a whole number"),
        ("a.mp4,train,1,1_0,1,0,1,5,0", "final_score is '1_0', which is no number"),
        ("a.mp4,train,1,80", "4 cells, where the first line has 9"),
        ("a.MP4,train,1,80,1,0,1,5,0", "clip a.MP4 is not there; a.mp4 is"),
    ],
)
def test_a_fault_is_named_with_its_line_and_column(tmp_path: Path, row: str, says: str) -> None:
    assert f"line 3: {says}" in faults(write(tmp_path, GOOD.format(clip="b.mp4"), row))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    rows = ("x.mp4,train,1,80,1,0,1,5,0", "a.mp4,tran,1,80,1,0,1,5,0", "b.mp4,train,2,,,,,,")
    said = faults(write(tmp_path, *rows))
    assert "has 3 faults" in said
    assert all(line in said for line in ("line 2: clip x.mp4", "line 3: split", "line 4: diving"))


def test_a_clip_twice_is_named_and_leakage_by_its_name(tmp_path: Path) -> None:
    rows = [GOOD.format(clip=f"{name}.mp4") for name in "abc"]
    write(tmp_path, *rows, rows[0].replace("80.5", "20"), rows[1].replace("train", "held_out"))
    (tmp_path / "c.mp4").write_bytes(b"a")  # the same bytes under another name
    said = faults(tmp_path)
    assert "line 4: c.mp4 is the clip of line 2 again" in said
    assert "line 5: a.mp4 is the clip of line 2 again" in said
    assert "line 6: b.mp4 is the clip of line 3 again, once to train on and once held out" in said


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("clip|split", r"lacks the columns clip, split.* Its first line names clip|split"),
        (HEADER + ",clip", "has the columns clip more than once"),
        (HEADER, "a first line and no rows"),
    ],
)
def test_a_header_that_does_not_do_says_what_it_holds(tmp_path: Path, header: str, says: str) -> None:
    with pytest.raises(LabelError, match=says.replace("|", r"\|")):
        read_labels(write(tmp_path, header=header))


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, GOOD.format(clip="a.mp4"), "Sprünge.mp4,train", encoding="latin-1")
    assert "line 3: not utf-8-sig. Save it as 'CSV UTF-8'" in faults(tmp_path)


@pytest.mark.parametrize("before", ["sep=;\n", "\n\n", "sep=;\r\n"])
def test_what_stands_before_the_first_line_is_passed_over(tmp_path: Path, before: str) -> None:
    row = GOOD.format(clip="a.mp4").replace(",", ";").replace("80.5", "80,5")
    (label,) = read_labels(write(tmp_path, row, header=before + HEADER.replace(",", ";").title()))
    assert label.score == 80.5


def test_a_row_of_several_lines_is_named_by_its_first(tmp_path: Path) -> None:
    rows = ['a.mp4,train,1,80,1,0,1,5,0,"far\nand ""near"""', 'b.mp4,train,1,n/a,1,0,1,5,0,"one\ntwo"']
    assert "line 4: final_score is 'n/a'" in faults(write(tmp_path, *rows, header=f"{HEADER},note"))


def test_a_name_that_no_file_can_have_is_not_there(tmp_path: Path) -> None:
    assert f"line 2: clip {'x' * 200} is not there" in faults(write(tmp_path, GOOD.format(clip="x" * 300)))


def test_a_quote_that_is_not_closed_is_named(tmp_path: Path) -> None:
    said = faults(write(tmp_path, '"' + GOOD.format(clip="a.mp4"), GOOD.format(clip="b.mp4")))
    assert "line 2: 1 cells, where the first line has 9. It goes on to line 3: is a quote not closed?" in said
    assert "line 2: field larger" in faults(write(tmp_path, '"' + "x" * 200_000))


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"])
def test_a_workbook_is_told_as_one(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "labels.csv").write_bytes(head + bytes(200))
    assert "is a spreadsheet's own file. Save it as 'CSV UTF-8'" in faults(tmp_path)


def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD.format(clip="a.mp4"))

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", lambda _: (f"{HEADER}\n{GOOD.format(clip='a.mp4')}").encode())
    assert "line 2: clip" in (said := faults(tmp_path))
    assert "cannot be read: Permission denied" in said


def test_an_entry_before_the_takeoff_is_named(tmp_path: Path) -> None:
    header, row = HEADER + ",takeoff_frame,entry_frame", GOOD.format(clip="a.mp4") + ",40,30"
    said = faults(write(tmp_path, row, header=header))
    assert "line 2: entry_frame 30 does not come after takeoff_frame 40" in said
