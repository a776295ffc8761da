"""Webhooks over HTTP: create, list, change, delete, test; deliveries and their repetition."""
