#ifndef STROBE_DRIVER_CLI_PACK_TEXT_H
#define STROBE_DRIVER_CLI_PACK_TEXT_H

/** \file
 * Real text as one packed sequence: what document masks are for. */

#include <cstdint>
#include <string>
#include <vector>

namespace strobe {

struct PackedText {
    std::string folder;
    std::vector<std::string> names;  // of the documents
    std::vector<uint8_t> bytes;      // of all documents, one after the other
    std::vector<int> document;       // of each byte
};

/** The readable text files under \p folder, each cut to a share of \p length that
 * varies with its size, until the sequence is full. Sorted by path, so that the
 * same folder gives the same sequence. Throws UserError if there is no text. */
PackedText pack_text(const std::string &folder, int length);

/** The first of these with text in it: /usr/share/common-licenses, /usr/share/doc, and
 * Strobe's own sources. Throws UserError if none has. */
PackedText pack_default_text(int length);

}  // namespace strobe

#endif
