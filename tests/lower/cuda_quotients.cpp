// Quotients by means of a reciprocal against Halide's own.
#include "lower/cuda/Quotients.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe::cuda;

namespace {

std::vector<int> numbers() {
    const int most = std::numeric_limits<int>::max();
    std::vector<int> found = {0, 1, 2, 3, 5, 6, 7, 63, 64, 65, 127, 255, 1000, 65535, 65536, 16777213, 16777216, most / 3};
    for (int back = 0; back < 4; back++) {
        found.push_back(most - back);
        found.push_back((1 << 30) - 2 + back);
    }
    uint32_t random = 12345;
    for (int n = 0; n < 60; n++) {
        random = random * 1664525u + 1013904223u;
        found.push_back(int(random >> (1 + n % 24)));
    }
    return found;
}

TEST(CudaQuotients, AreHalides) {
    const std::vector<int> values = numbers();
    const int size = int(values.size());
    Buffer<int> of(2 * size), by(size);
    for (int n = 0; n < size; n++) {
        of(n) = values[n];
        of(size + n) = -values[n] - (n % 2);
        by(n) = std::max(values[n], 1);
    }
    Var x("x"), y("y"), z("z");
    Func f("f");
    Expr n = of(x), d = by(y), nonnegative = of(x % size);
    const Expr quotient = select(z == 0, quotient_by(n, d, reciprocal_of(d), false), z == 1, n / d, z == 2,
                                 remainder_by(n, d, reciprocal_of(d), false), z == 3, n % d, z == 4,
                                 quotient_by(nonnegative, d, reciprocal_of(d), true),
                                 remainder_by(nonnegative, d, reciprocal_of(d), true));
    f(x, y, z) = quotient;
    Buffer<int> got = f.realize({2 * size, size, 6});
    for (int a = 0; a < 2 * size; a++) {
        for (int b = 0; b < size; b++) {
            ASSERT_EQ(got(a, b, 0), got(a, b, 1)) << of(a) << " / " << by(b);
            ASSERT_EQ(got(a, b, 2), got(a, b, 3)) << of(a) << " % " << by(b);
            ASSERT_EQ(got(a, b, 4), of(a % size) / by(b)) << of(a % size) << " / " << by(b);
            ASSERT_EQ(got(a, b, 5), of(a % size) % by(b)) << of(a % size) << " % " << by(b);
        }
    }
}

}  // namespace
