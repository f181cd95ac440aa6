#include "Disassemble.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <unistd.h>

namespace strobe::test {

std::string disassemble(const std::string &cubin) {
    const std::string program = STROBE_NVDISASM;
    if (program.empty()) {
        return "";
    }
    char path[] = "/tmp/strobe_kernel_XXXXXX";
    const int file = mkstemp(path);
    if (file < 0 || write(file, cubin.data(), cubin.size()) != ssize_t(cubin.size())) {
        throw std::runtime_error("cannot write a cubin to disassemble");
    }
    close(file);
    FILE *pipe = popen(("'" + program + "' -c " + path + " 2>&1").c_str(), "r");
    std::string text;
    char buffer[1 << 16];
    for (size_t n; pipe && (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
        text.append(buffer, n);
    }
    const int status = pipe ? pclose(pipe) : -1;
    unlink(path);
    if (status != 0) {
        throw std::runtime_error("nvdisasm failed: " + text.substr(0, 500));
    }
    return text;
}

}  // namespace strobe::test
