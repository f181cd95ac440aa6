#include "PackText.h"

#include "support/Error.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace strobe {

namespace fs = std::filesystem;

namespace {

/** The first \p limit bytes, or nothing if they do not look like text. */
std::vector<uint8_t> read_text(const fs::path &path, size_t limit) {
    std::ifstream file(path, std::ios::binary);
    std::vector<uint8_t> bytes(limit);
    file.read(reinterpret_cast<char *>(bytes.data()), static_cast<std::streamsize>(limit));
    bytes.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
    const bool text = std::none_of(bytes.begin(), bytes.end(), [](uint8_t c) {
        return c < 32 && c != '\n' && c != '\t' && c != '\r' && c != '\f';
    });
    return text ? bytes : std::vector<uint8_t>();
}

std::vector<fs::path> regular_files(const std::string &folder) {
    std::vector<fs::path> paths;
    std::error_code error;
    fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), end;
    for (; !error && it != end; it.increment(error)) {
        std::error_code none;
        // Licences are often symbolic links to one another: each text once.
        if (it->is_regular_file(none) && !it->is_symlink(none)) {
            paths.push_back(it->path());
        }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

bool fill_from(const std::string &folder, int length, PackedText &text) {
    text = PackedText();
    text.folder = folder;
    const size_t full = static_cast<size_t>(length);
    for (const fs::path &path : regular_files(folder)) {
        if (text.bytes.size() == full) {
            break;
        }
        std::error_code error;
        const double size = static_cast<double>(fs::file_size(path, error));
        if (error || size < 32) {
            continue;
        }
        // Long texts get more room, but none the whole sequence.
        const size_t share = static_cast<size_t>(std::min(size, std::sqrt(size) * length / 1024));
        const std::vector<uint8_t> bytes =
            read_text(path, std::min(std::max<size_t>(share, 32), full - text.bytes.size()));
        text.bytes.insert(text.bytes.end(), bytes.begin(), bytes.end());
        text.document.resize(text.bytes.size(), static_cast<int>(text.names.size()));
        if (!bytes.empty()) {
            text.names.push_back(fs::relative(path, folder, error).string());
        }
    }
    return text.bytes.size() == full;
}

}  // namespace

PackedText pack_text(const std::string &folder, int length) {
    PackedText text;
    strobe_user_assert(fs::is_directory(folder)) << "there is no folder " << folder;
    strobe_user_assert(fill_from(folder, length, text))
        << "the text files under " << folder << " hold " << text.bytes.size() << " bytes that can be used; " << length
        << " are needed: take another folder, or a smaller --length";
    return text;
}

PackedText pack_default_text(int length) {
    PackedText text;
    for (const char *folder : {"/usr/share/common-licenses", "/usr/share/doc", STROBE_SOURCE_DIR}) {
        if (fill_from(folder, length, text)) {
            return text;
        }
    }
    strobe_user_error() << "found no text of " << length << " bytes on this system; name a folder with text files";
}

}  // namespace strobe
