#include "DeviceMath.h"

#include "derivation/Expressions.h"

#include <limits>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

const double ln_2 = 0.69314718055994530942;

}  // namespace

Expr minus_infinity() {
    return Expr(-std::numeric_limits<float>::infinity());
}

bool is_math(const Call *op, const char *name) {
    return op->call_type == Call::PureExtern && op->name == std::string(name) + "_f32";
}

bool calls_math(const Expr &e) {
    return any_call(e, [](const Call *op) { return op->call_type == Call::PureExtern; });
}

Expr math_call(const Call *op, const std::vector<Expr> &args) {
    if (is_math(op, "exp")) {
        return device::exp2_approx(args[0] * static_cast<float>(log2_e));
    }
    if (is_math(op, "log")) {
        return device::log2_approx(args[0]) * static_cast<float>(ln_2);
    }
    if (is_math(op, "tanh")) {
        return device::tanh_approx(args[0]);
    }
    return Expr();
}

Expr combined(ReduceOp op, const Expr &a, const Expr &b) {
    if (a.type() == Float(32)) {
        if (op == ReduceOp::Max) {
            return device::fmax(a, b);
        }
        if (op == ReduceOp::Min) {
            return device::fmin(a, b);
        }
    }
    return combine(op, a, b);
}

bool positive(const Expr &e) {
    if (const FloatImm *f = e.as<FloatImm>()) {
        return f->value > 0;
    }
    if (const Mul *op = e.as<Mul>()) {
        return positive(op->a) && positive(op->b);
    }
    if (const Div *op = e.as<Div>()) {
        return positive(op->a) && positive(op->b);
    }
    if (const Add *op = e.as<Add>()) {
        return positive(op->a) && positive(op->b);
    }
    if (const Variable *op = e.as<Variable>()) {
        const bool scalar = op->param.defined() && !op->param.is_buffer();
        return scalar && op->param.min_value().defined() && positive(op->param.min_value());
    }
    return false;
}

/** A constant that e is provably not less than, if it is no NaN, as far as sums of constants and exponentials go; -1 if
 * there is none. */
static double least(const Expr &e) {
    const Call *call = e.as<Call>();
    if (const FloatImm *f = e.as<FloatImm>()) {
        return f->value >= 0 ? f->value : -1;
    }
    if (const Add *sum = e.as<Add>()) {
        const double a = least(sum->a), b = least(sum->b);
        return a >= 0 && b >= 0 ? a + b : -1;
    }
    return call && is_math(call, "exp") ? 0 : -1;
}

bool above_zero(const Expr &e) {
    return least(e) > 1e-30;
}

bool at_least_one(const Expr &e) {
    return least(e) >= 1;
}

}  // namespace strobe::cuda
