#include "PivotPolicy.h"

#include "Expressions.h"

#include <algorithm>
#include <cmath>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

struct Range {
    double min = -INFINITY, max = INFINITY;
};

Range hull(std::initializer_list<double> corners) {
    Range r{INFINITY, -INFINITY};
    for (double c : corners) {
        if (std::isnan(c)) {
            return {};
        }
        r.min = std::min(r.min, c);
        r.max = std::max(r.max, c);
    }
    return r;
}

double times_or_zero(double a, double b) {
    return a == 0 || b == 0 ? 0 : a * b;
}

Range range_of_type(Type t) {
    if (t.is_bool()) {
        return {0, 1};
    }
    if (t.is_uint() && t.bits() <= 16) {
        return {0, std::ldexp(1.0, t.bits()) - 1};
    }
    if (t.is_int() && t.bits() <= 16) {
        return {-std::ldexp(1.0, t.bits() - 1), std::ldexp(1.0, t.bits() - 1) - 1};
    }
    return t.is_uint() ? Range{0, INFINITY} : Range{};
}

Range range_of(const Expr &e);

Range range_of_call(const Call *op) {
    const Expr e = op;
    if (as_call(e, "tanh") || as_call(e, "sin") || as_call(e, "cos") || as_call(e, "erf")) {
        return {-1, 1};
    }
    if (as_call(e, "exp")) {
        const Range x = range_of(op->args[0]);
        return {std::exp(x.min), std::exp(x.max)};
    }
    if (as_call(e, "sqrt")) {
        const Range x = range_of(op->args[0]);
        return {x.min > 0 ? std::sqrt(x.min) : 0, x.max > 0 ? std::sqrt(x.max) : 0};
    }
    if (op->is_intrinsic(Call::abs)) {
        const Range x = range_of(op->args[0]);
        return {x.min > 0 ? x.min : x.max < 0 ? -x.max : 0, std::max(std::abs(x.min), std::abs(x.max))};
    }
    return range_of_type(op->type);
}

Range range_of_scalar(const Variable *op) {
    Range r = range_of_type(op->type);
    if (!op->param.defined() || op->param.is_buffer()) {
        return r;
    }
    const auto bound = [](const Expr &e, double otherwise) {
        if (!e.defined()) {
            return otherwise;
        }
        const Expr value = simplify(cast<double>(e));
        const auto c = as_const_float(value);
        return c ? *c : otherwise;
    };
    r.min = bound(op->param.min_value(), r.min);
    r.max = bound(op->param.max_value(), r.max);
    return r;
}

Range range_of(const Expr &e) {
    if (const auto c = as_const_float(e)) {
        return {*c, *c};
    }
    if (const auto c = as_const_int(e)) {
        return {double(*c), double(*c)};
    }
    if (const Variable *op = e.as<Variable>()) {
        return range_of_scalar(op);
    }
    if (const Cast *op = e.as<Cast>()) {
        return op->type.is_float() ? range_of(op->value) : range_of_type(op->type);
    }
    if (const Add *op = e.as<Add>()) {
        const Range a = range_of(op->a), b = range_of(op->b);
        return {a.min + b.min, a.max + b.max};
    }
    if (const Sub *op = e.as<Sub>()) {
        const Range a = range_of(op->a), b = range_of(op->b);
        return {a.min - b.max, a.max - b.min};
    }
    if (const Mul *op = e.as<Mul>()) {
        const Range a = range_of(op->a), b = range_of(op->b);
        return hull({times_or_zero(a.min, b.min), times_or_zero(a.min, b.max), times_or_zero(a.max, b.min),
                     times_or_zero(a.max, b.max)});
    }
    if (const Div *op = e.as<Div>(); op && e.type().is_float()) {
        const Range a = range_of(op->a), b = range_of(op->b);
        return b.min > 0 || b.max < 0 ? hull({a.min / b.min, a.min / b.max, a.max / b.min, a.max / b.max}) : Range{};
    }
    if (const Min *op = e.as<Min>()) {
        const Range a = range_of(op->a), b = range_of(op->b);
        return {std::min(a.min, b.min), std::min(a.max, b.max)};
    }
    if (const Max *op = e.as<Max>()) {
        const Range a = range_of(op->a), b = range_of(op->b);
        return {std::max(a.min, b.min), std::max(a.max, b.max)};
    }
    if (const Select *op = e.as<Select>()) {
        const Range a = range_of(op->true_value), b = range_of(op->false_value);
        return {std::min(a.min, b.min), std::max(a.max, b.max)};
    }
    if (const Call *op = e.as<Call>()) {
        return range_of_call(op);
    }
    return range_of_type(e.type());
}

/** A bound that follows the scalars: |x * y| <= x for a scalar x >= 0 and |y| <= 1. */
Expr scalar_bound(const Expr &e) {
    const Mul *op = e.as<Mul>();
    if (!op) {
        return Expr();
    }
    for (const auto &[scalar, factor] : {std::pair<Expr, Expr>{op->a, op->b}, {op->b, op->a}}) {
        const Variable *v = scalar.as<Variable>();
        const Range size = range_of(scalar), unit = range_of(factor);
        if (v && v->param.defined() && size.min >= 0 && unit.min >= -1 && unit.max <= 1) {
            return scalar;
        }
    }
    return Expr();
}

}  // namespace

double span_of(const std::vector<Moment> &moments, int pivot) {
    class FindHalf : public IRGraphVisitor {
        using IRGraphVisitor::visit;
        void visit(const Call *op) override {
            found = found || (op->type == Float(16) && op->call_type == Call::Image);
            IRGraphVisitor::visit(op);
        }

    public:
        bool found = false;
    } half;
    for (const Moment &m : moments) {
        if (m.pivot == pivot && m.factor.defined()) {
            m.factor.accept(&half);
        }
    }
    return half.found ? 9 : 80;
}

void choose_policy(Pivot &pivot, double span) {
    const Range range = range_of(pivot.exponent);
    std::ostringstream reason;
    const std::string text = text_of(pivot.exponent);
    if (!std::isfinite(range.min) || !std::isfinite(range.max)) {
        pivot.policy = Pivot::Policy::RunningMax;
        reason << "no finite range of " << text << " follows from constants and declared bounds of scalars";
    } else if (range.max - range.min > span) {
        pivot.policy = Pivot::Policy::RunningMax;
        reason << text << " ranges over [" << range.min << ", " << range.max << "], and exp of more than " << span
               << " below the pivot can vanish in the operands' precision";
    } else {
        pivot.policy = Pivot::Policy::Constant;
        const Expr scalar = scalar_bound(pivot.exponent);
        // Subtracting a pivot rounds the exponent to the pivot's last digit: none is better where exp is in range.
        const bool small = std::max(std::abs(range.min), std::abs(range.max)) <= span / 2;
        pivot.constant = small              ? make_zero(pivot.exponent.type())
                         : scalar.defined() ? scalar
                                            : make_const(pivot.exponent.type(), range.max);
        reason << text << " stays in [" << range.min << ", " << range.max << "], at most " << span << " wide, so exp("
               << text;
        if (!small) {
            reason << " - " << text_of(pivot.constant);
        }
        reason << ") is safe without a maximum";
    }
    pivot.reason = reason.str();
}

}  // namespace strobe
