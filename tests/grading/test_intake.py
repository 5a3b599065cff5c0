"""From what an instructor has of a class to one file for each student."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile

import pytest

from bnbench.grading.intake import Handed, IntakeError, collect

PYTHON = ("layers.py", "layers.ipynb")
C = ("batchnorm_layer.c", "batch_norm.c", "batchnorm2d_layer.c")
METADATA = """---
submission_101:
  :submitters:
  - :name: Ann Lee
    :sid: '00123'
    :email: ann@example.edu
  - :name: Bob Ray
    :sid: '00456'
    :email: bob@example.edu
  :created_at: 2026-01-02 03:04:05.678901234 Z
  :score: !ruby/object:BigDecimal 18:0.1e1
  :results:
    tests:
    - &shared {name: a, output: "b"}
    - *shared
  :history: []
submission_102:
  :submitters:
  - :name: Cho
    :sid: '00789'
  :created_at: 2026-01-02 04:00:00 -0800
submission_103:
  :submitters: []
"""


def write(top, tree):
    for name, content in tree.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return top


def tar_gz(tree):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


def zipped(tree):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    return written.getvalue()


PACKERS = {"tar.gz": tar_gz, "zip": zipped}


def found(path, files=PYTHON):
    return {one.student: one.data or one.problem for one in collect(path, files)}


@pytest.fixture(params=["folder", "tar.gz", "zip"])
def laid_out(request, tmp_path):
    """The same tree as a folder and as archives, with and without a folder around everything."""

    def lay_out(tree, name="class"):
        if request.param == "folder":
            return write(tmp_path / name, tree)
        path = tmp_path / f"{name}.{request.param}"
        path.write_bytes(PACKERS[request.param]({f"{name}/{key}": value for key, value in tree.items()}))
        return path

    return lay_out


def test_a_file_is_a_submission_of_its_folder_or_its_name(tmp_path):
    write(tmp_path, {"ann/layers.py": b"a", "bob.py": b"b"})
    ann, bob = tmp_path / "ann" / "layers.py", tmp_path / "bob.py"

    assert collect(ann, PYTHON) == (
        Handed(student="ann", source_name="layers.py", data=b"a", digest=hashlib.sha256(b"a").hexdigest()),
    )
    assert found(bob) == {"bob": b"b"}


def test_a_folder_or_archive_of_the_course_is_one_submission(laid_out):
    tree = {"cs231n/layers.py": b"l", "cs231n/optim.py": b"o", "BatchNormalization.ipynb": b"{}", "cs231n/a/b.txt": b""}

    assert found(laid_out(tree, "ann")) == {"ann": b"l"}


@pytest.mark.parametrize("name", ["hw2.tar.gz", "hw1.tar.gz", "final FINAL (2).tgz", "noextension"])
@pytest.mark.parametrize(
    "tree",
    [
        {"submit/batchnorm_layer.c": b"c", "submit/tryhw2.py": b"os.abort()", "submit/hw2.ipynb": b"{}"},
        {"submit/batchnorm2d_layer.c": b"c", "submit/tryhw1.py": b"os.abort()"},
        {"src/batch_norm.c": b"c", "src/matrix.c": b"m", "Makefile": b"all:\n\tfalse"},
        {"batchnorm_layer.c": b"c"},
        {"a/b/c/d/batchnorm_layer.c": b"c"},
    ],
)
def test_the_archives_of_the_c_course_are_read_under_any_name_and_depth(tmp_path, name, tree):
    (tmp_path / name).write_bytes(tar_gz(tree))

    (one,) = collect(tmp_path / name, C)

    assert (one.data, one.problem) == (b"c", "")


def test_every_child_is_a_student(laid_out):
    tree = {
        "ann/layers.py": b"a",
        "bob/hw2/cs231n/layers.py": b"b",
        "cho/hw2.tar.gz": tar_gz({"submit/layers.py": b"c"}),
        "dee/x.zip": zipped({"layers.py": b"d"}),
        "eve/notes.txt": b"sorry",
        "fay.tar.gz": tar_gz({"layers.py": b"f"}),
        "gil.zip": zipped({"cs231n/layers.py": b"g"}),
    }

    handed = found(laid_out(tree))
    problem = handed.pop("eve")

    assert handed == {"ann": b"a", "bob": b"b", "cho": b"c", "dee": b"d", "fay": b"f", "gil": b"g"}
    assert problem.startswith("no layers.py or layers.ipynb; there is ")
    assert problem.endswith("eve/notes.txt")


def test_files_named_after_their_authors_are_their_submissions(laid_out):
    assert found(laid_out({"ann.py": b"a", "bob_layers.py": b"b", "roster.csv": b""})) == {"ann": b"a", "bob": b"b"}


def test_a_bulk_download_of_canvas_goes_by_canvas_numbers(laid_out):
    tree = {
        "leeann_12345_67890_layers-2.py": b"a",
        "raybob_LATE_222_67891_layers.py": b"b",
        "chokim_333_67892_hw2.tar-1.gz": tar_gz({"layers.py": b"c"}),
        "deedee_444_67893_answers_to_all.txt": b"",
        "deedee_444_67894_layers (1).py": b"d",
        "evefox_555_67895_notes.docx": b"",
    }
    handed = {one.student: one for one in collect(laid_out(tree), PYTHON)}

    assert {key: one.data for key, one in handed.items()} == {
        "12345": b"a",
        "222": b"b",
        "333": b"c",
        "444": b"d",
        "555": b"",
    }
    assert handed["12345"].name == "leeann"
    assert handed["555"].problem.startswith("no layers.py")


def test_a_bulk_download_of_gradescope_has_groups_and_times(laid_out):
    tree = {
        "submission_metadata.yml": METADATA.encode(),
        "submission_101/layers.py": b"ab",
        "submission_102/hw2.zip": zipped({"cs231n/layers.py": b"c"}),
        "submission_104/layers.py": b"e",
    }
    handed = {one.student: one for one in collect(laid_out(tree, "assignment_7_export"), PYTHON)}

    assert {key: one.data or one.problem for key, one in handed.items()} == {
        "ann@example.edu": b"ab",
        "bob@example.edu": b"ab",
        "00789": b"c",
        "submission_103": "no layers.py or layers.ipynb; nothing was handed in",
        "submission_104": b"e",
    }
    assert handed["ann@example.edu"].submitted == "2026-01-02T03:04:05.678901+00:00"
    assert handed["00789"].submitted == "2026-01-02T04:00:00-08:00"
    assert handed["submission_104"].submitted is None


@pytest.mark.parametrize("text", ["a: [", "- 1", "\xff", "&a [*a", "x: !!python/object/apply:os.system [id]"])
def test_metadata_that_is_none_is_refused_and_runs_nothing(tmp_path, text):
    write(tmp_path, {"submission_metadata.yml": text.encode("latin-1"), "submission_1/layers.py": b"a"})

    if "python/object" in text:
        assert found(tmp_path) == {"submission_1": b"a"}
    else:
        with pytest.raises(IntakeError, match="submission_metadata"):
            collect(tmp_path, PYTHON)


def test_checkouts_of_github_classroom_go_by_login(tmp_path):
    top = tmp_path / "batch-norm-submissions"
    write(top, {"batch-norm-ann-lee/cs231n/layers.py": b"a", "batch-norm-bob/.git/layers.py": b"old"})
    write(top, {"batch-norm-bob/cs231n/layers.py": b"b"})

    assert found(top) == {"ann-lee": b"a", "bob": b"b"}


def test_of_several_names_the_best_counts_and_of_one_name_none_that_differ(laid_out):
    tree = {
        "ann/layers.py": b"py",
        "ann/layers.ipynb": b"{}",
        "ann/layers-1.py": b"older",
        "bob/old/layers.py": b"1",
        "bob/new/layers.py": b"2",
        "cho/a/layers.py": b"same",
        "cho/b/layers.py": b"same",
        "dee/Layers.PY": b"d",
        "eve/1.zip": zipped({"layers.py": b"1"}),
        "eve/2.zip": zipped({"layers.py": b"2"}),
    }
    handed = found(laid_out(tree))

    assert (handed["ann"], handed["cho"], handed["dee"]) == (b"py", b"same", b"d")
    assert handed["bob"].startswith("several files that differ: ")
    assert handed["eve"].startswith("files that differ in ")


def test_one_that_is_broken_does_not_cost_the_others(laid_out):
    tree = {
        "ann/layers.py": b"a",
        "bob/hw2.tar.gz": b"\x1f\x8b broken",
        "cho/layers.py": bytes((1 << 20) + 1),
        "dee/hw2.zip": zipped({"inner.zip": zipped({"layers.py": b"too deep"})}),
        "eve/bomb.tar.gz": tar_gz({"zeros": bytes(70 << 20), "layers.py": b"e"}),
        "fay/cifar.tgz": os.urandom(100),
        "fay/layers.py": b"f",
    }
    handed = found(laid_out(tree))

    assert (handed["ann"], handed["fay"]) == (b"a", b"f")
    assert "damaged archive" in handed["bob"]
    assert "larger than 1 MiB" in handed["cho"]
    assert "no layers.py" in handed["dee"]
    assert "unpacks to more" in handed["eve"]


def test_a_link_in_a_class_is_a_problem_of_its_student(tmp_path):
    outside = write(tmp_path / "grader", {"layers.py": b"the reference"})
    top = write(tmp_path / "subs", {"ann/layers.py": b"a", "bob/readme": b""})
    (top / "bob" / "layers.py").symlink_to(outside / "layers.py")
    (top / "cho").symlink_to(outside)

    assert found(top) == {
        "ann": b"a",
        "bob": "bob/layers.py is a link, and not read",
        "cho": "no layers.py or layers.ipynb; cho is a link, and not followed",
    }


def test_nothing_at_all_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "essay.docx").write_bytes(b"essay")
    (tmp_path / "cut.zip").write_bytes(zipped({"layers.py": b"a"})[:60])

    for name in ("empty", "essay.docx", "cut.zip"):
        with pytest.raises(IntakeError, match=name):
            collect(tmp_path / name, PYTHON)
    with pytest.raises(OSError, match="gone"):
        collect(tmp_path / "gone", PYTHON)


def test_hostile_names_are_data(tmp_path):
    name = "$(id);\x1b[2J`=cmd|'\n::error::x"
    write(tmp_path, {f"{name}/layers.py": b"a", "ann/layers.py": b"b"})

    assert found(tmp_path) == {name: b"a", "ann": b"b"}
