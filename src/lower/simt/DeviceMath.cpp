#include "DeviceMath.h"

#include "device/Intrinsics.h"

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Binds \p value to a name and returns body of it. */
template<typename F>
Expr let(const Expr &value, const char *name, F body) {
    const std::string n = unique_name(std::string("math.") + name);
    return Let::make(n, value, body(Variable::make(value.type(), n)));
}

Expr abs_bits(const Expr &x) {
    return reinterpret<float>(reinterpret<uint32_t>(x) & make_const(UInt(32), 0x7fffffff));
}

/** 2^t with t = x log2 e, corrected for what t lost in rounding; the correction has
 * no meaning for infinities, which 2^t itself maps right. */
Expr exp_float(const Expr &argument) {
    return let(argument, "x", [](const Expr &x) {
        const Expr log2_e = 1.44269502f, rest = 1.92596303e-8f, ln_2 = 0.693147182f;
        return let(strictify_float(x * log2_e), "t", [&](const Expr &t) {
            return let(device::exp2_approx(t), "power", [&](const Expr &power) {
                const Expr lost = device::fma(x, rest, device::fma(x, log2_e, -t));
                const Expr corrected = device::fma(power, strictify_float(lost * ln_2), power);
                return select(strictify_float(abs_bits(t) < 150.0f), corrected, power);
            });
        });
    });
}

Expr horner(const Expr &x, std::initializer_list<float> from_highest) {
    Expr sum;
    for (float c : from_highest) {
        sum = sum.defined() ? device::fma(sum, x, c) : Expr(c);
    }
    return sum;
}

/** An odd polynomial near 0, 1 - 2 / (e^2|x| + 1) beyond 0.625. */
Expr tanh_float(const Expr &argument) {
    return let(argument, "x", [](const Expr &x) {
        const Expr near = let(strictify_float(x * x), "z", [&](const Expr &z) {
            const Expr p = horner(
                z, {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f});
            return device::fma(strictify_float(x * z), p, x);
        });
        return let(abs_bits(x), "a", [&](const Expr &a) {
            const Expr far = strictify_float(1.0f - 2.0f / (exp_float(strictify_float(a * 2.0f)) + 1.0f));
            const Expr sign = reinterpret<uint32_t>(x) & make_const(UInt(32), 0x80000000u);
            return select(strictify_float(a < 0.625f), near, reinterpret<float>(reinterpret<uint32_t>(far) | sign));
        });
    });
}

class ExpandCalls : public IRMutator {
    using IRMutator::visit;

    Expr visit(const Call *op) override {
        if (op->type == Float(32) && op->args.size() == 1) {
            if (op->name == "exp_f32") {
                return exp_float(mutate(op->args[0]));
            }
            if (op->name == "tanh_f32") {
                return tanh_float(mutate(op->args[0]));
            }
        }
        return IRMutator::visit(op);
    }
};

}  // namespace

Expr device_math(const Expr &e) {
    return ExpandCalls().mutate(e);
}

}  // namespace strobe::simt
