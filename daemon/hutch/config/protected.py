"""The names that a sandbox may not write in a workspace of this host: what runs there without being asked.

Git's own (`.git`, its hooks, its configuration) are always protected and stand in `hutch.workspaces.git`.
"""

PROTECTED = (
    # Coding agents: hooks, permissions, servers that they start
    ".agents", ".aider.conf.yml", ".claude", ".codex", ".continue", ".cursor", ".gemini", ".hutch.toml",
    ".junie", ".kiro", ".mcp.json", ".opencode", ".roo", ".windsurf", "opencode.json",
    # Editors: tasks and settings that name programs
    ".devcontainer", ".exrc", ".fleet", ".idea", ".nvim.lua", ".nvimrc", ".vimrc", ".vscode", ".zed",
    # What a commit, a push or entering the folder runs
    ".envrc", ".githooks", ".hg/hgrc", ".husky", ".lefthook.yml", ".mise.toml", ".pre-commit-config.yaml",
    "lefthook.yml", "mise.toml",
    # What a shell or git reads from a home folder
    ".bash_aliases", ".bash_login", ".bash_logout", ".bash_profile", ".bashrc", ".cshrc", ".gitconfig",
    ".kshrc", ".login", ".profile", ".ssh", ".tcshrc", ".zlogin", ".zlogout", ".zprofile", ".zshenv",
    ".zshrc",
)  # fmt: skip
