"""`python -m gateway.functions MODULE`: serve the module's tools over stdio. What the module prints goes to stderr."""

import argparse

import anyio

from gateway.functions.server import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m gateway.functions", description="Serve the tools of a module (MCP).")
    parser.add_argument("module", help="a file that ends in .py, or the name of an installed module")
    anyio.run(serve, parser.parse_args().module)
