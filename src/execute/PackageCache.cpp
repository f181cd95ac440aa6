#include "PackageCache.h"

#include "device/Assemble.h"
#include "support/Error.h"
#include "support/Log.h"

#include <Halide.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

namespace strobe {

namespace {

constexpr char magic[8] = {'s', 't', 'r', 'o', 'b', 'e', 'c', '1'};
constexpr uint64_t max_entry_bytes = uint64_t(256) << 20;

uint64_t hash(const std::string &text, uint64_t seed) {
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (const char c : text) {
        h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
        h ^= h >> 29;
    }
    return h;
}

std::string hex(uint64_t value) {
    char digits[17];
    snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(value));
    return digits;
}

/** Nobody but this user (and root) may change what a path of this folder means. */
void check_ancestor(const std::string &path) {
    struct stat s = {};
    if (lstat(path.c_str(), &s) != 0) {
        strobe_runtime_failure() << "cache folder " << path << ": " << strerror(errno);
    }
    const bool own = s.st_uid == geteuid() || s.st_uid == 0;
    if (!own) {
        strobe_runtime_failure() << "cache folder: " << path << " belongs to another user; set STROBE_CACHE to a folder "
                                 << "of your own, or to off";
    }
    if (S_ISLNK(s.st_mode)) {
        return;  // what it points at is checked too: realpath() resolves it
    }
    const bool writable = (s.st_mode & (S_IWGRP | S_IWOTH)) != 0;
    if (writable && !(s.st_mode & S_ISVTX)) {
        strobe_runtime_failure() << "cache folder: others may write to " << path
                                 << "; set STROBE_CACHE to a private folder, or to off";
    }
}

void check_ancestors(const std::string &path) {
    for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        check_ancestor(path.substr(0, slash));
    }
}

void make_folders(const std::string &path) {
    for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        mkdir(path.substr(0, slash).c_str(), 0700);
    }
    mkdir(path.c_str(), 0700);
}

void check_private(const std::string &folder) {
    char *resolved = realpath(folder.c_str(), nullptr);
    if (!resolved) {
        strobe_runtime_failure() << "cache folder " << folder << ": " << strerror(errno);
    }
    const std::string real = resolved;
    free(resolved);
    check_ancestors(folder);
    check_ancestors(real);
    struct stat s = {};
    if (lstat(folder.c_str(), &s) != 0 || !S_ISDIR(s.st_mode)) {
        strobe_runtime_failure() << "cache folder " << folder << " is not a folder (a symbolic link is refused)";
    }
    if (s.st_uid != geteuid() || (s.st_mode & 077) != 0) {
        strobe_runtime_failure() << "cache folder " << folder
                                 << " is open to others; it must be yours with mode 0700 (chmod 700)";
    }
}

void put(std::vector<uint8_t> &bytes, uint64_t value) {
    for (int n = 0; n < 8; n++) {
        bytes.push_back(uint8_t(value >> (8 * n)));
    }
}

/** Reads of a file's bytes that never run past its end. */
struct Cursor {
    const std::vector<uint8_t> &bytes;
    size_t at = 0;
    bool take(size_t count, const uint8_t *&from) {
        if (count > bytes.size() - at) {
            return false;
        }
        from = bytes.data() + at;
        at += count;
        return true;
    }
    bool number(uint64_t &value) {
        const uint8_t *from = nullptr;
        if (!take(8, from)) {
            return false;
        }
        value = 0;
        for (int n = 0; n < 8; n++) {
            value |= uint64_t(from[n]) << (8 * n);
        }
        return true;
    }
};

std::optional<std::vector<uint8_t>> read_file(const std::string &path, bool of_anyone) {
    const int file = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat s = {};
    if (file < 0) {
        return std::nullopt;
    }
    std::vector<uint8_t> bytes;
    const bool fits = fstat(file, &s) == 0 && S_ISREG(s.st_mode) && (of_anyone || s.st_uid == geteuid()) &&
                      s.st_size > 0 && uint64_t(s.st_size) <= max_entry_bytes;
    bytes.resize(fits ? size_t(s.st_size) : 0);
    size_t got = 0;
    while (got < bytes.size()) {
        const ssize_t n = read(file, bytes.data() + got, bytes.size() - got);
        if (n <= 0) {
            break;
        }
        got += size_t(n);
    }
    close(file);
    return fits && got == bytes.size() ? std::make_optional(bytes) : std::nullopt;
}

bool write_file(const std::string &path, const std::vector<uint8_t> &bytes) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) {
        return false;
    }
    size_t put = 0;
    while (put < bytes.size()) {
        const ssize_t n = write(file, bytes.data() + put, bytes.size() - put);
        if (n <= 0) {
            break;
        }
        put += size_t(n);
    }
    return close(file) == 0 && put == bytes.size();
}

/** The build id that the linker gave to the object that holds this function. */
struct BuildId {
    uintptr_t inside;
    std::string id;
};

