"""Networks that serve streams: clients, servers, and many machines."""
