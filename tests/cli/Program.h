#ifndef STROBE_TESTS_CLI_PROGRAM_H
#define STROBE_TESTS_CLI_PROGRAM_H

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>
#include <sys/wait.h>

struct Outcome {
    int code = -1;
    std::string text;  // stdout and stderr
};

/** Runs strobe with these arguments, as a shell would. */
inline Outcome strobe_program(const std::string &arguments) {
    Outcome outcome;
    FILE *pipe = popen((std::string(STROBE_PROGRAM) + " " + arguments + " 2>&1").c_str(), "r");
    std::array<char, 4096> buffer;
    while (size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) {
        outcome.text.append(buffer.data(), n);
    }
    const int status = pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

inline void expect_in(const std::string &part, const Outcome &outcome) {
    EXPECT_NE(outcome.text.find(part), std::string::npos)
        << "expected in it: " << part << "\ngot (exit code " << outcome.code << "):\n"
        << outcome.text;
}

#endif
