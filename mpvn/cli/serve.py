"""`mpvn serve`: answer frames of many streams over REST, gRPC and WebSockets, on this machine."""

import argparse
import asyncio
import dataclasses
import ipaddress
import os
import pathlib
import sys
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.model_and_plan import MODEL_HELP, add_model_and_plan_options, load_model
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import declare_paths
from mpvn.cli.runtimes import add_runtime_options, say_running
from mpvn.signals import on_stop

if TYPE_CHECKING:
    from mpvn.prediction.models import NetworkModel
    from mpvn.serving.engine import Engine
    from mpvn.serving.server.run import Server

TOKEN_VARIABLE = "MPVN_TOKEN"

EXAMPLES = """\
mpvn serve runs/finetune_tsm
mpvn serve MobileNetV2 --weights imagenet --subnetworks 4 --streams 16
mpvn serve network.keras --host 0.0.0.0 --token-file token.txt --deadline 200"""

_NO_GRPC = (
    "gRPC is off: grpcio and tensorflow-serving-api are not installed (pip install mpvn[grpc])"
)


def add_parser(commands: Commands) -> None:
    """Add `mpvn serve`."""
    summary = "answer frames of many streams over HTTP, gRPC and WebSockets, with a page to try it"
    parser = add_command(commands, "serve", run, summary, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    _add_addresses(parser)
    _add_streams(parser)
    _add_limits(parser)
    add_runtime_options(parser)
    add_model_and_plan_options(parser)
    declare_paths(
        parser,
        reads=["--weights", "--assignment", "--plan", "--calibrate", "--token-file"],
        runs=["MODEL"],
        writes={},
    )


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("addresses")
    group.add_argument("--name", help="name of the model (default: that of the network)")
    group.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (default: 127.0.0.1, this machine alone; 0.0.0.0 for others)",
    )
    group.add_argument("--port", type=int, default=8501, help="port of HTTP (default: 8501)")
    group.add_argument(
        "--grpc-port", type=int, default=8500, help="port of gRPC (default: 8500; -1 for no gRPC)"
    )
    group.add_argument(
        "--token",
        help=f"bearer token that clients must send (better: --token-file, or {TOKEN_VARIABLE} in "
        "the environment, because others on this machine see command lines)",
    )
    group.add_argument("--token-file", metavar="FILE", help="file whose content is the token")
    group.add_argument(
        "--without-token",
        action="store_true",
        help="let everybody in who reaches the host, if it is not this machine alone",
    )


