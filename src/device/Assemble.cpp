#include "Assemble.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

#include "support/Error.h"

extern char **environ;

namespace strobe {

namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path &path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
}

/** Where ptxas may be, in the order of preference. */
std::vector<fs::path> candidates() {
    std::vector<fs::path> found;
    if (const char *path = std::getenv("PATH")) {
        std::istringstream folders(path);
        for (std::string folder; std::getline(folders, folder, ':');) {
            if (!folder.empty() && folder[0] == '/') {  // never from the current directory
                found.push_back(fs::path(folder) / "ptxas");
            }
        }
    }
    found.push_back("/usr/local/cuda/bin/ptxas");
    std::vector<fs::path> versions;
    std::error_code error;
    for (const auto &entry : fs::directory_iterator("/usr/local", error)) {
        if (entry.path().filename().string().rfind("cuda-", 0) == 0) {
            versions.push_back(entry.path() / "bin" / "ptxas");
        }
    }
    std::sort(versions.rbegin(), versions.rend());
    found.insert(found.end(), versions.begin(), versions.end());
#ifdef STROBE_BUILD_PTXAS
    found.push_back(STROBE_BUILD_PTXAS);
#endif
    return found;
}

/** A directory that only this user can read; removed with its files. */
class PrivateDirectory {
public:
    PrivateDirectory() {
        const char *base = std::getenv("TMPDIR");
        std::string pattern = std::string(base && *base ? base : "/tmp") + "/strobe-XXXXXX";
        if (!mkdtemp(pattern.data())) {
            strobe_runtime_failure() << "cannot make a temporary directory " << pattern << ": " << strerror(errno);
        }
        path = pattern;
    }
    ~PrivateDirectory() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    PrivateDirectory(const PrivateDirectory &) = delete;
    PrivateDirectory &operator=(const PrivateDirectory &) = delete;

    fs::path path;
};

std::string read_file(const fs::path &path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream content;
    content << in.rdbuf();
    return content.str();
}

void write_file(const fs::path &path, const std::string &content) {
    std::ofstream out(path, std::ios::binary);
    out << content;
    out.close();
    if (!out) {
        strobe_runtime_failure() << "cannot write " << path.string() << ": " << strerror(errno);
    }
}

