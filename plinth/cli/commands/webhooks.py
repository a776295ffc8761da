"""`plinth webhooks`: events of the service, sent to an address of yours."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from plinth.cli.commands.context import AsJson, Yes, confirm, connect, print_json, resolve_webhook_id
from plinth.cli.plain_help import PlainTyper

if TYPE_CHECKING:
    from plinth.client.types import Webhook

app = PlainTyper(help="Send events of jobs, datasets and models to an address.", invoke_without_command=True)

WebhookArgument = Annotated[str, typer.Argument(help="Id of the webhook, or its beginning.", metavar="WEBHOOK")]


@app.command("list")
@app.callback()
def list_webhooks(context: typer.Context, as_json: AsJson = False) -> None:
    """List webhooks."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        webhooks = plinth.webhooks.list()
    if as_json:
        print_json(webhooks)
        return
    table = render.make_table("webhook", "address", "events", "state", ids=[webhook.id for webhook in webhooks])
    for webhook in webhooks:
        table.add_row(webhook.id, webhook.url, _describe(webhook), _state_of(webhook))
    render.console.print(table)
    render.print_next_step("plinth webhooks create https://example.com/plinth --event 'job.*'")


@app.command("create")
def create_webhook(
    url: Annotated[str, typer.Argument(help="Address to which events are sent.", metavar="URL")],
    events: Annotated[
        list[str] | None,
        typer.Option("--event", help="job.succeeded, a group such as 'dataset.*', or '*' (default); repeatable."),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Only events about models of this name, such as 'digits*'.")
    ] = None,
    datasets: Annotated[
        list[str] | None, typer.Option("--dataset", help="Only events about datasets of this name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a webhook and print its secret, which is shown only once."""
    from plinth.cli.render import print_next_step

    with connect() as plinth:
        webhook = plinth.webhooks.create(url, events=events or ("*",), models=models or None, datasets=datasets or None)
    if as_json:
        print_json(webhook)
        return
    sys.stdout.write(f"{webhook.secret}\n")
    print_next_step(f"plinth webhooks test {webhook.id}")


@app.command("test")
def send_test(webhook: WebhookArgument, as_json: AsJson = False) -> None:
    """Send a test event, and print how it was received."""
    from plinth.cli.render import console

    with connect() as plinth:
        delivery = plinth.webhooks.test(resolve_webhook_id(plinth, webhook))
    if as_json:
        print_json(delivery)
    elif delivery.state == "delivered":
        console.print(f"{delivery.id} was received with status {delivery.last_status}.")
    else:
        reason = delivery.last_error or "no worker has sent it yet; does one run?"
        console.print(f"{delivery.id} was not received: {reason}", soft_wrap=True)
    if delivery.state != "delivered":
        raise typer.Exit(1)


@app.command("deliveries")
def list_deliveries(
    webhook: WebhookArgument,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Number of deliveries.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what was sent to a webhook, newest first."""
    from plinth.cli import render

    with connect() as plinth:
        webhook_id = resolve_webhook_id(plinth, webhook)
        deliveries = plinth.webhooks.deliveries(webhook_id, state=state, limit=limit)
    if as_json:
        print_json(deliveries)
        return
    ids = [delivery.id for delivery in deliveries]
    table = render.make_table("delivery", "event", "state", "attempts", "created", "last error", ids=ids)
    for delivery in deliveries:
        table.add_row(
            delivery.id,
            delivery.type,
            delivery.state,
            str(delivery.attempts),
            render.format_age(delivery.created_at),
            delivery.last_error or "",
        )
    render.console.print(table)
    render.print_next_step(f"plinth webhooks retry {webhook_id} DELIVERY")


@app.command("retry")
def retry_delivery(
    webhook: WebhookArgument,
    delivery: Annotated[str, typer.Argument(help="Id of the delivery.", metavar="DELIVERY")],
    as_json: AsJson = False,
) -> None:
    """Send a delivery again, now and with all attempts."""
    from plinth.cli.render import console

    with connect() as plinth:
        requested = plinth.webhooks.retry(resolve_webhook_id(plinth, webhook), delivery)
    if as_json:
        print_json(requested)
        return
    console.print(f"{requested.id} is sent again.")


@app.command("enable")
def enable_webhook(webhook: WebhookArgument, as_json: AsJson = False) -> None:
    """Send events again to a webhook that was disabled."""
    from plinth.cli.render import console

    with connect() as plinth:
        enabled = plinth.webhooks.change(resolve_webhook_id(plinth, webhook), is_enabled=True)
    if as_json:
        print_json(enabled)
        return
    console.print(f"{enabled.id} is enabled.")


@app.command("delete")
def delete_webhook(webhook: WebhookArgument, yes: Yes = False) -> None:
    """Delete a webhook with its deliveries."""
    from plinth.cli.render import console

    with connect() as plinth:
        webhook_id = resolve_webhook_id(plinth, webhook)
        confirm(f"Delete {webhook_id} with its deliveries?", yes=yes)
        plinth.webhooks.delete(webhook_id)
    console.print(f"Deleted {webhook_id}.")


def _describe(webhook: Webhook) -> str:
    names = [*(webhook.models or ()), *(webhook.datasets or ())]
    return ", ".join(webhook.events) + (f" about {', '.join(names)}" if names else "")


def _state_of(webhook: Webhook) -> str:
    if not webhook.is_enabled:
        return f"disabled: {webhook.disabled_reason}" if webhook.disabled_reason else "disabled"
    return "failing" if webhook.failing_since else "works"
