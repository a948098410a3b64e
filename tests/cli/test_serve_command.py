"""`mpvn serve` in a process: it starts, answers, and ends with exit code 0 when it is asked to."""

import os
import pathlib
import re
import signal
import subprocess
import threading

import numpy as np
import pytest
import requests
from command_line import assert_mistake, process_arguments
from serving_networks import alone, classes_model


def test_it_serves_until_it_is_asked_to_stop(tmp_path: pathlib.Path) -> None:
    network, path = classes_model().network, tmp_path / "actions.keras"
    network.save(path)
    (tmp_path / "token").write_text("secret\n")
    arguments = ["--port", 0, "--grpc-port", 0, "--token-file", tmp_path / "token"]
    command = process_arguments("serve", path, *arguments, "--runtime", "tensorflow")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd()])}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    limit = threading.Timer(120, process.kill)
    limit.start()
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert re.match(r"gRPC:  127.0.0.1:\d+$", lines[2]), lines
        url = re.search(r"http://\S+/v1/models/actions", lines[1])[0]
        frames = np.random.default_rng(0).normal(size=(3, 8, 10, 3)).astype("float32")
        headers = {"Authorization": "Bearer secret"}
        for number, expected in enumerate(alone(network, [*frames])):
            body = {"inputs": {"stream_id": [4], "frame": frames[number][None].tolist()}}
            answer = requests.post(f"{url}:predict", json=body, headers=headers, timeout=60)
            np.testing.assert_allclose(answer.json()["outputs"]["logits"][0], expected, atol=1e-5)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        limit.cancel()
        process.kill()
        process.communicate()
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert stderr.endswith("stopped\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "others can reach it.*Expected a token"),
        (["--streams", "0"], "--streams: expected more than 0"),
        (["--deadline", "-1"], "--deadline: expected 0 or more"),
        (["--port", "70000"], "--port: expected a port"),
        (["--name", "a/b"], "--name: expected a name without /"),
        (["--token", "a", "--token-file", "b"], "expected one of them"),
        (["--token", "a b"], "printable ASCII"),
        (["--token", ""], "at least one character"),
        (["--token-file", "/nowhere"], "/nowhere"),
        (["--rate", "nan"], "--rate: expected more than 0"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(
    options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MPVN_TOKEN", raising=False)
    assert_mistake(message, "serve", "nothing.keras", *options)
