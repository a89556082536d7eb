"""The networks that are there without being written down. Each is granted where the owner names it.

None holds a host where anybody can keep what he likes for all to fetch, as far as its kind allows that.
"""

from collections.abc import Mapping

from hutch.config.records import Network
from hutch.destinations import EVERY, read_pattern
from hutch.origins import read_origin

_GITHUB_FILES = ("raw", "objects", "release-assets", "media")

# The models' providers; what is used there is metered
_MODELS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("api.anthropic.com",),
    "openai": ("api.openai.com",),
    "chatgpt": ("chatgpt.com", "auth.openai.com"),  # Codex, logged in by an account instead of a key
    "google": ("generativelanguage.googleapis.com",),
    "gemini-login": ("cloudcode-pa.googleapis.com", "oauth2.googleapis.com", "accounts.google.com"),
    "openrouter": ("openrouter.ai",),
    "opencode": ("opencode.ai", "models.dev"),
    "mistral": ("api.mistral.ai",),
    "deepseek": ("api.deepseek.com",),
    "xai": ("api.x.ai",),
    "groq": ("api.groq.com",),
}

_HOSTS: Mapping[str, tuple[str, ...]] = {
    # Package registries
    "python": ("pypi.org", "files.pythonhosted.org"),
    "conda": ("conda.anaconda.org", "repo.anaconda.com"),
    "node": ("*.npmjs.org", "registry.yarnpkg.com", "nodejs.org"),  # npm's registry, all of it its own
    "rust": ("crates.io", "index.crates.io", "static.crates.io", "static.rust-lang.org"),
    "go": ("proxy.golang.org", "sum.golang.org"),
    "ruby": ("rubygems.org", "index.rubygems.org"),
    "java": (
        *("repo.maven.apache.org", "repo1.maven.org"),
        *("plugins.gradle.org", "plugins-artifacts.gradle.org", "services.gradle.org"),
    ),
    "dotnet": ("api.nuget.org", "globalcdn.nuget.org"),
    "php": ("packagist.org", "repo.packagist.org"),
    "elixir": ("hex.pm", "repo.hex.pm", "builds.hex.pm"),
    "haskell": ("hackage.haskell.org",),
    "dart": ("pub.dev",),
    "debian": tuple(f"{name}.debian.org:{port}" for name in ("deb", "security") for port in (80, 443)),
    "ubuntu": tuple(
        f"{name}.ubuntu.com:{port}" for name in ("archive", "security", "ports") for port in (80, 443)
    ),
    "alpine": tuple(f"dl-cdn.alpinelinux.org:{port}" for port in (80, 443)),
    # Where repositories are kept
    "github": (
        *("github.com", "github.com:22", "api.github.com", "codeload.github.com"),
        *(f"{name}.githubusercontent.com" for name in _GITHUB_FILES),
    ),
    "gitlab": ("gitlab.com", "gitlab.com:22"),
    "bitbucket": ("bitbucket.org", "bitbucket.org:22", "api.bitbucket.org"),
}

NETWORKS: Mapping[str, Network] = {
    **{
        name: Network(allow=tuple(map(read_pattern, hosts)), metered=tuple(map(read_origin, hosts)))
        for name, hosts in _MODELS.items()
    },
    **{name: Network(allow=tuple(map(read_pattern, hosts))) for name, hosts in _HOSTS.items()},
    "full": Network(allow=(EVERY,)),  # every public host, by every port
}
