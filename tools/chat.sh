#!/usr/bin/env bash
# Chat with a llamabox server over /v1/chat/completions. Needs bash, curl and jq.
#
#   tools/chat.sh "Tell me a joke"     one answer
#   tools/chat.sh @request.json        one answer to a request body in a file; what it leaves out comes from below
#   tools/chat.sh                      a conversation; exit, quit or Ctrl-D leaves
#
# Environment: API_URL, MODEL, SYSTEM, MAX_TOKENS, TEMP, TOP_P, SEED, STOP (a JSON text or array), FREQUENCY_PENALTY,
# PRESENCE_PENALTY. A value that is not set is left to the server. TOOLS_WITH=true tells the model of a weather tool and
# prints the call it makes; nothing is run.
set -euo pipefail

api_url=${API_URL:-http://127.0.0.1:8080}
answer_file=$(mktemp)
trap 'rm -f "$answer_file"' EXIT

tools=null
if [ "${TOOLS_WITH:-false}" = true ]; then
    tools=$(jq -nc '{location: {type: "string", description: "The city"}}
        | {type: "object", properties: ., required: ["location"]}
        | {name: "get_weather", description: "Get the current weather in a city", parameters: .}
        | [{type: "function", function: .}]')
fi

# The parts of the request that the environment sets, as one JSON object.
settings=$(jq -nc \
    --arg model "${MODEL:-}" \
    --argjson max_tokens "${MAX_TOKENS:-null}" \
    --argjson temperature "${TEMP:-null}" \
    --argjson top_p "${TOP_P:-null}" \
    --argjson seed "${SEED:-null}" \
    --argjson stop "${STOP:-null}" \
    --argjson frequency_penalty "${FREQUENCY_PENALTY:-null}" \
    --argjson presence_penalty "${PRESENCE_PENALTY:-null}" \
    --argjson tools "$tools" \
    '$ARGS.named | if .model == "" then del(.model) else . end | del(.[] | nulls) | . + {stream: true}')
messages=$(jq -nc --arg system "${SYSTEM:-}" 'if $system == "" then [] else [{role: "system", content: $system}] end')

# Server-sent events on standard input -> the JSON of each; an error body, which is no event, passes as it is.
event_data() {
    local line
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%$'\r'}
        case $line in
            'data: [DONE]') return ;;
            'data: '*) printf '%s\n' "${line#data: }" ;;
            '{'*) printf '%s\n' "$line" ;;
        esac
    done
}

# ask REQUEST: prints the answer as it comes and keeps it in $answer_file; fails with the server's message.
ask() {
    curl --silent --show-error --no-buffer "$api_url/v1/chat/completions" \
        --header 'Content-Type: application/json' --data-binary @- <<<"$1" |
        event_data |
        jq --unbuffered -j 'if .error then "error: \(.error.message)\n" | halt_error(1)
                            else .choices[0].delta // {} | .content // empty, (.tool_calls // empty | tojson) end' |
        tee "$answer_file" || return 1
    echo
}

# say TEXT: asks with the conversation so far and the text, then remembers both.
say() {
    local asked
    asked=$(jq -c --arg text "$1" '. + [{role: "user", content: $text}]' <<<"$messages")
    ask "$(jq -nc --argjson settings "$settings" --argjson messages "$asked" '$settings + {messages: $messages}')" || return 1
    messages=$(jq -c --rawfile answer "$answer_file" '. + [{role: "assistant", content: $answer}]' <<<"$asked")
}

if [ $# -gt 0 ]; then
    if [[ $1 == @* ]]; then
        ask "$(jq -c --argjson settings "$settings" '$settings + . + {stream: true}' "${1#@}")"
    else
        say "$*"
    fi
    exit
fi
while IFS= read -r -e -p '> ' text; do
    case $text in
        exit | quit) break ;;
        '') ;;
        *) say "$text" || true ;;
    esac
done
