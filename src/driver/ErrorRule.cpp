#include "ErrorRule.h"

#include "Problem.h"

#include <algorithm>
#include <cmath>

namespace strobe {

using namespace Halide;

namespace {

struct Size {
    double largest = 0, mean = 0;
};

/** Of the finite elements. */
Size size_of(const Buffer<> &b) {
    Size size;
    const int64_t count = (int64_t)b.number_of_elements();
    for (int64_t n = 0; n < count; n++) {
        const double x = std::abs(element(b, n));
        if (std::isfinite(x)) {
            size.largest = std::max(size.largest, x);
            size.mean += x / (double)count;
        }
    }
    return size;
}

}  // namespace

Verdict judge(const Buffer<> &got, const Buffer<> &unfused, const Buffer<> &exact) {
    const Difference own = difference(unfused, exact), ours = difference(got, exact);
    const Size size = size_of(exact);
    const double units = unit_roundoff(got.type()) + 16 * unit_roundoff(Float(32));
    Verdict verdict;
    verdict.to_float64 = ours.largest;
    verdict.at = ours.at;
    verdict.allowed = 2 * own.largest + units * size.largest;
    verdict.mean = ours.mean;
    verdict.allowed_mean = 1.5 * own.mean + units * size.mean;
    return verdict;
}

}  // namespace strobe
