"""Settings → who may call: configured tokens, API keys, issuers of access tokens, local processes; and their limits."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.issuer_keys import IssuerKeys, issuer_session
from gateway.core.limits import CallLimits
from gateway.core.run_context import Delegation, principal_named
from gateway.edge.api_keys import ApiKeyDesk
from gateway.edge.auth import Caller, Credentials, TokenTable
from gateway.edge.oauth import IssuerRules, OAuth
from gateway.edge.peers import PeerRule, PeerTable
from gateway.edge.protected_resource import ProtectedResource
from gateway.settings import Settings
from gateway.settings.access import Issuer, Peer
from gateway.settings.access import OAuth as OAuthBlock
from gateway.settings.limits import CallerLimits
from gateway.settings.people import Caller as CallerRule
from gateway.settings.people import Role


@dataclass(frozen=True, slots=True)
class Admission:
    """What the door of the HTTP surfaces goes by. `unix`: where local processes are served, if anywhere."""

    credentials: Credentials
    api_keys: ApiKeyDesk | None = None
    peers: PeerTable | None = None
    resource: ProtectedResource | None = None
    unix: Path | None = None


@asynccontextmanager
async def admission(settings: Settings, callers: Mapping[str, Caller], api_keys: ApiKeyDesk) -> AsyncIterator[Admission]:
    """Who may call; `callers` by the SHA-256 of their token. The issuers' keys are fetched when they are needed first."""
    listen, oauth = settings.configuration.listen, settings.configuration.auth.oauth
    async with AsyncExitStack() as stack:
        access_tokens = None
        if oauth is not None:
            session = await stack.enter_async_context(issuer_session())
            rules = []
            for issuer in oauth.issuers:
                keys = IssuerKeys(issuer.issuer, issuer.jwks_uri, session)
                stack.push_async_callback(keys.close)
                rules.append(_issuer_rules(settings, oauth, issuer, keys))
            access_tokens = OAuth(tuple(rules))
        yield Admission(
            Credentials(TokenTable(callers), api_keys, access_tokens),
            api_keys,
            PeerTable(tuple(_peer_rule(settings, peer) for peer in listen.peers)),
            None if oauth is None else _resource(oauth),
            None if listen.unix is None else settings.folder / listen.unix,
        )


def configured_callers(settings: Settings) -> dict[str, Caller]:
    """The `callers` of gateway.yaml by the SHA-256 of their token."""
    return {
        caller.token_sha256: Caller(
            settings.configuration.tenant,
            principal_named(caller.principal),
            tuple(map(principal_named, caller.actors)),
            frozenset(caller.roles),
            _delegation(caller),
            limits_of(settings, caller.limits),
            tools=caller.tools,
            exposure=caller.exposure,
        )
        for caller in settings.configuration.callers
    }


def names_somebody(settings: Settings) -> bool:
    """Whether the configuration itself lets anybody in over HTTP."""
    configuration = settings.configuration
    return bool(configuration.callers or configuration.listen.peers or configuration.auth.oauth)


def limits_of(settings: Settings, own: CallerLimits | None = None) -> CallLimits:
    """A caller's own limits, or those of the file."""
    return (own or settings.configuration.limits).limits()


def _issuer_rules(settings: Settings, oauth: OAuthBlock, issuer: Issuer, keys: IssuerKeys) -> IssuerRules:
    return IssuerRules(
        issuer=issuer.issuer,
        audience=issuer.audience or oauth.resource,
        tenant_id=settings.configuration.tenant,
        keys=keys,
        algorithms=frozenset(issuer.algorithms),
        roles={scope: frozenset(roles) for scope, roles in issuer.scopes.items()},
        delegations=issuer.delegations,
        principal_prefix=issuer.principal_prefix,
        actor_prefix=issuer.actor_prefix,
        required_claims=issuer.required_claims,
        limits=limits_of(settings, issuer.limits),
        leeway_seconds=oauth.leeway_seconds,
        tools=issuer.tools,
        exposure=issuer.exposure,
    )


def _resource(oauth: OAuthBlock) -> ProtectedResource:
    scopes = {scope for issuer in oauth.issuers for scope in (*issuer.scopes, *issuer.delegations)}
    given = [(scope, set(roles)) for issuer in oauth.issuers for scope, roles in issuer.scopes.items()]
    usual = {scope for scope, roles in given if roles == {Role.AGENT}}
    issuers = tuple(issuer.issuer for issuer in oauth.issuers)
    return ProtectedResource(oauth.resource, issuers, tuple(sorted(scopes)), tuple(sorted(usual)))


def _peer_rule(settings: Settings, peer: Peer) -> PeerRule:
    caller = Caller(
        settings.configuration.tenant,
        principal_named(peer.principal),
        tuple(map(principal_named, peer.actors)),
        frozenset(peer.roles),
        limits=limits_of(settings, peer.limits),
        credential=f"uid:{'*' if peer.uid is None else peer.uid} gid:{'*' if peer.gid is None else peer.gid}",
        tools=peer.tools,
        exposure=peer.exposure,
    )
    return PeerRule(peer.uid, peer.gid, caller)


def _delegation(caller: CallerRule) -> Delegation | None:
    given = caller.delegation
    if given is None:
        return None
    return Delegation(caller.principal.partition(":")[2], given.scopes, given.expires_at)
