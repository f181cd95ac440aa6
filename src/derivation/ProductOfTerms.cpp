#include "ProductOfTerms.h"

#include "Expressions.h"
#include "Monotone.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** a^n of a number of elements n, as a sign and an exponent. */
void add_power(const Expr &a, const Expr &n, const Draft &draft, Term &result) {
    const Type t = a.type();
    const bool positive = is_nonnegative(a, draft.nonnegative);
    const Expr magnitude = positive ? a : abs(a);
    result.scale = result.scale.plus(LinearForm(select(n == 0, make_zero(t), n * log(magnitude))));
    if (!positive) {
        result.coefficient = times(result.coefficient,
                                   select(a < 0 && n % 2 == 1, make_const(t, -1), make_one(t)));
    }
}

}  // namespace

std::optional<Terms> product_of_terms(Draft &draft, const Reduction &r, Separator &separator, int pass,
                                      std::vector<Fact> &facts) {
    std::vector<Expr> guard;
    const Expr body = without_identity(separator, r.op, r.body, guard);
    if (!r.type.is_float() || separator.live(body).empty()) {
        return std::nullopt;
    }
    const Terms terms = separator.separate(body);
    if (terms.size() != 1) {
        return std::nullopt;
    }
    const Term &term = terms[0];
    const auto moment = [&](ReduceOp op, const std::vector<Expr> &where, const Expr &factor) {
        return draft.moment(pass, op, r.type, where, factor);
    };
    const Expr n = guard.empty() ? cast(r.type, draft.graph.axis(r.over[0]).extent)
                                 : moment(ReduceOp::Sum, guard, Expr());
    Term result;
    if (term.factor.defined() || !term.guard.empty()) {
        const Expr b = term.factor.defined() ? cast(r.type, term.factor) : make_one(r.type);
        result.coefficient = moment(ReduceOp::Product, guard,
                                    term.guard.empty() ? b : select(all_of(term.guard), b, make_zero(r.type)));
    }
    if (term.coefficient.defined()) {
        add_power(cast(r.type, term.coefficient), n, draft, result);
    }
    if (!term.scale.is_zero()) {
        result.scale = result.scale.plus(LinearForm(term.scale.expr(r.type) * n));
    }
    if (term.power.defined()) {
        result.scale = result.scale.plus(
            LinearForm(moment(ReduceOp::Sum, joined(guard, term.guard), cast(r.type, term.power))));
    }
    facts.push_back({r.name, "product",
                     "of " + text_of(body) + " over " + draft.plan.roles.stream +
                         ": what is free of it is taken to the power of the number of elements, exponents add up"});
    return Terms{result};
}

}  // namespace strobe
