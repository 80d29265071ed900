"""A run kept in a folder, and in a bucket of a server on this machine that speaks S3."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.local import free_port
from hmarl.errors import Failed, InputError
from hmarl.storage import Storage, below, check_storage, kept


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of one on a server that speaks S3."""
    port = free_port()
    log = subprocess.DEVNULL
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
    )
    address = f"s3://runs/of/ours?endpoint_override=127.0.0.1:{port}&scheme=http&allow_bucket_creation=true"
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
    yield address
    server.kill()
    server.wait()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "storage")
    return below(request.getfixturevalue("bucket"), tmp_path.name)


def run(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name / "ours"
    folder.mkdir(parents=True)
    (folder / ".lock").write_text("held")
    return folder


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", ".storage")
    }


def test_a_run_goes_on_elsewhere_and_back(storage: str, tmp_path: Path) -> None:
    here, there = run(tmp_path, "here"), run(tmp_path, "there")
    ours, theirs = Storage(below(storage, "ours"), here), Storage(below(storage, "ours"), there)
    assert not ours.pull()
    (here / "phase").mkdir()
    (here / "phase" / "one").write_text("1")
    ours.push()
    (here / "phase" / "two").write_text("2")
    ours.push()
    (there / "stale").write_text("of another run")
    assert theirs.pull()
    assert files(there) == {"phase/one": "1", "phase/two": "2"}
    assert not theirs.pull()
    (there / "phase" / "one").unlink()
    theirs.push()
    assert ours.pull()
    assert files(here) == {"phase/two": "2"}
    assert (here / ".lock").read_text() == "held"
    assert len(ours._copies()) == 1


def test_what_is_newer_here_stays(storage: str, tmp_path: Path) -> None:
    """A run that was killed after its last copy goes on from its own folder."""
    here = run(tmp_path, "here")
    ours = Storage(below(storage, "ours"), here)
    (here / "steps").write_text("1")
    ours.push()
    (here / "steps").write_text("2")
    assert not Storage(below(storage, "ours"), here).pull()
    assert files(here) == {"steps": "2"}


def test_results_lie_there_as_files(storage: str, tmp_path: Path) -> None:
    here = run(tmp_path, "here")
    for name in ("report.html", "policy/actors", "phase/checkpoint/1/state", "training/step_1/model"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    ours = Storage(below(storage, "ours"), here, left_out=("training",))
    ours.push()
    ours.publish()
    for name in ("report.html", "policy/actors"):
        with ours._files.open_input_stream(f"{ours._path}/{name}") as stream:
            assert stream.read().decode() == name
    (number,) = ours._copies()
    with ours._files.open_input_stream(ours._name(number)) as stream:
        (tmp_path / "copy.tar").write_bytes(stream.read())
    with tarfile.open(tmp_path / "copy.tar") as archive:
        names = {entry.name for entry in archive if entry.isfile()}
    assert names == {"report.html", "policy/actors", "phase/checkpoint/1/state"}


def test_a_copy_that_was_cut_short_counts_for_nothing(tmp_path: Path) -> None:
    here, there = run(tmp_path, "here"), run(tmp_path, "there")
    ours = Storage(str(tmp_path / "storage"), here)
    (here / "steps").write_text("1")
    ours.push()
    (tmp_path / "storage" / "run-000002.tar.writing").write_text("half")
    assert Storage(str(tmp_path / "storage"), there).pull()
    assert files(there) == {"steps": "1"}


def test_work_that_does_not_arrive_is_told_of(tmp_path: Path) -> None:
    here = run(tmp_path, "here")
    ours = Storage(str(tmp_path / "storage"), here)
    with pytest.raises(Failed, match=r"storage: .*: the results are in "), kept(ours):
        (tmp_path / "storage").replace(tmp_path / "gone")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ftp://host/runs", "a folder that all nodes see, s3://bucket/path or gs://bucket/path"),
        ("s3:///runs", "names no bucket"),
        ("s3://key:secret@bucket/runs", "no keys in the address"),
    ],
)
def test_no_address(address: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        check_storage(address)
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="storage: "):
        Storage(str(tmp_path / "file" / "ours"), tmp_path)


def test_below() -> None:
    assert below("/runs/", "first") == "/runs/first"
    assert below("s3://bucket/runs?region=eu-west-1", "a", "b") == "s3://bucket/runs/a/b?region=eu-west-1"
