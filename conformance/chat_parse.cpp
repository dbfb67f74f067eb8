// What llama.cpp makes of a request with tools and of model outputs: one JSON job a line in, one JSON answer a line out.
//
// job     {template, bos, eos, messages, tools, tool_choice, parallel_tool_calls, reasoning_format, enable_thinking,
//          add_generation_prompt, continue_final_message, json_schema, kwargs, texts: [...]}
// answer  {prompt, generation_prompt, grammar, grammar_lazy, triggers, preserved, stops, thinking: [start, end, ...],
//          parsed: [{content, reasoning_content, tool_calls} or {error}]} or {error}
//
// Built and run by chat_formats.py, against llama.cpp's headers and its libllama-common.

#include <exception>
#include <iostream>
#include <string>

#include "chat.h"
#include "json.h"
#include "log.h"

using json = common_json;

static common_chat_templates_inputs inputs_of(const json & job) {
    common_chat_templates_inputs inputs;
    inputs.messages               = common_chat_msgs_parse_oaicompat(job.at("messages"));
    inputs.tools                  = common_chat_tools_parse_oaicompat(job.at("tools"));
    inputs.tool_choice            = common_chat_tool_choice_parse_oaicompat(job.at("tool_choice").get<std::string>());
    inputs.parallel_tool_calls    = job.at("parallel_tool_calls").get<bool>();
    inputs.reasoning_format       = common_reasoning_format_from_name(job.at("reasoning_format").get<std::string>());
    inputs.enable_thinking        = job.at("enable_thinking").get<bool>();
    inputs.add_generation_prompt  = job.at("add_generation_prompt").get<bool>();
    inputs.continue_final_message = common_chat_continuation_parse(job.at("continue_final_message"));
    inputs.json_schema            = job.at("json_schema").is_null() ? "" : job.at("json_schema").dump();
    inputs.use_jinja              = true;
    for (const auto & item : job.at("kwargs").items()) {
        inputs.chat_template_kwargs[item.key()] = item.value().dump();
    }
    return inputs;
}

static json message_of(const common_chat_msg & msg) {
    json calls = json::array();
    for (const auto & call : msg.tool_calls) {
        calls.push_back(json{{"name", call.name}, {"arguments", call.arguments}, {"id", call.id}});
    }
    return json{{"content", msg.content}, {"reasoning_content", msg.reasoning_content}, {"tool_calls", calls}};
}

static json answer_of(const json & job) {
    auto templates = common_chat_templates_init(nullptr, job.at("template").get<std::string>(),
                                                job.at("bos").get<std::string>(), job.at("eos").get<std::string>());
    auto inputs = inputs_of(job);
    auto params = common_chat_templates_apply(templates.get(), inputs);

    common_chat_parser_params parsing(params);
    parsing.reasoning_format = inputs.reasoning_format;
    if (!params.parser.empty()) {
        parsing.parser.load(params.parser);
    }
    json parsed = json::array();
    for (const auto & text : job.at("texts")) {
        try {
            parsed.push_back(message_of(common_chat_parse(text.get<std::string>(), false, parsing)));
        } catch (const std::exception & error) {
            parsed.push_back(json{{"error", std::string(error.what())}});
        }
    }
    json triggers = json::array();
    for (const auto & trigger : params.grammar_triggers) {
        triggers.push_back(json{{"type", (int) trigger.type}, {"value", trigger.value}});
    }
    json thinking = json::array();
    if (params.supports_thinking) {
        thinking.push_back(params.thinking_start_tag);
        for (const auto & tag : params.thinking_end_tags) {
            thinking.push_back(tag);
        }
    }
    return json{
        {"prompt",            params.prompt},
        {"generation_prompt", params.generation_prompt},
        {"grammar",           params.grammar},
        {"grammar_lazy",      params.grammar_lazy},
        {"triggers",          triggers},
        {"preserved",         params.preserved_tokens},
        {"stops",             params.additional_stops},
        {"thinking",          thinking},
        {"parsed",            parsed},
    };
}

int main() {
    common_log_set_verbosity_thold(-1);
    std::string line;
    while (std::getline(std::cin, line)) {
        json answer;
        try {
            answer = answer_of(json::parse(line));
        } catch (const std::exception & error) {
            answer = json{{"error", std::string(error.what())}};
        }
        std::cout << answer.dump_safe() << "\n" << std::flush;
    }
}
