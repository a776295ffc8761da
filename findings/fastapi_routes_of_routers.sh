#!/usr/bin/env bash
# fastapi 0.165.0: routes of an included router are built at the first request, anew for each application.
#
# Surprise: `include_router` looks as if it built the routes: mistakes in them used to be raised there, at the import of
# an application. It only notes the router. Each route is built at the first request that is matched with the router,
# and all routes of the router at once. So a `generate_unique_id_function` that raises is noticed by a client, not at
# the start; the first request of each router takes longer; and a second application that includes the same router
# builds everything again.
#
# Why it matters: a service with a hundred routes paid 0.1 to 0.2 CPU-seconds for the first requests of each
# application, which a test suite with an application per test pays two thousand times.
#
# Workaround: include the routers once, in an `APIRouter` that lives as long as the process, and extend
# `app.router.routes` by its routes: what was built is then shared by all applications.
#
# Seen with fastapi 0.165.0, CPython 3.11, Linux x86-64 (routes built, of 50, after each step):
#   first application: include_router 0, first request 50, second request 50
#   second application: include_router 0, first request 50, second request 50
#   failing generate_unique_id_function: include_router returns, first request raises ValueError
#
# Exits 0 while this holds, 1 if the behavior has changed. Needs python3 (or PYTHON) and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "fastapi==0.165.0" "httpx==0.28.1"

cat > "$folder/count.py" <<'PYTHON'
import asyncio
import sys

import httpx
from fastapi import APIRouter, FastAPI

ROUTES = 50
built = []


async def answer(size: int = 1) -> int:
    return size


def unique_id(route):
    built.append(route.path)
    return route.path


def failing(route):
    raise ValueError(route.path)


router = APIRouter()
for number in range(ROUTES):
    router.add_api_route(f"/route{number}", answer)


def application(function):
    app = FastAPI(generate_unique_id_function=function)
    app.include_router(router)
    return app


async def ask(app):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/route0")).status_code


def describe(name):
    built.clear()
    app = application(unique_id)
    counts = [len(built)]
    for _ in range(2):
        assert asyncio.run(ask(app)) == 200
        counts.append(len(built))
    return "{}: include_router {}, first request {}, second request {}".format(name, *counts)


def fail():
    app = application(failing)
    try:
        asyncio.run(ask(app))
    except ValueError as error:
        return f"include_router returns, first request raises {type(error).__name__}"
    return "nothing is raised"


seen = [
    describe("first application"),
    describe("second application"),
    f"failing generate_unique_id_function: {fail()}",
]
print("\n".join(seen))
expected = [
    "first application: include_router 0, first request 50, second request 50",
    "second application: include_router 0, first request 50, second request 50",
    "failing generate_unique_id_function: include_router returns, first request raises ValueError",
]
sys.exit(seen != expected)
PYTHON

"$folder/venv/bin/python" "$folder/count.py"
