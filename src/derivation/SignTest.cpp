#include "SignTest.h"

#include "Expressions.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

Expr compare(Comparison kind, const Expr &a, const Expr &b) {
    switch (kind) {
    case Comparison::Greater:
        return a > b;
    case Comparison::GreaterEqual:
        return a >= b;
    case Comparison::Equal:
        return a == b;
    case Comparison::NotEqual:
        break;
    }
    return a != b;
}

/** Where a c >= 0 is not 0; where it is NaN, what the comparison says of NaN. */
Expr positive_where(Comparison kind, const Expr &c, const Nonnegative &known) {
    if (is_positive(c, known)) {
        return const_true();
    }
    if (const Select *op = c.as<Select>(); op && is_zero(op->false_value)) {
        const Expr inner = positive_where(kind, op->true_value, known);
        return is_const_one(inner) || same(inner, op->condition) ? op->condition : op->condition && inner;
    }
    if (const Div *op = c.as<Div>()) {  // by something that is not 0, or the user's own quotient is not finite
        return positive_where(kind, op->a, known);
    }
    if (const Mul *op = c.as<Mul>(); op && is_positive(op->b, known)) {
        return positive_where(kind, op->a, known);
    }
    if (const Mul *op = c.as<Mul>(); op && is_positive(op->a, known)) {
        return positive_where(kind, op->b, known);
    }
    return compare(kind, c, make_zero(c.type()));
}

}  // namespace

std::optional<Compared> as_comparison(const Expr &c) {
    if (const GT *op = c.as<GT>()) {
        return Compared{Comparison::Greater, op->a, op->b};
    }
    if (const LT *op = c.as<LT>()) {
        return Compared{Comparison::Greater, op->b, op->a};
    }
    if (const GE *op = c.as<GE>()) {
        return Compared{Comparison::GreaterEqual, op->a, op->b};
    }
    if (const LE *op = c.as<LE>()) {
        return Compared{Comparison::GreaterEqual, op->b, op->a};
    }
    if (const EQ *op = c.as<EQ>()) {
        return Compared{Comparison::Equal, op->a, op->b};
    }
    if (const NE *op = c.as<NE>()) {
        return Compared{Comparison::NotEqual, op->a, op->b};
    }
    return std::nullopt;
}

Expr sign_test(Comparison kind, const Expr &c, const Nonnegative &known) {
    if (as_const_float(c)) {
        return simplify(compare(kind, c, make_zero(c.type())));
    }
    if (!is_nonnegative(c, known)) {
        return compare(kind, c, make_zero(c.type()));
    }
    const Expr positive =
        positive_where(kind == Comparison::Greater ? kind : Comparison::NotEqual, c, known);
    switch (kind) {
    case Comparison::Greater:
    case Comparison::NotEqual:
        return positive;
    case Comparison::GreaterEqual:
        return const_true();
    case Comparison::Equal:
        break;
    }
    return is_const_one(positive) ? const_false() : !positive;
}

}  // namespace strobe
