"""Programs that attack from inside a sandbox: standard library only, sent along as text."""