def _add_streams(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("streams")
    group.add_argument(
        "--streams", type=int, default=64, metavar="N", help="streams at a time (default: 64)"
    )
    group.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="streams of a batch (default: 1 on a CPU, where one stream uses all cores; else 8)",
    )
    group.add_argument(
        "--wait",
        type=float,
        default=2.0,
        metavar="MS",
        help="how long a frame waits for others to fill its batch (default: 2 ms)",
    )
    group.add_argument(
        "--deadline",
        type=float,
        default=1000.0,
        metavar="MS",
        help="frames that cannot be answered in this time are dropped (default: 1000 ms)",
    )
    group.add_argument(
        "--idle",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="a stream without frames for so long gives its place to another one that needs it "
        "(default: 60)",
    )
    group.add_argument(
        "--units",
        choices=["block", "pattern"],
        help="what is compiled and shown in the timeline as one: the nodes of one subnetwork and "
        "clock, or everything that ticks in one step (default: what usually is faster)",
    )
    group.add_argument(
        "--grace",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long running requests may take when the server stops (default: 10)",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("requests")
    group.add_argument(
        "--images",
        choices=["uint8", "jpeg"],
        help="what frames of the predict APIs are: pixels of any size, or image files (JPEG, PNG, "
        "WebP), which the server crops and scales (default: the numbers that the network takes)",
    )
    group.add_argument(
        "--classes",
        type=int,
        metavar="K",
        help="name the K likeliest classes in the answer (default: 5 with --images, if the network "
        "knows names)",
    )
    group.add_argument(
        "--max-body", type=int, default=32 << 20, metavar="BYTES", help="(default: 33554432)"
    )
    group.add_argument(
        "--max-frame",
        type=int,
        default=1 << 25,
        metavar="PIXELS",
        help="most pixels of a picture, by its header (default: 33554432)",
    )
    group.add_argument(
        "--rate", type=float, metavar="FPS", help="frames per second of a client (default: any)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    _check(arguments)
    token = _token(arguments)
    _check_host(arguments, token)
    has_grpc = _has_packages(arguments)
    model = _model(arguments)
    with as_mistakes():
        engine = _engine(arguments, model)
        server = _server(arguments, model, engine, token, has_grpc)
    try:
        asyncio.run(_serve(server, arguments.grace))
    finally:
        engine.close()
    print("stopped", file=sys.stderr)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    positive = ("streams", "max_body", "max_frame")
    optional = ("batch", "rate")
    numbers = {name: getattr(arguments, name) for name in (*positive, *optional)}
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise Mistake(f"{_flag(name)}: expected more than 0. Received: {value}.")
    for name in ("wait", "deadline", "idle", "grace", "classes"):
        value = getattr(arguments, name) or 0
        if not 0 <= value < float("inf"):
            raise Mistake(f"{_flag(name)}: expected 0 or more. Received: {value}.")
    for name, least in (("port", 0), ("grpc_port", -1)):
        value = getattr(arguments, name)
        if not least <= value < 1 << 16:
            raise Mistake(f"{_flag(name)}: expected a port, {least} to 65535. Received: {value}.")
    if arguments.name is not None and (not arguments.name or {*"/:"} & {*arguments.name}):
        raise Mistake(
            f"--name: expected a name without / and :, as it stands in addresses. Received: "
            f"{arguments.name!r}."
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _token(arguments: argparse.Namespace) -> str | None:
    """Return the token that clients must have; None for none."""
    given = [each for each in (arguments.token, arguments.token_file) if each is not None]
    if len(given) > 1:
        raise Mistake("--token and --token-file: expected one of them. Received: both.")
    token = arguments.token
    if arguments.token_file is not None:
        with as_mistakes():
            token = pathlib.Path(arguments.token_file).read_text("utf-8").strip()
    elif token is None:
        token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and (not token.isascii() or not token.isprintable() or " " in token):
        raise Mistake("The token: expected printable ASCII without spaces. Received: others.")
    if token == "":
        raise Mistake("The token: expected at least one character. Received: none.")
    return token


def _check_host(arguments: argparse.Namespace, token: str | None) -> None:
    if _is_local(arguments.host) or token is not None:
        return
    if not arguments.without_token:
        raise Mistake(
            f"--host {arguments.host}: others can reach it. Expected a token (--token-file, or "
            f"{TOKEN_VARIABLE} in the environment). Received: none. --without-token lets everybody "
            "in."
        )
    print(f"everybody who reaches {arguments.host} can use this server", file=sys.stderr)


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _has_packages(arguments: argparse.Namespace) -> bool:
    """Return whether there is gRPC; raise `Mistake` if there is no HTTP."""
    try:
        import aiohttp  # noqa: F401
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise Mistake(
            "mpvn serve needs the packages aiohttp and prometheus-client. Expected both to be "
            f"installed. Received: {error}. Install mpvn[serving]."
        ) from error
    if arguments.grpc_port < 0:
        return False
    import importlib.util

    if all(importlib.util.find_spec(name) for name in ("grpc", "tensorflow_serving")):
        return True
    print(_NO_GRPC, file=sys.stderr)
    return False


def _model(arguments: argparse.Namespace) -> "NetworkModel":
    model = load_model(arguments)
    from mpvn.prediction.models import NetworkModel

    if not isinstance(model, NetworkModel):
        raise Mistake(
            f"{arguments.model}: expected a network, which is compiled for this machine. Received: "
            "an export. Give the .keras file or the run; model servers take exports."
        )
    return model


def _engine(arguments: argparse.Namespace, model: "NetworkModel") -> "Engine":
    """Compile the network, and warm it up."""
    from mpvn.serving.engine import Engine, default_batch
    from mpvn.serving.server.metrics import Metrics
    from mpvn.serving.warm_up import warm_up

    print(f"compiling {model.name} ...", file=sys.stderr)
    model.network.check_streams()
    batch = arguments.batch or default_batch()
    choice = model.choice
    if arguments.units is not None:
        choice = dataclasses.replace(choice, units=arguments.units)
    running = choice.run(model.network, batch)
    quantization = getattr(running.network, "quantization", None)
    say_running(model.name, running.text, running.remark, quantization)
    metrics = Metrics()
    engine = Engine(
        running.network,
        streams=arguments.streams,
        batch=batch,
        wait=arguments.wait / 1000,
        deadline=arguments.deadline / 1000,
        idle=arguments.idle,
        statistics=metrics,
    )
    metrics.watch(engine)
    seconds = warm_up(engine)
    if seconds > engine.deadline:
        print(
            f"a step takes {1000 * seconds:.0f} ms, longer than --deadline {arguments.deadline:g}: "
            "most frames will be dropped",
            file=sys.stderr,
        )
    return engine


def _server(
    arguments: argparse.Namespace,
    model: "NetworkModel",
    engine: "Engine",
    token: str | None,
    has_grpc: bool,
) -> "Server":
    from mpvn.serving.server.access import Access
    from mpvn.serving.server.run import Server
    from mpvn.serving.server.service import Limits, Service

    access: Access = Access(token, arguments.host, arguments.rate, arguments.without_token)
    limits = Limits(arguments.max_body, arguments.max_frame)
    name = arguments.name or model.name
    images, classes = arguments.images, arguments.classes
    service = Service(model, engine, name, images, classes, limits, access)
    grpc_port = arguments.grpc_port if has_grpc else None
    return Server(service, arguments.host, arguments.port, grpc_port)


async def _serve(server: "Server", grace: float) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:  # the second request does not wait
            raise KeyboardInterrupt
        asked = True
        loop.call_soon_threadsafe(stop.set)

    with on_stop(ask):
        with as_mistakes():
            await server.start()
        _say_addresses(server)
        await server.serve_until(stop, grace)


def _say_addresses(server: "Server") -> None:
    host = f"[{server.host}]" if ":" in server.host else server.host
    name = server.service.name
    print(f"page:  http://{host}:{server.port}/")
    print(f"REST:  http://{host}:{server.port}/v1/models/{name}:predict")
    if server.grpc_port is not None:
        print(f"gRPC:  {host}:{server.grpc_port}")
    sys.stdout.flush()
