"""Chooses how to reach a model server by its address."""

import urllib.parse

from mpvn.serving.transport import Endpoint, Transport


def create_transport(
    address: str, model: str, token: str | None, certificates: str | None
) -> Transport:
    """Return the transport for an address.

    Raises:
        ImportError: a package that it needs is not installed.
        ValueError: the address is none.
    """
    parts = urllib.parse.urlsplit(address)
    is_address = parts.scheme in ("http", "https", "grpc", "grpcs") and parts.netloc
    if not is_address or (parts.path.strip("/") and parts.scheme.startswith("grpc")):
        raise ValueError(
            "Invalid address. Expected grpc://HOST:PORT, grpcs://HOST:PORT, http://HOST:PORT or "
            f"https://HOST:PORT. Received: {address!r}."
        )
    if not model or any(each in model for each in "/:"):
        raise ValueError(f"Invalid model. Expected the name of a model. Received: {model!r}.")
    path = parts.path.rstrip("/")
    secure = parts.scheme in ("https", "grpcs")
    endpoint = Endpoint(parts.netloc, path, secure, model, token, certificates)
    # Each imports what only it needs.
    if parts.scheme.startswith("http"):
        from mpvn.serving.rest_transport import RestTransport

        return RestTransport(endpoint)
    from mpvn.serving.grpc_transport import GrpcTransport

    return GrpcTransport(endpoint)
