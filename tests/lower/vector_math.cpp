// exp and tanh as the CPU lowering writes them out, against double.

#include "lower/cpu/VectorMath.h"

#include "Halide.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace Halide;
using namespace Halide::Internal;
using namespace strobe;

namespace {

/** Applies \p f to each element of \p x, on a machine with or without fused multiply-adds. */
Buffer<float> evaluate(Expr (*f)(Expr), const Buffer<float> &x, bool fused) {
    Func out("out");
    Var i("i");
    // strict_float, as in lowered programs, keeps infinities meaningful.
    out(i) = cpu::vector_math(f(strict_float(x(i) + 0.0f)), fused);
    out.vectorize(i, 8, TailStrategy::GuardWithIf);
    Target target = get_host_target();
    if (!fused) {
        target = target.without_feature(Target::FMA);
    }
    return out.realize({x.width()}, target);
}

Expr exponential(Expr x) {
    return exp(x);
}

Expr hyperbolic_tangent(Expr x) {
    return tanh(x);
}

bool host_is_fused() {
    return get_host_target().has_feature(Target::FMA);
}

void expect_within(Expr (*f)(Expr), double (*exact)(double), float low, float high, double epsilons, bool fused) {
    const int n = 200000;
    Buffer<float> x(n);
    for (int i = 0; i < n; i++) {
        x(i) = low + (high - low) * float(i) / n;
    }
    const Buffer<float> y = evaluate(f, x, fused);
    double worst = 0;
    int at = 0;
    for (int i = 0; i < n; i++) {
        const double e = exact(x(i));
        const double error = e == 0 ? std::abs(y(i)) : std::abs(y(i) - e) / std::abs(e);
        if (!(error <= worst)) {
            worst = error;
            at = i;
        }
    }
    EXPECT_LE(worst, epsilons * 1.1920929e-7) << "at " << x(at) << ": got " << y(at) << ", expected " << exact(x(at));
}

const float inf = std::numeric_limits<float>::infinity();

TEST(VectorMath, exp_is_accurate) {
    expect_within(exponential, std::exp, -20, 2, 1.2, false);
    expect_within(exponential, std::exp, -85, 88, 3, false);
}

TEST(VectorMath, tanh_is_accurate) {
    expect_within(hyperbolic_tangent, std::tanh, -10, 10, 1.5, false);
    expect_within(hyperbolic_tangent, std::tanh, -1e-3f, 1e-3f, 1.5, false);
}

TEST(VectorMath, fused_is_accurate) {
    if (!host_is_fused()) {
        GTEST_SKIP() << "this machine has no fused multiply-add";
    }
    expect_within(exponential, std::exp, -20, 2, 1.2, true);
    expect_within(exponential, std::exp, -85, 88, 3, true);
    expect_within(hyperbolic_tangent, std::tanh, -10, 10, 1.5, true);
}

TEST(VectorMath, special_values) {
    Buffer<float> x(8);
    const float values[] = {-inf, inf, NAN, -1e30f, 200.0f, 0.0f, -0.0f, -200.0f};
    std::copy(values, values + 8, x.data());
    const Buffer<float> e = evaluate(exponential, x, false), t = evaluate(hyperbolic_tangent, x, false);
    const float exps[] = {0, inf, NAN, 0, inf, 1, 1, 0}, tanhs[] = {-1, 1, NAN, -1, 1, 0, 0, -1};
    for (int i = 0; i < 8; i++) {
        if (std::isnan(values[i])) {
            EXPECT_TRUE(std::isnan(e(i)) && std::isnan(t(i))) << "got " << e(i) << " and " << t(i);
        } else {
            EXPECT_EQ(e(i), exps[i]) << "exp(" << values[i] << ")";
            EXPECT_EQ(t(i), tanhs[i]) << "tanh(" << values[i] << ")";
        }
    }
}

}  // namespace
