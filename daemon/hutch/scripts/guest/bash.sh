# Runs a script with its arguments; the last line that it prints is its result, all before goes to standard error.
here=${BASH_SOURCE[0]%/*}
words=()
while IFS= read -r -d '' word; do words+=("$word"); done <"$here/words"
script=("$here"/of/*)

last_line() {
  local line last='' is_there=''
  while IFS= read -r line || [ -n "$line" ]; do
    [ -z "$is_there" ] || printf '%s\n' "$last" >&2
    last=$line is_there=1
  done
  [ -z "$is_there" ] || printf '%s\n' "$last"
}

bash "${script[0]}" ${words[@]+"${words[@]}"} | last_line
exit "${PIPESTATUS[0]}"
