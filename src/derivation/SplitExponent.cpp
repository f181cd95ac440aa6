#include "SplitExponent.h"

#include "Expressions.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** One side of a sum, put back together the way the user wrote it. */
struct Multiplier {
    Expr by;
    bool divides;
    Expr applied_to(const Expr &e) const {
        return divides ? e / by : e * by;
    }
};

/** Takes the exponent apart along its sums: parts on the stream, parts on earlier results. */
class ExponentSplitter {
    Separator &separator;
    std::vector<Multiplier> multipliers;
    int sign = 1;
    Expr row_part;  // free of the stream, no earlier result in it

    Expr scaled(Expr e) const {
        for (auto m = multipliers.rbegin(); m != multipliers.rend(); ++m) {
            e = m->applied_to(e);
        }
        return e;
    }
    void add_to(Expr &sum, const Expr &e) const {
        const Expr part = scaled(e);
        sum = sum.defined() ? (sign > 0 ? sum + part : sum - part) : (sign > 0 ? part : -part);
    }
    Expr without_guards(const Expr &e);
    void guard(const Expr &condition) {
        result.guard = joined(result.guard, conjuncts(condition));
    }
    bool takes_masked(const Select *op, Expr *kept);
    [[noreturn]] void block(const Expr &e) const {
        throw Blocked{e, separator.live(e), "it multiplies the stream by an earlier result inside an exponential"};
    }

public:
    Term result;
    explicit ExponentSplitter(Separator &separator) : separator(separator) {
    }
    void split(const Expr &u);
    Term finish();
};

/** select(c, x, -inf) is x where c holds, in a sum as well. */
bool ExponentSplitter::takes_masked(const Select *op, Expr *kept) {
    if (!op || sign < 0 || !separator.live(op->condition).empty()) {
        return false;
    }
    if (is_minus_infinity(op->false_value)) {
        guard(op->condition);
        *kept = op->true_value;
        return true;
    }
    if (is_minus_infinity(op->true_value)) {
        guard(negation(op->condition));
        *kept = op->false_value;
        return true;
    }
    return false;
}

Expr ExponentSplitter::without_guards(const Expr &e) {
    Expr kept;
    if (takes_masked(e.as<Select>(), &kept)) {
        return without_guards(kept);
    }
    if (const Add *op = e.as<Add>()) {
        const Expr a = without_guards(op->a), b = without_guards(op->b);
        return is_zero(a) ? b : is_zero(b) ? a : a.same_as(op->a) && b.same_as(op->b) ? e : a + b;
    }
    if (const Sub *op = e.as<Sub>()) {
        const Expr a = without_guards(op->a);
        return a.same_as(op->a) ? e : a - op->b;
    }
    if (const Mul *op = e.as<Mul>()) {
        for (const bool first : {true, false}) {
            const Expr &x = first ? op->a : op->b, &by = first ? op->b : op->a;
            if (separator.streams(by)) {
                continue;
            }
            if (const auto c = as_const_float(by); c && *c <= 0) {
                continue;
            }
            const Expr inner = without_guards(x);
            if (!inner.same_as(x)) {
                return first ? inner * by : by * inner;
            }
        }
        return e;
    }
    if (const Div *op = e.as<Div>(); op && !separator.streams(op->b)) {
        const Expr a = without_guards(op->a);
        return a.same_as(op->a) ? e : a / op->b;
    }
    if (const Cast *op = e.as<Cast>(); op && op->value.type().is_float()) {
        const Expr inner = without_guards(op->value);
        return inner.same_as(op->value) ? e : cast(e.type(), inner);
    }
    return e;
}

void ExponentSplitter::split(const Expr &u) {
    const bool streams = separator.streams(u), live = !separator.live(u).empty();
    if (!live) {
        const Expr kept = sign > 0 ? without_guards(u) : u;
        if (!is_zero(kept)) {
            add_to(streams ? result.power : row_part, kept);
        }
        return;
    }
    if (!streams) {
        result.scale = result.scale.plus(LinearForm(scaled(separator.value(u))), sign);
        return;
    }
    Expr kept;
    if (const Add *op = u.as<Add>()) {
        split(op->a);
        split(op->b);
    } else if (const Sub *op = u.as<Sub>()) {
        split(op->a);
        sign = -sign;
        split(op->b);
        sign = -sign;
    } else if (takes_masked(u.as<Select>(), &kept)) {
        split(kept);
    } else if (const Cast *op = u.as<Cast>(); op && op->value.type().is_float() && op->type.is_float()) {
        split(op->value);
    } else if (const Mul *op = u.as<Mul>()) {
        const bool by_b = !separator.streams(op->b) && separator.live(op->b).empty();
        const bool by_a = !separator.streams(op->a) && separator.live(op->a).empty();
        if (!by_a && !by_b) {
            block(u);
        }
        multipliers.push_back({by_b ? op->b : op->a, false});
        split(by_b ? op->a : op->b);
        multipliers.pop_back();
    } else if (const Div *op = u.as<Div>()) {
        if (separator.streams(op->b) || !separator.live(op->b).empty()) {
            block(u);
        }
        multipliers.push_back({op->b, true});
        split(op->a);
        multipliers.pop_back();
    } else {
        throw Blocked{u, separator.live(u), "an exponential of it has no factor that is free of the stream"};
    }
}

Term ExponentSplitter::finish() {
    if (row_part.defined() && result.power.defined()) {
        result.power = result.power + row_part;
    } else if (row_part.defined()) {
        result.scale = result.scale.plus(LinearForm(row_part));
    }
    return result;
}

}  // namespace

Term split_exponent(Separator &separator, const Expr &u) {
    ExponentSplitter splitter(separator);
    splitter.split(u);
    return splitter.finish();
}

}  // namespace strobe
