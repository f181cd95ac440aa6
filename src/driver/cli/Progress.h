#ifndef STROBE_DRIVER_CLI_PROGRESS_H
#define STROBE_DRIVER_CLI_PROGRESS_H

/** \file
 * What a command says while it works: on stderr, and only on a terminal does a
 * step overwrite the one before. */

#include <chrono>
#include <string>

namespace strobe {

class Stopwatch {
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

public:
    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
};

class Progress {
    bool terminal, shown = false;

public:
    Progress();
    ~Progress();
    /** "causal: compiling ..." */
    void step(const std::string &text);
    /** Takes the last step off the terminal, before something else is printed. */
    void clear();
};

/** "1.23 s", "4.5 ms", "67 us" */
std::string duration(double seconds);

/** Lets Halide's warnings through only when STROBE_DEBUG is set; its errors stay exceptions. */
void quiet_halide();

}  // namespace strobe

#endif
