"""A secret that is sent as it is, in a header."""

import logging
import re
from collections.abc import Mapping

from gateway.adapters.upstream.credentials.credentials import NoCredentials, Party
from gateway.adapters.upstream.credentials.secret import Secret
from gateway.adapters.upstream.credentials.spec import StaticSpec

logger = logging.getLogger("sealgate.upstream")

_HEADER_TEXT = re.compile(r"[\x20-\x7e]{1,8192}")


class Static:
    """Implements `Credentials`. A new value in its place is sent from then on."""

    managed = True
    per_caller = False

    def __init__(self, upstream: str, spec: StaticSpec) -> None:
        self._upstream = upstream
        self._header = spec.header.lower()
        self._before = "" if spec.scheme is None else f"{spec.scheme} "
        self._secret = Secret(spec.secret)

    async def headers(self, party: Party | None) -> Mapping[str, str]:
        """See `Credentials`."""
        try:
            value = await self._secret.value()
            if _HEADER_TEXT.fullmatch(value) is None:
                raise NoCredentials("the secret holds what no header can carry")
        except NoCredentials as error:
            logger.warning("no credentials for upstream %s: %s", self._upstream, error)
            raise
        return {self._header: self._before + value}

    def refused(self, headers: Mapping[str, str]) -> None:
        """See `Credentials`. There is no other."""

    async def check(self) -> None:
        """See `Credentials`."""
        await self.headers(None)

    async def close(self) -> None:
        """See `Credentials`."""
