"""Hostile archives: nothing is written, nothing outside is read, and nothing unpacks without end."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile

import pytest

from bnbench.grading.tree import DEPTH, ArchiveError, is_archive, read_regular, scan

WANTED = "batchnorm_layer.c"
HONEST = b"matrix variance(matrix x, matrix m, int groups);\n"


def taken(source, limit=1 << 20, **options):
    return list(scan(source, lambda parts: limit if parts[-1] == WANTED else 0, **options))


def files(entries):
    return [("/".join(entry.parts), entry.data) for entry in entries if entry.data is not None]


def member(name, data=HONEST, **changes):
    info = tarfile.TarInfo(name)
    info.size = len(data) if changes.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data


def tar(*members, compressed=True):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz" if compressed else "w", format=tarfile.GNU_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()


def zipped(*members):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return written.getvalue()


LINK = {"type": tarfile.SYMTYPE}
ATTACKS = {
    "parent": (lambda _: tar(member(f"../{WANTED}")), [(WANTED, HONEST)]),
    "absolute": (lambda outside: tar(member(f"{outside}/{WANTED}")), [(WANTED, HONEST)]),
    "link to a folder, then a file in it": (
        lambda outside: tar(member("out", **LINK, linkname=str(outside)), member(f"out/{WANTED}")),
        [(WANTED, HONEST)],
    ),
    "symbolic link to a secret": (lambda outside: tar(member(WANTED, **LINK, linkname=f"{outside}/secret")), []),
    "hard link to a secret": (
        lambda outside: tar(member(WANTED, type=tarfile.LNKTYPE, linkname=f"{outside}/secret")),
        [],
    ),
    "setuid": (lambda _: tar(member(WANTED, mode=0o6755)), [(WANTED, HONEST)]),
    "device": (lambda _: tar(member(WANTED, type=tarfile.CHRTYPE, devmajor=1, devminor=5)), []),
    "pipe": (lambda _: tar(member(WANTED, type=tarfile.FIFOTYPE)), []),
    "files that tools run": (
        lambda _: tar(member("conftest.py"), member("numpy.py"), member("sitecustomize.py"), member("Makefile")),
        [],
    ),
    "zip, parent": (lambda _: zipped((f"../../{WANTED}", HONEST, stat.S_IFREG | 0o644)), [(WANTED, HONEST)]),
    "zip, symbolic link": (lambda outside: zipped((WANTED, f"{outside}/secret", stat.S_IFLNK | 0o777)), []),
    "zip, pipe": (lambda _: zipped((WANTED, b"", stat.S_IFIFO | 0o644)), []),
}


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder with a secret, beside the one that we are in."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("the grader's")
    monkeypatch.chdir(tmp_path / "inside")
    return tmp_path / "outside"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_writes_nothing_and_reads_nothing_outside(name, outside):
    attack, expected = ATTACKS[name]
    before = sorted(outside.parent.rglob("*"))

    assert [(path.split("/")[-1], data) for path, data in files(taken(attack(outside)))] == expected
    assert sorted(outside.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["parent", "absolute", "link to a folder, then a file in it"])
def test_unpacking_as_trusted_is_what_these_attacks_wait_for(name, outside):
    with tarfile.open(fileobj=io.BytesIO(ATTACKS[name][0](outside))) as archive:
        archive.extractall(outside.parent / "inside", filter="fully_trusted")  # noqa: S202 - the control

    assert {outside / WANTED, outside.parent / WANTED} & set(outside.parent.rglob("*"))


@pytest.mark.parametrize(
    "name", ["symbolic link to a secret", "hard link to a secret", "zip, symbolic link", "device", "pipe", "zip, pipe"]
)
def test_what_is_no_file_is_named_as_what_it_is(name, outside):
    (entry,) = taken(ATTACKS[name][0](outside))

    assert entry.kind == ("link" if "link" in name else "device")
    assert entry.parts == (WANTED,)


def test_a_bomb_is_left_before_it_has_unpacked():
    bomb = tar(member("zeros", bytes(100 << 20)), member(WANTED))

    assert len(bomb) < 1 << 20
    with pytest.raises(ArchiveError, match="unpacks to more than 64 MiB"):
        taken(bomb)


def test_a_zip_bomb_costs_what_is_read_of_it():
    bomb = zipped(("zeros", bytes(100 << 20), 0), (WANTED, bytes(100 << 20), 0))
    zeros, wanted = taken(bomb, limit=1000)

    assert (zeros.data, zeros.problem) == (None, "")
    assert "larger than" in wanted.problem


def test_a_large_honest_archive_is_no_bomb():
    data = os.urandom(3 << 20)

    assert files(taken(tar(member("cifar", data * 20), member(WANTED)))) == [(WANTED, HONEST)]


@pytest.mark.parametrize("pack", [lambda data: tar(member(WANTED, data)), lambda data: zipped((WANTED, data, 0))])
def test_a_file_larger_than_its_limit_is_refused_and_one_of_that_size_is_not(pack):
    (large,) = taken(pack(bytes(1001)), limit=1000)
    (fits,) = taken(pack(bytes(1000)), limit=1000)

    assert large.data is None
    assert "larger than" in large.problem
    assert fits.data == bytes(1000)


def test_a_zip_that_declares_less_than_it_holds_is_damaged():
    # The declared size is at two places; the reader must not trust either.
    archive = zipped((WANTED, bytes(5000), 0)).replace((5000).to_bytes(4, "little"), (5).to_bytes(4, "little"))

    with pytest.raises(ArchiveError, match="damaged"):
        taken(archive)


def test_the_wanted_files_together_are_capped():
    with pytest.raises(ArchiveError, match="too many"):
        taken(tar(*(member(f"{i}/{WANTED}", bytes(1000)) for i in range(20))), taken=10_000)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_is_read_whole_may_not_be_large(kind):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 1 << 20

    with pytest.raises(ArchiveError, match="absurd"):
        taken(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))


def test_a_member_of_negative_size_is_refused():
    info = tarfile.TarInfo("x")
    info.size = -1024

    with pytest.raises(ArchiveError):
        taken(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_a_long_name_of_an_honest_archive_is_read():
    name = f"{'folder/' * 30}{WANTED}"

    assert files(taken(tar(member(name)))) == [(name, HONEST)]


@pytest.mark.parametrize("cut", [10, 100, -20])
@pytest.mark.parametrize("pack", [tar(member(WANTED, os.urandom(3000))), zipped((WANTED, os.urandom(3000), 0))])
def test_a_truncated_archive_is_an_archive_error_or_what_was_in_it(pack, cut):
    try:
        entries = taken(pack[:cut])
    except ArchiveError:
        return
    assert all(entry.data is None or len(entry.data) == 3000 for entry in entries)


def test_noise_behind_every_magic_number_is_an_archive_error():
    for magic in (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\x00"):
        with pytest.raises(ArchiveError):
            taken(magic + os.urandom(2000))


def test_an_encrypted_file_is_named():
    # Bit 0 of the flags, in both headers.
    archive = bytearray(zipped((WANTED, HONEST, 0)))
    archive[6] |= 1
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    (entry,) = taken(bytes(archive))

    assert (entry.data, entry.problem) == (None, "is encrypted")


def test_what_systems_and_tools_add_is_left_out():
    names = ("__MACOSX/._x", f".git/{WANTED}", f"._{WANTED}", f"venv/lib/site-packages/{WANTED}", f"a/{WANTED}")

    assert files(taken(tar(*map(member, names)))) == [(f"a/{WANTED}", HONEST)]


def test_links_of_a_folder_are_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / WANTED).write_text("the grader's")
    subs = tmp_path / "subs"
    (subs / "ann").mkdir(parents=True)
    (subs / "bob").symlink_to(tmp_path / "outside")
    (subs / "ann" / WANTED).symlink_to(tmp_path / "outside" / WANTED)
    entries = taken(subs)

    assert files(entries) == []
    assert {entry.parts: entry.kind for entry in entries} == {
        ("ann",): "folder",
        ("bob",): "link",
        ("ann", WANTED): "link",
    }


def test_a_pipe_in_a_folder_does_not_block(tmp_path):
    os.mkfifo(tmp_path / WANTED)
    (entry,) = taken(tmp_path)

    assert entry.kind == "device"
    assert read_regular(tmp_path / WANTED, 10).kind == "device"


def test_folders_deeper_than_anyone_needs_end_the_walk(tmp_path):
    deep = tmp_path.joinpath(*("d" * (DEPTH + 10)))
    deep.mkdir(parents=True)
    (deep / WANTED).write_bytes(HONEST)

    assert max(len(entry.parts) for entry in taken(tmp_path)) == DEPTH


def test_an_archive_is_told_by_its_content():
    assert all(map(is_archive, (tar(member("x")), tar(member("x"), compressed=False), zipped(("x", b"", 0)))))
    assert not is_archive(HONEST)
    with pytest.raises(ArchiveError, match="neither"):
        taken(HONEST)
