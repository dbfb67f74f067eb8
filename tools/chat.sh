#!/usr/bin/env bash
# Chat with a llamabox server over /v1/chat/completions. Needs bash, curl and jq.
#
#   tools/chat.sh "Tell me a joke"     one answer
#   tools/chat.sh @request.json        one answer to a request body in a file; what it leaves out comes from below
#   tools/chat.sh                      a conversation; exit, quit or Ctrl-D leaves
#
# Environment: API_URL, API_KEY, MODEL, SYSTEM, MAX_TOKENS, TEMP, TOP_P, SEED, STOP (a JSON text or array),
# FREQUENCY_PENALTY, PRESENCE_PENALTY, TOOL_CHOICE (a word, or a JSON object). A value that is not set is left to the
# server. TOOLS_WITH=true tells the model of a weather tool. The call it makes is shown, answered with weather that is
# made up here, and the model goes on from that.
#
# The answer goes to standard output; calls, their results and a line of counts go to standard error. Thoughts are shown
# on a terminal only.
set -euo pipefail

api_url=${API_URL:-http://127.0.0.1:8080}
with_tools=${TOOLS_WITH:-false}
max_rounds=5 # of calls in a row, for one question
events_file=$(mktemp)
trap 'rm -f "$events_file"' EXIT

tools=null
if [ "$with_tools" = true ]; then
    tools=$(jq -nc '{location: {type: "string", description: "The city"}}
        | {type: "object", properties: ., required: ["location"]}
        | {name: "get_weather", description: "Get the current weather in a city", parameters: .}
        | [{type: "function", function: .}]')
fi

# The parts of the request that the environment sets, as one JSON object.
settings=$(jq -nc \
    --arg model "${MODEL:-}" \
    --arg tool_choice "${TOOL_CHOICE:-}" \
    --argjson max_tokens "${MAX_TOKENS:-null}" \
    --argjson temperature "${TEMP:-null}" \
    --argjson top_p "${TOP_P:-null}" \
    --argjson seed "${SEED:-null}" \
    --argjson stop "${STOP:-null}" \
    --argjson frequency_penalty "${FREQUENCY_PENALTY:-null}" \
    --argjson presence_penalty "${PRESENCE_PENALTY:-null}" \
    --argjson tools "$tools" \
    '$ARGS.named | .tool_choice = ($tool_choice | try fromjson catch $tool_choice) | del(.[] | select(. == null or . == ""))
        | . + {stream: true, stream_options: {include_usage: true}}')
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

# ask REQUEST: prints the answer as it comes and keeps its events in $events_file; fails with the server's message.
ask() {
    local thoughts=false headers=(--header 'Content-Type: application/json')
    [ ! -t 1 ] || thoughts=true
    [ -z "${API_KEY:-}" ] || headers+=(--header "Authorization: Bearer $API_KEY")
    curl --silent --show-error --no-buffer "$api_url/v1/chat/completions" "${headers[@]}" --data-binary @- <<<"$1" |
        event_data |
        tee "$events_file" |
        jq --unbuffered -j --argjson thoughts "$thoughts" '
            if .error then "error: \(.error.message)\n" | halt_error(1)
            else .choices[0].delta // {}
                | (.reasoning_content // empty | select($thoughts) | "\u001b[2m\(.)\u001b[0m"), (.content // empty) end' ||
        return 1
    [ -z "$(message | jq -r '.content // empty')" ] || echo
    counts >&2
}

# The answer in $events_file as one message, calls put together from their pieces.
message() {
    jq -sc '[.[].choices[0].delta // empty]
        | ([.[].content // empty] | add // "") as $content
        | reduce (.[].tool_calls // empty | .[]) as $piece ([];
            .[$piece.index // 0] |= (. // {function: {arguments: ""}}
                | .id = ($piece.id // .id) | .type = "function"
                | .function.name = ($piece.function.name // .function.name)
                | .function.arguments += ($piece.function.arguments // "")))
        | {role: "assistant", content: $content}
            + if . == [] then {} else {tool_calls: .} + if $content == "" then {content: null} else {} end end' \
        "$events_file"
}

# The counts in $events_file, as far as the server gave them, on one line.
counts() {
    jq -rs '[.[].usage // empty] | last // {}
        | def rounded: . * 100 | round / 100;
          [ (.prompt_tokens | numbers | "\(.) tokens in"),
            (.completion_tokens | numbers | "\(.) out"),
            (.time_to_first_token_ms | numbers | "first after \(rounded) ms"),
            (.time_per_output_token_ms | numbers | "then \(rounded) ms each"),
            (.tokens_per_second | numbers | "\(rounded) tokens/s"),
            (.draft_tokens | numbers | select(. > 0) | "\(.) drafted"),
            (.draft_tokens_acceptance | numbers | select(. > 0) | "\(. * 100 | rounded)% accepted") ]
        | select(. != []) | "[\(join(", "))]"' "$events_file"
}

# tool_result CALL: what the tool of this script answers. The weather is made up from the letters of the place.
tool_result() {
    jq -c '.function | (.arguments | try fromjson catch null) as $arguments | ($arguments.location? // null) as $place
        | if .name != "get_weather" then {error: "there is no tool \(.name)"}
          elif $place | type != "string" then {error: "get_weather needs a location"}
          else ($place | explode | add // 0) as $n
              | {city: $place, temperature: (10 + $n % 20), condition: ["sunny", "cloudy", "rainy", "windy"][$n % 4]}
          end' <<<"$1"
}

# answer REQUEST MESSAGES: asks, and goes on while the model calls a tool; the conversation that results is in $messages.
answer() {
    local request=$1 conversation=$2 said call result round
    for ((round = 0; round < max_rounds; round++)); do
        ask "$(jq -c --argjson messages "$conversation" '. + {messages: $messages}' <<<"$request")" || return 1
        said=$(message)
        conversation=$(jq -c --argjson said "$said" '. + [$said]' <<<"$conversation")
        messages=$conversation
        jq -e '.tool_calls' <<<"$said" >/dev/null || return 0
        while IFS= read -r call; do
            jq -r '"call: \(.function.name) \(.function.arguments)"' <<<"$call" >&2
            [ "$with_tools" = true ] || continue
            result=$(tool_result "$call")
            printf 'made-up result: %s\n' "$result" >&2
            conversation=$(jq -c --argjson call "$call" --arg result "$result" \
                '. + [{role: "tool", tool_call_id: $call.id, content: $result}]' <<<"$conversation")
        done < <(jq -c '.tool_calls[]' <<<"$said")
        [ "$with_tools" = true ] || return 0
        messages=$conversation
        request=$(jq -c 'if .tool_choice | . == null or . == "none" then . else .tool_choice = "auto" end' <<<"$request")
    done
    echo "stopped after $max_rounds calls in a row" >&2
}

# say TEXT: asks with the conversation so far and the text, then remembers both; after an error, neither.
say() {
    local before=$messages
    answer "$settings" "$(jq -c --arg text "$1" '. + [{role: "user", content: $text}]' <<<"$messages")" && return
    messages=$before
    return 1
}

if [ $# -gt 0 ]; then
    if [[ $1 == @* ]]; then
        request=$(jq -c --argjson settings "$settings" '$settings + . + {stream: true}' "${1#@}")
        answer "$request" "$(jq -c '.messages' <<<"$request")"
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
