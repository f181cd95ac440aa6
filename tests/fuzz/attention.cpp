// Random attention-like algorithms: the algorithm unscheduled, its tile program
// interpreted in exact arithmetic, and compiled for the CPU give the same.
//
//     test_fuzz                                         a few, always the same ones
//     STROBE_FUZZ_FIRST=100 STROBE_FUZZ_COUNT=500 test_fuzz     more
//     STROBE_FUZZ_SEED=17 test_fuzz                     one again, with its graph and its program
#include "RandomAttention.h"
#include "ThreeWays.h"

#include <gtest/gtest.h>

#include <cstdlib>

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

void run(unsigned seed, bool show) {
    const auto make = [=] {
        const RandomAttention attention(seed);
        return Subject{attention.instance, attention.problem, attention.schedule};
    };
    expect_same("STROBE_FUZZ_SEED=" + std::to_string(seed), make, show);
}

int from_environment(const char *name, int otherwise) {
    const char *text = std::getenv(name);
    return text ? std::atoi(text) : otherwise;
}

/** Each a few seeds, so that ctest runs them side by side. */
class Fuzz : public testing::TestWithParam<int> {};

TEST_P(Fuzz, UnscheduledIsInterpretedIsCompiled) {
    const int each = 4;
    if (const int seed = from_environment("STROBE_FUZZ_SEED", -1); seed >= 0) {
        if (GetParam() == 0) {
            run(seed, true);
        }
        return;
    }
    const int count = from_environment("STROBE_FUZZ_COUNT", 0);
    if (count > 0 && GetParam() > 0) {
        return;
    }
    const int first = count > 0 ? from_environment("STROBE_FUZZ_FIRST", 0) : GetParam() * each;
    for (int n = 0; n < (count > 0 ? count : each); n++) {
        try {
            run(first + n, false);
        } catch (const std::exception &e) {
            ADD_FAILURE() << "STROBE_FUZZ_SEED=" << first + n << ": " << e.what();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Fuzz, testing::Range(0, 4));

}  // namespace
