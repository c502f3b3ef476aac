"""A library as an HTTP API, as `library.openapi.yaml` describes it: `python library_api.py [--port N]`. Books are in memory.

Callers show the API key. A book added twice under one Idempotency-Key is one book.
"""

import argparse
import os
import socket
from dataclasses import asdict, dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = os.environ.get("LIBRARY_KEY", "example-key")


@dataclass
class Book:
    """One book."""

    number: int
    title: str
    lent: bool = False


BOOKS = {1: Book(1, "The Moonstone"), 2: Book(2, "Middlemarch")}
ADDED: dict[str, int] = {}


def _check(request: Request) -> None:
    if request.headers.get("x-api-key") != KEY:
        raise HTTPException(401, "Show the library's key in X-API-Key.")


def _book(request: Request) -> Book:
    _check(request)
    found = BOOKS.get(request.path_params["number"])
    if found is None:
        raise HTTPException(404, "There is no such book.")
    return found


async def find(request: Request) -> Response:
    """GET /books"""
    _check(request)
    title, lent = request.query_params.get("title", ""), request.query_params.get("lent")
    found = [book for book in BOOKS.values() if title.lower() in book.title.lower()]
    found = [book for book in found if lent is None or book.lent is (lent == "true")]
    return JSONResponse({"books": [asdict(book) for book in found]})


async def add(request: Request) -> Response:
    """POST /books"""
    _check(request)
    title = (await request.json())["title"]
    key = request.headers.get("idempotency-key", "")
    number = ADDED.get(key) or max(BOOKS, default=0) + 1
    if key:
        ADDED[key] = number
    book = BOOKS.setdefault(number, Book(number, title))
    return JSONResponse(asdict(book), 201)


async def get(request: Request) -> Response:
    """GET /books/{number}"""
    return JSONResponse(asdict(_book(request)))


async def discard(request: Request) -> Response:
    """DELETE /books/{number}"""
    del BOOKS[_book(request).number]
    return Response(status_code=204)


async def lend(request: Request) -> Response:
    """POST /books/{number}/loan"""
    book = _book(request)
    if book.lent:
        raise HTTPException(409, "It is lent already.")
    book.lent = True
    return JSONResponse(asdict(book))


async def refused(request: Request, error: Exception) -> Response:
    """Errors as JSON."""
    assert isinstance(error, HTTPException)  # noqa: S101
    return JSONResponse({"detail": error.detail}, error.status_code)


app = Starlette(
    routes=[
        Route("/v1/books", find),
        Route("/v1/books", add, methods=["POST"]),
        Route("/v1/books/{number:int}", get),
        Route("/v1/books/{number:int}", discard, methods=["DELETE"]),
        Route("/v1/books/{number:int}/loan", lend, methods=["POST"]),
    ],
    exception_handlers={HTTPException: refused},
)


def main() -> None:
    """Listen on loopback and print where."""
    parser = argparse.ArgumentParser(description="A library as an HTTP API.")
    parser.add_argument("--port", type=int, default=8802, help="0 takes a free one")
    listener = socket.create_server(("127.0.0.1", parser.parse_args().port))
    print(f"library API at http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=0)).run(sockets=[listener])


if __name__ == "__main__":
    main()
