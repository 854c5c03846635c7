# Names of APIs, from the config that the line names.
_logzio_api_fetcher_names() {
    local -a line config names
    line=("${(@Q)${(@z)LBUFFER}}")
    local at=${line[(I)--config]} joined=${(M)line:#--config=*}
    if ((at && at < $#line)); then
        config=(--config "${line[at+1]/#\~\//$HOME/}")
    elif [[ -n $joined ]]; then
        config=(--config "${${joined#--config=}/#\~\//$HOME/}")
    fi
    names=("${(@f)$(logzio-api-fetcher completions names $config 2>/dev/null)}")
    names=("${(@)names:#}")
    local expl
    _wanted api-names expl 'API' compadd -a names
}

