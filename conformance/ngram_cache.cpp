// Runs llama.cpp's n-gram caches for ngram_cache.py. One case a line on standard input, numbers in text:
//
//   n_min n_draft  n tokens of the static text  n of the dynamic text  n of the context
//
// and the draft in one line of the answer. Arguments: "save OUT" saves the dynamic cache, "turned" turns the order of
// equals in the hash tables around, "copy IN OUT" loads a cache and saves it again.
#include <iostream>
#include <string>

#include "ngram-cache.h"

static std::vector<llama_token> tokens() {
    size_t n = 0;
    std::cin >> n;
    std::vector<llama_token> read(n);
    for (auto & token : read) {
        std::cin >> token;
    }
    return read;
}

static common_ngram_cache counted(std::vector<llama_token> text, int n_min, int n_max, bool turned) {
    common_ngram_cache cache;
    common_ngram_cache_update(cache, n_min, n_max, text, (int) text.size(), false);
    for (auto & part : cache) {
        if (turned) {
            part.second.rehash(4 * part.second.bucket_count());
        }
    }
    return cache;
}

int main(int argc, char ** argv) {
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "copy") {
        auto cache = common_ngram_cache_load(argv[2]);
        common_ngram_cache_save(cache, argv[3]);
        return 0;
    }
    const bool turned = mode == "turned";
    int n_min = 0, n_draft = 0;
    while (std::cin >> n_min >> n_draft) {
        auto of_static = counted(tokens(), LLAMA_NGRAM_STATIC, LLAMA_NGRAM_STATIC, turned);
        auto of_dynamic = counted(tokens(), n_min, LLAMA_NGRAM_MAX, turned);
        std::vector<llama_token> text = tokens();
        auto of_context = counted(text, n_min, LLAMA_NGRAM_MAX, turned);
        if (mode == "save") {
            common_ngram_cache_save(of_dynamic, argv[2]);
        }
        std::vector<llama_token> draft = { text.back() };
        common_ngram_cache_draft(text, draft, n_draft, n_min, LLAMA_NGRAM_MAX, of_context, of_dynamic, of_static);
        for (size_t i = 1; i < draft.size(); ++i) {
            std::cout << draft[i] << " ";
        }
        std::cout << std::endl;
    }
    return 0;
}
