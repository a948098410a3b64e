"""`mpvn serve`: the engine behind REST, gRPC and WebSockets, on one machine."""
