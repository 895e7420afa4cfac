"""The HTTP API of the gateway: what operators ask and what they are told."""
