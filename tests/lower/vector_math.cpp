// exp, log and tanh as the CPU lowering writes them out, against double.

#include "lower/cpu/VectorMath.h"

#include "Halide.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace Halide;
using namespace Halide::Internal;
using namespace strobe;

namespace {

/** Applies \p f to each element of \p x, on a machine with or without fused multiply-adds. */
template<typename T>
Buffer<T> evaluate(Expr (*f)(Expr), const Buffer<T> &x, bool fused) {
    Func out("out");
    Var i("i");
    // strict_float, as in lowered programs, keeps infinities meaningful.
    out(i) = cpu::vector_math(f(strict_float(x(i) + cast<T>(0))), fused);
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

Expr logarithm(Expr x) {
    return log(x);
}

Expr hyperbolic_tangent(Expr x) {
    return tanh(x);
}

bool host_is_fused() {
    return get_host_target().has_feature(Target::FMA);
}

template<typename T>
void expect_within(Expr (*f)(Expr), long double (*exact)(long double), double low, double high, double epsilons, bool fused) {
    const int n = 200000;
    Buffer<T> x(n);
    for (int i = 0; i < n; i++) {
        x(i) = T(low + (high - low) * i / n);
    }
    const Buffer<T> y = evaluate(f, x, fused);
    double worst = 0;
    int at = 0;
    for (int i = 0; i < n; i++) {
        const long double e = exact(x(i));
        const double error = double(e == 0 ? std::abs((long double)y(i)) : std::abs(y(i) - e) / std::abs(e));
        if (!(error <= worst)) {
            worst = error;
            at = i;
        }
    }
    EXPECT_LE(worst, epsilons * double(std::numeric_limits<T>::epsilon())) << "at " << x(at) << ": got " << y(at) << ", expected " << exact(x(at));
}

const float inf = std::numeric_limits<float>::infinity();

TEST(VectorMath, exp_is_accurate) {
    expect_within<float>(exponential, std::exp, -20, 2, 1.2, false);
    expect_within<float>(exponential, std::exp, -85, 88, 3, false);
}

TEST(VectorMath, exp_of_doubles_is_accurate) {
    for (const bool fused : {false, host_is_fused()}) {
        expect_within<double>(exponential, std::exp, -20, 2, 1.2, fused);
        expect_within<double>(exponential, std::exp, -705, 709.5, 1.2, fused);
    }
    Buffer<double> x(4);
    const double values[] = {-inf, inf, NAN, -1e300}, exps[] = {0, inf, NAN, 0};
    std::copy(values, values + 4, x.data());
    const Buffer<double> e = evaluate(exponential, x, false);
    for (int i = 0; i < 4; i++) {
        EXPECT_TRUE(e(i) == exps[i] || (std::isnan(e(i)) && std::isnan(exps[i]))) << "exp(" << x(i) << ") = " << e(i);
    }
}

TEST(VectorMath, log_is_accurate) {
    for (const bool fused : {false, host_is_fused()}) {
        expect_within<float>(logarithm, std::log, 1.5, 1e6, 1, fused);
        expect_within<float>(logarithm, std::log, 1e-37, 1e-30, 1, fused);
        expect_within<float>(logarithm, std::log, 1e-44, 1e-38, 1, fused);
        // Around 1 the result is small: still relative to it.
        expect_within<float>(logarithm, std::log, 0.5, 2, 1.2, fused);
        expect_within<float>(logarithm, std::log, 0.999, 1.001, 1, fused);
    }
    Buffer<float> x(6);
    const float values[] = {0, -0.0f, 1, inf, -1, NAN}, logs[] = {-inf, -inf, 0, inf, NAN, NAN};
    std::copy(values, values + 6, x.data());
    const Buffer<float> y = evaluate(logarithm, x, false);
    for (int i = 0; i < 6; i++) {
        EXPECT_TRUE(y(i) == logs[i] || (std::isnan(y(i)) && std::isnan(logs[i]))) << "log(" << x(i) << ") = " << y(i);
    }
}

TEST(VectorMath, tanh_is_accurate) {
    expect_within<float>(hyperbolic_tangent, std::tanh, -10, 10, 1.5, false);
    expect_within<float>(hyperbolic_tangent, std::tanh, -1e-3f, 1e-3f, 1.5, false);
}

TEST(VectorMath, fused_is_accurate) {
    if (!host_is_fused()) {
        GTEST_SKIP() << "this machine has no fused multiply-add";
    }
    expect_within<float>(exponential, std::exp, -20, 2, 1.2, true);
    expect_within<float>(exponential, std::exp, -85, 88, 3, true);
    expect_within<float>(hyperbolic_tangent, std::tanh, -10, 10, 1.5, true);
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
