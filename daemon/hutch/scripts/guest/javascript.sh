# Finds what can run a script inside, and starts it; descriptor 3 takes the result of main.
here=${0%/*}
[ "$1" != main ] || exec 3>&1 1>&2
there() { command -v "$1" >/dev/null 2>&1; }
flag=
if there node; then
  if [ "$2" = TypeScript ]; then
    flag=$(node -p 'process.features.typescript ? "" : process.allowedNodeEnvironmentFlags.has("--experimental-strip-types") ? "--experimental-strip-types" : "none"')
  fi
  [ "$flag" = none ] || exec node ${flag:+"$flag" --disable-warning=ExperimentalWarning} "$here/javascript.mjs"
fi
if there bun; then exec bun run "$here/javascript.mjs"; fi
if there deno; then exec deno run --allow-all --quiet "$here/javascript.mjs"; fi
if [ "$flag" = none ]; then
  echo "error: this sandbox has Node.js $(node --version), which cannot run TypeScript; it takes 22.6 or newer, bun or deno" >&2
else
  echo "error: this sandbox has no node, bun or deno" >&2
fi
exit 127
