#include "Source.h"

namespace strobe {

std::string position_of(const SourceSpan &span) {
    if (!span.known()) {
        return "";
    }
    return span.file + ":" + std::to_string(span.line) + ":" + std::to_string(span.column) + ": ";
}

std::string caret_of(const SourceSpan &span) {
    if (!span.known()) {
        return "";
    }
    std::string underline(span.column > 0 ? span.column - 1 : 0, ' ');
    underline += '^';
    if (span.length > 1) {
        underline += std::string(span.length - 1, '~');
    }
    return "    " + span.text + "\n    " + underline + "\n";
}

}  // namespace strobe
