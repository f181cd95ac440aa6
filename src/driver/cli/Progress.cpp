#include "Progress.h"

#include "Halide.h"
#include "support/Log.h"

#include <cstdio>
#include <unistd.h>

namespace strobe {

Progress::Progress() : terminal(isatty(STDERR_FILENO)) {
}

Progress::~Progress() {
    clear();
}

void Progress::step(const std::string &text) {
    clear();
    std::fprintf(stderr, terminal ? "%s ..." : "%s ...\n", text.c_str());
    std::fflush(stderr);
    shown = terminal;
}

void Progress::clear() {
    if (shown) {
        std::fputs("\r\033[K", stderr);
        shown = false;
    }
}

std::string duration(double seconds) {
    char text[32];
    if (seconds >= 1) {
        std::snprintf(text, sizeof text, "%.2f s", seconds);
    } else if (seconds >= 1e-3) {
        std::snprintf(text, sizeof text, "%.2f ms", seconds * 1e3);
    } else {
        std::snprintf(text, sizeof text, "%.1f us", seconds * 1e6);
    }
    return text;
}

namespace {

class Reporter : public Halide::CompileTimeErrorReporter {
    void warning(const char *text) override {
        strobe_debug(1) << text;
    }
    void error(const char *text) override {
        throw Halide::CompileError(text);
    }
};

}  // namespace

void quiet_halide() {
    static Reporter reporter;
    Halide::set_custom_compile_time_error_reporter(&reporter);
}

}  // namespace strobe
