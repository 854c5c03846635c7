# Names of APIs, from the config; everything else is completed by the function above.
_logzio_api_fetcher() {
    local at word name typed before="" wants="" config="" commands="" start=$COMP_CWORD
    for ((at = 1; at < COMP_CWORD; at++)); do
        word="${COMP_WORDS[at]}"
        if [[ $word == "=" ]]; then
            continue
        elif [[ -n $wants ]]; then
            [[ $wants == --config ]] && config="$word"
            # A colon breaks words, and what is typed may be behind one.
            [[ ${COMP_WORDS[at + 1]} == ":" || $word == ":" ]] || wants=""
            continue
        fi
        case "$word" in
            @OPTIONS@) wants="$word" ;;
            -* | ":") ;;
            *) [[ ${COMP_WORDS[at + 1]} == ":" || ${COMP_WORDS[at - 1]} == ":" ]] || commands+=" $word" ;;
        esac
    done
    while ((start > 1)) && [[ ${COMP_WORDS[start]} == ":" || ${COMP_WORDS[start - 1]} == ":" ]]; do
        ((start--))
    done
    for ((at = start; at <= COMP_CWORD; at++)); do
        [[ ${COMP_WORDS[at]} == "=" ]] || before+="${COMP_WORDS[at]}"
    done
    typed="$before"
    [[ $before == *:* ]] && before="${before%"${before##*:}"}" || before=""
    case "$wants$commands" in
        --api*) ;;
        @COMMANDS@) [[ -z $wants && $typed != -* ]] || commands="" ;;
        *) commands="" ;;
    esac
    if [[ $wants != --api && -z $commands ]]; then
        _logzio__api__fetcher "$@"
        return
    fi
    local quote="" escaped
    [[ $typed == [\"\']* ]] && quote="${typed:0:1}"
    typed="${typed#[\"\']}"
    typed="${typed//\\/}"
    config="${config//\\/}"
    config="${config#[\"\']}"
    config="${config%[\"\']}"
    COMPREPLY=()
    while IFS= read -r name; do
        [[ $name == "$typed"* ]] || continue
        escaped="$name"
        [[ -n $quote ]] || printf -v escaped %q "$name"
        COMPREPLY+=("${escaped#"$before"}")
    done < <("$1" completions names ${config:+--config "${config/#\~\//$HOME/}"} 2>/dev/null)
}
