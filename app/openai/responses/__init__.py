"""Responses of the protocol: text in and out, with the events of a stream."""
