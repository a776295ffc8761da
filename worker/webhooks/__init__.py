"""Sending of events to webhooks, from the outbox in the database."""
