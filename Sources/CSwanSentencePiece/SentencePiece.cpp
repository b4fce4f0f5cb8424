#include "CSwanSentencePiece.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

struct swan_sentencepiece {
    sentencepiece::SentencePieceProcessor processor;
};

namespace {

void report(const char *text, char *message, size_t message_bytes) {
    if (message_bytes > 0) std::snprintf(message, message_bytes, "%s", text);
}

}  // namespace

extern "C" swan_sentencepiece *swan_sentencepiece_open(
    const void *model, size_t bytes, char *message, size_t message_bytes) {
    swan_sentencepiece *opened = nullptr;
    try {
        opened = new swan_sentencepiece;
        const auto status =
            opened->processor.LoadFromSerializedProto(std::string_view(static_cast<const char *>(model), bytes));
        if (status.ok()) return opened;
        report(status.message(), message, message_bytes);
    } catch (const std::exception &error) {
        report(error.what(), message, message_bytes);
    } catch (...) {
        report("unknown C++ exception", message, message_bytes);
    }
    delete opened;
    return nullptr;
}

extern "C" void swan_sentencepiece_close(swan_sentencepiece *model) { delete model; }

extern "C" int32_t swan_sentencepiece_size(const swan_sentencepiece *model) { return model->processor.GetPieceSize(); }

extern "C" int64_t swan_sentencepiece_encode(
    const swan_sentencepiece *model, const char *text, size_t bytes, int32_t *ids, size_t capacity, char *message,
    size_t message_bytes) {
    try {
        std::vector<int> found;
        const auto status = model->processor.Encode(std::string_view(text, bytes), &found);
        if (status.ok()) {
            std::copy_n(found.begin(), std::min(found.size(), capacity), ids);
            return static_cast<int64_t>(found.size());
        }
        report(status.message(), message, message_bytes);
    } catch (const std::exception &error) {
        report(error.what(), message, message_bytes);
    } catch (...) {
        report("unknown C++ exception", message, message_bytes);
    }
    return -1;
}