/** Runs a program without a shell, with its output in `log`; its exit status, or -1 if a signal ended it. */
int run_program(const std::vector<std::string> &arguments, const fs::path &log) {
    std::vector<char *> argv;
    for (const std::string &argument : arguments) {
        argv.push_back(const_cast<char *>(argument.c_str()));
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    pid_t child = 0;
    const int error = posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        strobe_runtime_failure() << "cannot run " << arguments[0] << ": " << strerror(error);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            strobe_runtime_failure() << "lost " << arguments[0] << ": " << strerror(errno);
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/** The integer before `unit` in a line such as "Used 168 registers, used 1 barriers"; 0 if there is none. */
int number_before(const std::string &line, const std::string &unit) {
    size_t at = line.find(unit);
    if (at == std::string::npos) {
        return 0;
    }
    while (at > 0 && line[at - 1] == ' ') {
        at--;
    }
    size_t begin = at;
    while (begin > 0 && std::isdigit(static_cast<unsigned char>(line[begin - 1]))) {
        begin--;
    }
    return begin == at ? 0 : std::atoi(line.substr(begin, at - begin).c_str());
}

bool contains(const std::string &line, const char *text) {
    return line.find(text) != std::string::npos;
}

void read_log(Assembly &assembly) {
    std::istringstream lines(assembly.log);
    for (std::string line; std::getline(lines, line);) {
        const size_t name = line.find("Compiling entry function '");
        if (name != std::string::npos) {
            const size_t begin = line.find('\'', name) + 1;
            assembly.kernels.emplace_back();
            assembly.kernels.back().entry = line.substr(begin, line.find('\'', begin) - begin);
        } else if (contains(line, "warning") || contains(line, "Performance Loss") || contains(line, "(C7")) {
            assembly.warnings.push_back(line);
        } else if (!assembly.kernels.empty() && contains(line, "bytes stack frame")) {
            KernelStatistics &kernel = assembly.kernels.back();
            kernel.stack_bytes += number_before(line, "bytes stack frame");
            kernel.spill_store_bytes += number_before(line, "bytes spill stores");
            kernel.spill_load_bytes += number_before(line, "bytes spill loads");
        } else if (!assembly.kernels.empty() && contains(line, " registers")) {
            KernelStatistics &kernel = assembly.kernels.back();
            kernel.registers = number_before(line, "registers");
            kernel.barriers = number_before(line, "barriers");
            kernel.shared_bytes = number_before(line, "bytes smem");
        }
    }
}

/** The lines of `ptx` that messages such as "in.ptx, line 12; error : ..." name. */
std::string named_lines(const std::string &log, const std::string &ptx) {
    std::vector<std::string> source;
    std::istringstream in(ptx);
    for (std::string line; std::getline(in, line);) {
        source.push_back(line);
    }
    std::ostringstream out;
    size_t at = 0;
    for (int shown = 0; shown < 8 && (at = log.find(", line ", at)) != std::string::npos; shown++) {
        at += strlen(", line ");
        const long number = std::strtol(log.c_str() + at, nullptr, 10);
        if (number >= 1 && size_t(number) <= source.size()) {
            const std::string &text = source[number - 1];
            out << "  line " << number << ": " << text.substr(0, 160) << (text.size() > 160 ? " ..." : "") << "\n";
        }
    }
    return out.str();
}

void check_architecture(const std::string &name) {
    size_t digits = 3;
    while (digits < name.size() && std::isdigit(static_cast<unsigned char>(name[digits]))) {
        digits++;
    }
    const std::string suffix = name.rfind("sm_", 0) == 0 && digits > 4 ? name.substr(digits) : "?";
    if (suffix != "" && suffix != "a" && suffix != "f") {
        strobe_user_error() << "no GPU architecture is named \"" << name
                            << "\"; names look like sm_80, sm_90a or sm_100f";
    }
}

}  // namespace

bool Assembly::wgmma_serialized() const {
    return std::any_of(warnings.begin(), warnings.end(),
                       [](const std::string &line) { return contains(line, "wgmma") && contains(line, "serializ"); });
}

bool Assembly::spills() const {
    return std::any_of(kernels.begin(), kernels.end(), [](const KernelStatistics &kernel) {
        return kernel.spill_store_bytes > 0 || kernel.spill_load_bytes > 0;
    });
}

std::optional<std::string> find_ptxas() {
    if (const char *named = std::getenv("STROBE_PTXAS")) {
        if (*named && !is_program(named)) {
            strobe_runtime_failure() << "STROBE_PTXAS names " << named << ", which is no program";
        }
        return *named ? std::optional<std::string>(named) : std::nullopt;
    }
    for (const fs::path &path : candidates()) {
        if (is_program(path)) {
            return path.string();
        }
    }
    return std::nullopt;
}

std::optional<Assembly> assemble(const std::string &ptx, const std::string &architecture, bool side_by_side) {
    check_architecture(architecture);
    const std::optional<std::string> ptxas = find_ptxas();
    if (!ptxas) {
        return std::nullopt;
    }
    const PrivateDirectory directory;
    const fs::path in = directory.path / "in.ptx", out = directory.path / "out.cubin", log = directory.path / "log";
    write_file(in, ptx);
    std::vector<std::string> command = {*ptxas, "-v", "-arch=" + architecture, "-o", out.string(), in.string()};
    if (side_by_side) {
        command.push_back("--split-compile=0");
    }
    int status = run_program(command, log);
    Assembly assembly;
    assembly.log = read_file(log);
    if (status != 0 && side_by_side && contains(assembly.log, "split-compile")) {  // older than the option
        command.pop_back();
        status = run_program(command, log);
        assembly.log = read_file(log);
    }
    if (status != 0) {
        strobe_runtime_failure() << *ptxas << " refused the PTX for " << architecture << " (status " << status << "):\n"
                                 << assembly.log << named_lines(assembly.log, ptx);
    }
    assembly.cubin = read_file(out);
    if (assembly.cubin.empty()) {
        strobe_runtime_failure() << *ptxas << " wrote no machine code:\n" << assembly.log;
    }
    read_log(assembly);
    return assembly;
}

}  // namespace strobe
