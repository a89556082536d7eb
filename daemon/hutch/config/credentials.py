"""Where programs keep credentials, below anybody's home: never shown to a sandbox, whatever is granted above.

Patterns of one home each: "*" stands for any text without a slash.
"""

CREDENTIALS = (
    # keys and logins of the shell's own world
    ".ssh",
    ".gnupg",
    ".netrc",
    ".password-store",
    ".pki",
    ".vault-token",
    ".*_history",
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".config/op",
    "Library/Keychains",
    # clouds and clusters
    ".aws",
    ".azure",
    ".boto",
    ".s3cfg",
    ".kube",
    ".config/gcloud",
    ".config/rclone",
    ".config/doctl",
    ".oci",
    ".terraform.d/credentials.tfrc.json",
    ".docker/config.json",
    ".config/containers/auth.json",
    # code and packages
    ".git-credentials",
    ".config/git/credentials",
    ".config/gh",
    ".config/hub",
    ".config/glab-cli",
    ".npmrc",
    ".pypirc",
    ".yarnrc.yml",
    ".gem/credentials",
    ".cargo/credentials*",
    ".m2/settings*.xml",
    ".gradle/gradle.properties",
    ".composer/auth.json",
    # databases
    ".pgpass",
    ".my.cnf",
    # agents' logins and conversations
    ".claude*",
    ".codex",
    ".gemini",
    ".config/github-copilot",
    ".local/share/opencode",
    # browsers and mail
    ".mozilla",
    ".thunderbird",
    ".config/google-chrome*",
    ".config/chromium",
    ".config/BraveSoftware",
    ".config/microsoft-edge*",
    "snap/firefox",
    "snap/chromium",
    "Library/Application Support/Google/Chrome",
    "Library/Application Support/Firefox",
)
