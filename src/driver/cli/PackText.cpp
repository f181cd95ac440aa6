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

/** Packs up to length bytes; a file of n bytes gives at most share * sqrt(n) of them,
 * so that long texts get more room, but none the whole sequence. */
PackedText pack(const std::string &folder, const std::vector<fs::path> &files, size_t length, double share) {
    PackedText text;
    text.folder = folder;
    for (const fs::path &path : files) {
        if (text.bytes.size() == length) {
            break;
        }
        std::error_code error;
        const double size = static_cast<double>(fs::file_size(path, error));
        if (error || size < 32) {
            continue;
        }
        const size_t wanted = static_cast<size_t>(std::max(32.0, std::min(size, share * std::sqrt(size))));
        const std::vector<uint8_t> bytes = read_text(path, std::min(wanted, length - text.bytes.size()));
        text.bytes.insert(text.bytes.end(), bytes.begin(), bytes.end());
        text.document.resize(text.bytes.size(), static_cast<int>(text.names.size()));
        if (!bytes.empty()) {
            text.names.push_back(fs::relative(path, folder, error).string());
        }
    }
    return text;
}

/** With larger shares where there are few files; false if all of them are too short. */
bool fill_from(const std::string &folder, int length, PackedText &text) {
    const std::vector<fs::path> files = regular_files(folder);
    size_t before = 0;
    for (double share = length / 1024.0;; share *= 2) {
        text = pack(folder, files, static_cast<size_t>(length), share);
        if (text.bytes.size() == static_cast<size_t>(length)) {
            return true;
        }
        if (text.bytes.size() == before && share > length) {
            return false;
        }
        before = text.bytes.size();
    }
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
