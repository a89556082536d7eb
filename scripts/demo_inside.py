"""What the demo tries inside a sandbox, and what must come of it."""

from demo_stage import SECRET, Canaries

# It tells what it finds as NAME=VALUE lines. It must not name a canary: its own command line is searched.
TRY_EVERYTHING = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
echo 'Hello from inside a sandbox.' > greeting.txt
say diary "$(cat "$DIARY" 2>&1 | tail -n 1)"
say home "$(ls -A "$REAL_HOME" 2>/dev/null | tr '\n' ' ')"
{ mkdir -p "${PLANTED%/*}" && echo x > "$PLANTED"; } 2>/dev/null
say port "$( (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>&1 && echo reached)"
say internet "$(timeout 5 bash -c 'exec 3<>/dev/tcp/1.1.1.1/443' 2>&1 && echo reached)"
say interfaces "$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' \n')"
seen=0; found=none
for folder in /proc/[0-9]*; do
  seen=$((seen + 1))
  case "$(tr '\0' ' ' 2>/dev/null < "$folder/cmdline")" in *"$MARK"*) found=${folder#/proc/} ;; esac
  tr '\0' '\n' 2>/dev/null < "$folder/environ" | grep -q "^$SECRET_NAME=" && say leaked "${folder#/proc/}"
done
say processes "$seen"
say canary "$found"
"""
TOLD = {"diary", "home", "port", "internet", "interfaces", "processes", "canary"}


def environment(canaries: Canaries) -> dict[str, str]:
    return {
        "DIARY": str(canaries.diary),
        "PLANTED": str(canaries.planted),
        "REAL_HOME": str(canaries.home),
        "PORT": str(canaries.port),
        "MARK": canaries.mark,
        "SECRET_NAME": SECRET,
    }


def findings(answer: str) -> dict[str, str]:
    """The NAME=VALUE lines of a run's answer; its first line is the run's own."""
    return dict(line.split("=", 1) for line in answer.splitlines()[1:] if "=" in line)
