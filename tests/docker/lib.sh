# What the scripts beside it share. Sourced from the root of the project.

# block NAME PAGE: the YAML of a page that stands behind the mark <!-- NAME -->.
block() {
  awk -v mark="<!-- $1 -->" '$0 == mark {on = 1; next} on && /^```yaml$/ {in_it = 1; next} in_it && /^```$/ {exit} in_it' "$2" \
    | grep . || { echo "$2 has no $1" >&2; return 1; }
}

# install PACKAGE…: Debian's, without a word where it works.
install() {
  local log
  log=$({ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"; } 2>&1) \
    || { tail -n 5 <<< "$log"; return 1; }
}

# Sets `compose` to the command that is there; Debian's is installed where none is.
find_compose() {
  if docker compose version > /dev/null 2>&1; then compose=(docker compose); return; fi
  command -v docker-compose > /dev/null || install docker-compose
  compose=(docker-compose)
}
