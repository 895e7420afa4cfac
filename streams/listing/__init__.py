"""Queries about invocations, as gateways ask them and workers answer them."""
