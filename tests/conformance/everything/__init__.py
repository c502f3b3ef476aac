"""The server that the official conformance suite expects, on the `mcp` SDK: over HTTP in both eras, and over stdio.

The suite names its tools, resources and prompts and says what each must do; `python -m tests.conformance.everything` serves
them, so that one server can be measured directly and behind the gateway.
"""