int find_build_id(dl_phdr_info *info, size_t, void *data) {
    auto *wanted = static_cast<BuildId *>(data);
    bool holds = false;
    for (int n = 0; n < info->dlpi_phnum; n++) {
        const auto &p = info->dlpi_phdr[n];
        const uintptr_t start = info->dlpi_addr + p.p_vaddr;
        holds = holds || (p.p_type == PT_LOAD && wanted->inside >= start && wanted->inside < start + p.p_memsz);
    }
    for (int n = 0; holds && n < info->dlpi_phnum; n++) {
        const auto &p = info->dlpi_phdr[n];
        const auto *at = reinterpret_cast<const uint8_t *>(info->dlpi_addr + p.p_vaddr);
        const uint8_t *end = at + p.p_memsz;
        while (p.p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) <= end) {
            const auto *note = reinterpret_cast<const ElfW(Nhdr) *>(at);
            const uint8_t *content = at + sizeof(*note) + (note->n_namesz + 3) / 4 * 4;
            if (note->n_type == NT_GNU_BUILD_ID) {
                for (size_t i = 0; i < note->n_descsz; i++) {
                    wanted->id += hex(content[i]).substr(14);
                }
                return 1;
            }
            at = content + (note->n_descsz + 3) / 4 * 4;
        }
    }
    return holds;
}

std::string build_id(const void *inside) {
    BuildId b{reinterpret_cast<uintptr_t>(inside), ""};
    dl_iterate_phdr(find_build_id, &b);
    return b.id.empty() ? std::string(__DATE__ " " __TIME__) : b.id;
}

/** Which ptxas: its path, size and time tell versions apart without running it. */
std::string assembler() {
    const std::optional<std::string> ptxas = find_ptxas();
    struct stat s = {};
    if (!ptxas || stat(ptxas->c_str(), &s) != 0) {
        return "none";
    }
    return *ptxas + " " + std::to_string(s.st_size) + " " + std::to_string(s.st_mtime);
}

}  // namespace

std::mutex &compiler_mutex() {
    static std::mutex mutex;
    return mutex;
}

std::string installed_package_key(const std::string &text, const std::string &architecture) {
    static const std::string compiler =
        "strobe " + build_id(reinterpret_cast<const void *>(&package_key)) + "\nhalide " +
        std::to_string(HALIDE_VERSION_MAJOR) + "." + std::to_string(HALIDE_VERSION_MINOR) + "." +
        std::to_string(HALIDE_VERSION_PATCH) + " " +
        build_id(reinterpret_cast<const void *>(&Halide::get_host_target));
    return compiler + "\narchitecture " + architecture + "\n" + text;
}

std::string package_key(const std::string &text, const std::string &architecture) {
    static const std::string ptxas = "ptxas " + assembler() + "\n";
    return ptxas + installed_package_key(text, architecture);
}

std::string default_cache_folder() {
    if (const char *given = getenv("STROBE_CACHE")) {
        return strcmp(given, "off") == 0 ? "" : given;
    }
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/') {
        return std::string(cache) + "/strobe";
    }
    return home && *home == '/' ? std::string(home) + "/.cache/strobe" : "";
}

PackageCache::PackageCache(std::string f)
    : folder(std::move(f)), is_private(true) {
    strobe_user_assert(!folder.empty() && folder[0] == '/') << "cache folder '" << folder << "': give a full path";
    make_folders(folder);
    check_private(folder);
}

std::string PackageCache::path_of(const std::string &key) const {
    return folder + "/" + hex(hash(key, 0)) + hex(hash(key, 0x9e3779b97f4a7c15u)) + ".skc";
}

std::optional<KernelPackage> PackageCache::find(const std::string &key) const {
    const std::string path = path_of(key);
    const std::optional<std::vector<uint8_t>> bytes = read_file(path, !is_private);
    if (!bytes) {
        return std::nullopt;
    }
    Cursor cursor{*bytes};
    const uint8_t *head = nullptr, *stored_key = nullptr, *package = nullptr;
    uint64_t key_bytes = 0, package_bytes = 0;
    const bool whole = cursor.take(sizeof(magic), head) && memcmp(head, magic, sizeof(magic)) == 0 &&
                       cursor.number(key_bytes) && cursor.number(package_bytes) && key_bytes == key.size() &&
                       cursor.take(key.size(), stored_key) && memcmp(stored_key, key.data(), key.size()) == 0 &&
                       package_bytes <= max_entry_bytes && cursor.take(package_bytes, package) &&
                       cursor.at == bytes->size();
    if (whole) {
        try {
            return parse_package(package, package_bytes);
        } catch (const RuntimeFailure &e) {
            strobe_debug(1) << "cache entry " << path << ": " << e.what() << "\n";
        }
    }
    strobe_debug(1) << "cache entry " << path << " is damaged or of another key; compiling again\n";
    return std::nullopt;
}

void PackageCache::publish(const std::string &key, const KernelPackage &package) const {
    const std::vector<uint8_t> content = serialize_package(package);
    std::vector<uint8_t> bytes(magic, magic + sizeof(magic));
    put(bytes, key.size());
    put(bytes, content.size());
    bytes.insert(bytes.end(), key.begin(), key.end());
    bytes.insert(bytes.end(), content.begin(), content.end());
    static std::atomic<unsigned> count{0};
    const std::string path = path_of(key);
    const std::string draft = path + "." + std::to_string(getpid()) + "." + std::to_string(count++) + ".tmp";
    if (!write_file(draft, bytes) || rename(draft.c_str(), path.c_str()) != 0) {
        strobe_debug(1) << "can't write cache entry " << path << ": " << strerror(errno) << "\n";
        unlink(draft.c_str());
    }
}

}  // namespace strobe
