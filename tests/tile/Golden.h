#ifndef STROBE_TESTS_TILE_GOLDEN_H
#define STROBE_TESTS_TILE_GOLDEN_H

/** \file
 * Comparison with a file under tests/golden. STROBE_UPDATE_GOLDEN=1 rewrites it. */

#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

namespace strobe::test {

inline void expect_golden(const std::string &name, const std::string &text) {
    const std::string path = std::string(STROBE_SOURCE_DIR) + "/tests/golden/" + name;
    const char *update = std::getenv("STROBE_UPDATE_GOLDEN");
    if (update && *update && std::string(update) != "0") {
        std::ofstream(path) << text;
        return;
    }
    std::ifstream file(path);
    std::ostringstream expected;
    expected << file.rdbuf();
    EXPECT_EQ(expected.str(), text) << path
                                    << " differs; if the change is meant, run again with STROBE_UPDATE_GOLDEN=1";
}

}  // namespace strobe::test

#endif
