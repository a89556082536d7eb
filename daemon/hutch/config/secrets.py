"""A secret's table: where its value comes from, where it may go, and the ones that everybody knows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from hutch.config.http_rules import METHOD, PATH
from hutch.config.kinds import Each, Place, Text, WrongValueError
from hutch.config.network_kinds import Origins
from hutch.origins import Origin, read_origin

_VARIABLE = Text(r"([A-Za-z_][A-Za-z0-9_]*)?", "the name of an environment variable, or empty")
_CHECK = Text(r"/[\x21-\x7e]*", 'a path such as "/v1/models"')
_ENTRY = Text(r"([^/]+/.+)?", "SERVICE/USER, or empty")
_LIKE = Text(r"[A-Za-z0-9_.-]{0,40}", "at most 40 of A-Z a-z 0-9 _ . -")
_PLACE = Text(
    r"header [A-Za-z0-9_-]+(: *[\x20-\x7e]*\{\}[\x20-\x7e]*)?|bearer|basic|query [^&=# ]+",
    '"header NAME", "header NAME: Bearer {}", "bearer", "basic" or "query NAME"',
)


@dataclass(frozen=True, slots=True)
class Words:
    """A program and its arguments."""

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(
            isinstance(word, str) and "\0" not in word for word in value
        ):
            raise WrongValueError(f'must be a list such as ["pass", "show", "token"], not {value!r}')
        return tuple(value)


@dataclass(frozen=True, slots=True)
class _OneOrMore:
    """A value of a kind, or a list of them."""

    kind: Each

    def read(self, value: object) -> tuple[object, ...]:
        return self.kind.read(value if isinstance(value, list) else [value])


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a value, and the only requests that get it. The value itself is never written here."""

    from_env: Annotated[str, _VARIABLE] = ""
    from_file: Annotated[Path, Place(may_be_empty=True)] = Path()
    from_command: Annotated[tuple[str, ...], Words()] = ()
    from_keyring: Annotated[str, _ENTRY] = ""
    hosts: Annotated[tuple[Origin, ...], Each(Origins())] = ()
    place: Annotated[tuple[str, ...], _OneOrMore(Each(_PLACE))] = ()
    methods: Annotated[tuple[str, ...], Each(METHOD)] = ()
    paths: Annotated[tuple[str, ...], Each(PATH)] = ()
    env: Annotated[str, _VARIABLE] = ""
    like: Annotated[str, _LIKE] = ""
    check: Annotated[str, _CHECK] = "/"

    @property
    def variable(self) -> str:
        """The variable inside that its value itself is put into, where that is granted."""
        return self.env or self.from_env

    @property
    def sources(self) -> list[str]:
        """The keys that say where its value comes from; it is to be one."""
        said = {
            "from_env": self.from_env,
            "from_file": self.from_file != Path(),
            "from_command": self.from_command,
            "from_keyring": self.from_keyring,
        }
        return [key for key, value in said.items() if value]


def _known(variable: str, hosts: str, place: str, like: str, check: str = "/") -> Secret:
    origins = tuple(read_origin(host) for host in hosts.split())
    places = tuple(place.split(", "))
    return Secret(variable, hosts=origins, place=places, env=variable, like=like, check=check)


_SOURCES = frozenset({"from_env", "from_file", "from_command", "from_keyring"})
_GOOGLE = "generativelanguage.googleapis.com"

SECRETS = {
    "anthropic": _known(
        "ANTHROPIC_API_KEY", "api.anthropic.com", "header x-api-key", "sk-ant-api03-", "/v1/models"
    ),
    "claude-login": _known("CLAUDE_CODE_OAUTH_TOKEN", "api.anthropic.com", "bearer", "sk-ant-oat01-"),
    "openai": _known("OPENAI_API_KEY", "api.openai.com", "bearer", "sk-", "/v1/models"),
    "openrouter": _known("OPENROUTER_API_KEY", "openrouter.ai", "bearer", "sk-or-v1-", "/api/v1/key"),
    "opencode": _known(
        "OPENCODE_API_KEY", "opencode.ai", "bearer, header x-api-key", "sk-", "/zen/v1/models"
    ),
    "mistral": _known("MISTRAL_API_KEY", "api.mistral.ai", "bearer", "", "/v1/models"),
    "deepseek": _known("DEEPSEEK_API_KEY", "api.deepseek.com", "bearer", "sk-", "/models"),
    "xai": _known("XAI_API_KEY", "api.x.ai", "bearer", "xai-", "/v1/models"),
    "groq": _known("GROQ_API_KEY", "api.groq.com", "bearer", "gsk_", "/openai/v1/models"),
    "gemini": _known("GEMINI_API_KEY", _GOOGLE, "header x-goog-api-key, query key", "AIza", "/v1beta/models"),
    "github": _known(
        "GITHUB_TOKEN",
        "api.github.com github.com",
        "bearer, header authorization: token {}, basic",
        "ghp_",
        "/user",
    ),
}


def built_in_secrets(tables: object) -> Mapping[str, Secret]:
    """Return those that everybody knows; one whose table says another source has no other any more."""
    said = tables if isinstance(tables, dict) else {}
    return {
        name: replace(secret, from_env="") if _SOURCES & set(said.get(name, ())) else secret
        for name, secret in SECRETS.items()
    }
