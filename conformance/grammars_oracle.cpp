// Which texts llama.cpp's own grammars accept.
//
// Reads one JSON object from standard input: {"kind": "gbnf" | "json_schema", "source": text, "texts": [text, ...]}.
// Writes one line: {"accepts": [bool, ...]}, or {"error": text} when the grammar cannot be built.
// conformance/grammars.py compiles and calls it.

#include "json-schema-to-grammar.h"
#include "json.h"
#include "llama-grammar.h"

#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

static common_json answer_of(const common_json & request) {
    std::string source = request.at("source").get<std::string>();
    if (request.at("kind").get<std::string>() == "json_schema") {
        source = json_schema_to_grammar(common_json::parse(source), true);
    }
    llama_grammar * grammar =
        llama_grammar_init_impl(nullptr, source.c_str(), "root", false, nullptr, 0, nullptr, 0);
    if (grammar == nullptr) {
        throw std::runtime_error("the grammar cannot be parsed");
    }
    common_json accepts = common_json::array();
    const llama_grammar_stacks start = llama_grammar_get_stacks(grammar);
    for (const auto & text : request.at("texts")) {
        llama_grammar_get_stacks(grammar) = start;
        bool is_sentence = false;
        try {
            llama_grammar_accept_str(*grammar, text.get<std::string>());
            for (const auto & stack : llama_grammar_get_stacks(grammar)) {
                is_sentence = is_sentence || stack.empty();
            }
        } catch (const std::runtime_error &) {
            // no stack is left: the text is no beginning of a sentence
        }
        accepts.push_back(is_sentence);
    }
    llama_grammar_free_impl(grammar);
    common_json answer = common_json::object();
    answer["accepts"] = accepts;
    return answer;
}

int main() {
    const std::string input((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
    common_json answer = common_json::object();
    try {
        answer = answer_of(common_json::parse(input));
    } catch (const std::exception & error) {
        answer["error"] = std::string(error.what());
    }
    std::cout << answer.dump() << std::endl;
    return 0;
}
