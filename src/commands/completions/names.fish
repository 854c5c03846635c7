# Names of APIs, from the config that the line names.
function _logzio_api_fetcher_names
    set -l line (commandline -opc)
    set -l config
    for at in (seq (count $line))
        if test "$line[$at]" = --config
            set -l next (math $at + 1)
            test $next -le (count $line); and set config --config $line[$next]
        else if string match -q -- '--config=*' $line[$at]
            set config --config (string replace -- '--config=' '' $line[$at])
        end
    end
    $line[1] completions names $config 2>/dev/null
end

