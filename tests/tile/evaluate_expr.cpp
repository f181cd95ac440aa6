// The evaluator against compiled Halide code, on points that include special values.
#include "tile/EvaluateExpr.h"

#include "support/Error.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe;

namespace {

const float floats[] = {0.0f,   -0.0f,  1.0f,  -1.0f,    0.5f,      -2.5f, 3.25f,
                        1e-20f, -1e20f, 88.0f, INFINITY, -INFINITY, NAN,   7.0f};
const int ints[] = {0, 1, -1, 2, -3, 7, -8, 100, -100, 65535, 1 << 30, INT32_MIN + 1, INT32_MAX, 5};
const int count = 14;

/** Evaluates e over x and f at all pairs of points, and Halide's own result. */
struct Both {
    Var u{"u"}, w{"w"};
    Buffer<float> fs{count};
    Buffer<int> is{count};
    Expr f, g, x, y;

    Both() {
        for (int n = 0; n < count; n++) {
            fs(n) = floats[n];
            is(n) = ints[n];
        }
        f = fs(u), g = fs(w), x = is(u), y = is(w);
    }

    Lanes ours(const Expr &e) {
        Meaning meaning;
        meaning.points = count * count;
        meaning.variable = [&](const Internal::Variable &v, Lanes &lanes) {
            for (int p = 0; p < count * count; p++) {
                lanes.i[p] = v.name == u.name() ? p % count : p / count;
            }
            return true;
        };
        meaning.load = [&](const Internal::Call &call, const std::vector<Lanes> &index, Lanes &lanes) {
            for (int p = 0; p < count * count; p++) {
                if (call.type.is_float()) {
                    lanes.f[p] = floats[index[0].i[p]];
                } else {
                    lanes.i[p] = ints[index[0].i[p]];
                }
            }
            return true;
        };
        return evaluate_expr(e, meaning);
    }

    /** Compiles all of them at once: one compilation is slower than all the evaluations. */
    void compare(const std::vector<Expr> &exprs, double tolerance = 0) {
        std::vector<Expr> elements;
        for (const Expr &e : exprs) {
            elements.push_back(cast<double>(e));
        }
        Func func;
        func(u, w) = Tuple(elements);
        const Target target = get_host_target().with_feature(Target::StrictFloat);
        const Realization all = func.realize({count, count}, target);
        for (size_t k = 0; k < exprs.size(); k++) {
            compare(exprs[k], all[k], tolerance);
        }
    }

    void compare(const Expr &e, const Buffer<double> &expected, double tolerance) {
        const Lanes got = ours(e);
        for (int p = 0; p < count * count; p++) {
            const double a = got.as_double(p), b = expected(p % count, p / count);
            const bool same =
                a == b || (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
            ASSERT_TRUE(same) << e << " at u=" << floats[p % count] << " (" << ints[p % count]
                              << "), w=" << floats[p / count] << " (" << ints[p / count] << "): got " << a
                              << ", expected " << b;
        }
    }
};

TEST(EvaluateExpr, FloatArithmetic) {
    Both b;
    // Halide may turn >= into a negated <, which differs for NaN.
    b.compare({b.f + b.g, b.f - b.g, b.f * b.g, b.f / b.g, abs(b.f), floor(b.f), ceil(b.f), sqrt(b.f),
               select(b.f < b.g, b.f, b.g), select(is_nan(b.f) || is_nan(b.g), 0, b.f >= b.g || b.f == 1.0f, 1, 2),
               cast<int>(is_nan(b.f)) + cast<int>(is_inf(b.g))});
}

TEST(EvaluateExpr, IntegerArithmetic) {
    Both b;
    b.compare({b.x / b.y, b.x % b.y, min(b.x, b.y), max(b.x, b.y), b.x & b.y, b.x | b.y, b.x ^ b.y, ~b.x,
               cast<int16_t>(b.x) + cast<int16_t>(b.y), cast<uint8_t>(b.x) * cast<uint8_t>(b.y),
               cast<int>(b.x < b.y && b.x != 7) + cast<int>(!(b.x <= b.y)), b.x >> cast<int>(abs(b.y) % 8)});
}

TEST(EvaluateExpr, Functions) {
    Both b;
    const Expr small = clamp(select(is_nan(b.f), 0.25f, b.f), -5.0f, 5.0f);
    b.compare({exp(small), log(abs(small) + 0.5f), tanh(small), sin(small), cos(small), pow(abs(small), 1.5f)}, 2e-6);
    EXPECT_EQ(b.ours(exp(cast<float>(-INFINITY) + 0.0f * b.x)).f[0], 0);
}

TEST(EvaluateExpr, NarrowFloats) {
    Both b;
    const Expr finite = clamp(select(is_nan(b.f), 0.3f, b.f / 3.0f), -1000.0f, 1000.0f);
    b.compare({cast<float>(cast(BFloat(16), finite)), cast<float>(cast(Float(16), finite))});
}

TEST(EvaluateExpr, ExactKeepsDoubles) {
    Meaning meaning;
    meaning.variable = [](const Internal::Variable &, Lanes &lanes) {
        lanes.f[0] = 1.0 / 3;
        return true;
    };
    const Expr x = Internal::Variable::make(Float(32), "x");
    const Expr e = cast<float>(cast(BFloat(16), x)) * 3.0f;
    EXPECT_NE(evaluate_expr(e, meaning).f[0], 1.0);
    meaning.arithmetic = Arithmetic::Exact;
    EXPECT_EQ(evaluate_expr(e, meaning).f[0], 1.0);
}

TEST(EvaluateExpr, UnknownNames) {
    const Expr x = Internal::Variable::make(Float(32), "nobody");
    try {
        evaluate_expr(x + 1.0f, Meaning());
        FAIL() << "accepted";
    } catch (const strobe::InternalError &e) {
        EXPECT_NE(std::string(e.what()).find("no value is known for nobody"), std::string::npos) << e.what();
    }
}

}  // namespace
