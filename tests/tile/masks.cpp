// Masks as tiles need them.
#include "tile/TileMask.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe;

namespace {

std::string text(const Expr &e) {
    std::ostringstream stream;
    stream << e;
    return stream.str();
}

Expr i() {
    return Internal::Variable::make(Int(32), "i");
}
Expr j() {
    return Internal::Variable::make(Int(32), "j");
}
Expr apart(const Expr &e) {
    return with_remainders_apart(e, "i", "j");
}

TEST(TileMasks, CompareRemainders) {
    const Expr m = Internal::Variable::make(Int(32), "m");
    EXPECT_EQ(text(apart((i() - j()) % m == 0)), "((i % m) == (j % m))");
    EXPECT_EQ(text(apart((j() - i() + 3) % 4 != 0)), "!(((3 - i) % 4) == ((0 - j) % 4))");
    for (const Expr &e : {(i() - j()) % m == 1, (i() * j()) % m == 0, i() % m == 0, (i() - j()) % (i() + 1) == 0}) {
        EXPECT_TRUE(Internal::equal(apart(e), e)) << e << " became " << apart(e);
    }
}

TEST(TileMasks, MeanTheSame) {
    for (int m : {-3, -1, 0, 1, 2, 5, 64}) {
        const std::vector<Expr> masks = {(i() - j()) % m == 0, (j() - i() + 3) % m == 0, (i() + 2 * j() - 7) % m != 0};
        for (const Expr &mask : masks) {
            const Expr other = apart(mask);
            for (int row = 0; row < 13; row++) {
                for (int column = 0; column < 17; column++) {
                    const std::map<std::string, Expr> at = {{"i", Expr(row)}, {"j", Expr(column)}};
                    EXPECT_TRUE(Internal::equal(Internal::simplify(Internal::substitute(at, mask)),
                                                Internal::simplify(Internal::substitute(at, other))))
                        << mask << " and " << other << " at " << row << ", " << column;
                }
            }
        }
    }
}

}  // namespace
