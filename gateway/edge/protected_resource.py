"""The gateway as an OAuth 2.0 protected resource: its metadata (RFC 9728), which says who issues tokens for it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

WELL_KNOWN = "/.well-known/oauth-protected-resource"
MCP_PATH = "/mcp"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """`resource` is the public address of `/mcp`, as clients know it. Anybody may read all of this.

    `usual`: of the `scopes`, those that let their holder call tools and do nothing else. A client without a token is told
    these, so that it asks for no more.
    """

    resource: str
    issuers: tuple[str, ...]
    scopes: tuple[str, ...]
    usual: tuple[str, ...]

    @property
    def metadata_url(self) -> str:
        """Where the metadata is: the well-known path stands between host and path (RFC 9728 section 3.1)."""
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.rstrip('/')}"

    def routes(self) -> list[Route]:
        """The metadata under the root's path, that of `/mcp` and that of the public address."""
        paths = {WELL_KNOWN, WELL_KNOWN + MCP_PATH, urlsplit(self.metadata_url).path}
        return [Route(path, self._metadata) for path in sorted(paths)]

    async def _metadata(self, request: Request) -> Response:
        document = {
            "resource": self.resource,
            "authorization_servers": list(self.issuers),
            "scopes_supported": list(self.scopes),
            "bearer_methods_supported": ["header"],
            "resource_name": "Sealgate",
        }
        return JSONResponse(document, headers={"Cache-Control": "public, max-age=300"})

    def challenge(self, error: str | None = None, scopes: tuple[str, ...] = ()) -> str:
        """The value of `WWW-Authenticate` (RFC 6750 section 3, RFC 9728 section 5.1)."""
        told = {"error": error, "scope": " ".join(scopes) or None, "resource_metadata": self.metadata_url}
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in told.items() if value is not None)
