"""Webhooks: events of the service, sent to addresses of users by the Standard Webhooks scheme."""
