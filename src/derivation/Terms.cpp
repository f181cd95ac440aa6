#include "Terms.h"

#include "Expressions.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

Expr coefficient_of(const Term &term, Type t) {
    return term.coefficient.defined() ? cast(t, term.coefficient) : make_one(t);
}

bool same_stream_part(const Term &a, const Term &b) {
    return same(a.guard, b.guard) && same(a.factor, b.factor) && same(a.power, b.power);
}

/** The sum, with what cancels gone. */
Expr sum_of(const Expr &a, const Expr &b, Type t) {
    const Select *x = a.as<Select>(), *y = b.as<Select>();
    if (x && y && same(x->condition, y->condition) && is_zero(x->false_value) && is_zero(y->false_value)) {
        return where_else_zero(x->condition, sum_of(x->true_value, y->true_value, t));
    }
    return t.is_float() ? LinearForm(a).plus(LinearForm(b)).expr(t) : simplify(a + b);
}

Expr exponential_of(const LinearForm &scale, Type t) {
    const Type wide = t.is_float() && t.bits() >= 32 ? t : Float(32);
    return cast(t, exp(scale.expr(wide)));
}

}  // namespace

Terms collected(const Terms &terms, Type t) {
    Terms result;
    for (const Term &term : terms) {
        auto like = std::find_if(result.begin(), result.end(), [&](const Term &known) {
            return same_stream_part(known, term) && known.scale == term.scale;
        });
        if (like == result.end()) {
            result.push_back(term);
            continue;
        }
        like->offset = like->offset || term.offset;
        like->coefficient = sum_of(coefficient_of(*like, t), coefficient_of(term, t), t);
    }
    Terms nonzero;
    for (const Term &term : result) {
        if (!term.coefficient.defined() || !is_zero(term.coefficient)) {
            nonzero.push_back(term);
        }
    }
    return nonzero;
}

Terms product(const Terms &a, const Terms &b) {
    Terms result;
    for (const Term &x : a) {
        for (const Term &y : b) {
            Term z;
            z.coefficient = times(x.coefficient, y.coefficient);
            z.scale = x.scale.plus(y.scale);
            z.offset = x.offset || y.offset;
            z.guard = joined(x.guard, y.guard);
            z.factor = times(x.factor, y.factor);
            z.power = x.power.defined() && y.power.defined() ? x.power + y.power
                      : x.power.defined()                    ? x.power
                                                             : y.power;
            result.push_back(z);
        }
    }
    return result;
}

Terms negated(Terms terms, Type t) {
    for (Term &term : terms) {
        term.coefficient = times(make_const(t, -1), coefficient_of(term, t));
    }
    return terms;
}

Terms converted(Terms terms, Type t) {
    for (Term &term : terms) {
        if (term.coefficient.defined()) {
            term.coefficient = cast(t, term.coefficient);
        }
        if (term.factor.defined()) {
            term.factor = cast(t, term.factor);
        }
    }
    return terms;
}

Term as_one_term(const Terms &terms, Type t) {
    const Terms groups = collected(terms, t);
    Term result;
    if (groups.empty()) {
        result.coefficient = make_zero(t);
        return result;
    }
    if (groups.size() == 1) {
        return groups[0];
    }
    LinearForm shared = groups[0].scale;
    for (const Term &g : groups) {
        shared = shared.common(g.scale);
    }
    Expr top;
    std::vector<LinearForm> rest;
    for (const Term &g : groups) {
        rest.push_back(g.scale.minus(shared));
        const Expr e = rest.back().expr(t);
        top = top.defined() ? max(top, e) : e;
    }
    Expr sum;
    for (size_t i = 0; i < groups.size(); i++) {
        const Expr part = times(coefficient_of(groups[i], t), exponential_of(rest[i].minus(LinearForm(top)), t));
        sum = sum.defined() ? sum + part : part;
    }
    result.coefficient = sum;
    result.scale = shared.plus(LinearForm(top));
    return result;
}

namespace {

/** All of one term's stream part, or nothing. */
std::optional<Term> single(const Terms &terms, Type t) {
    if (terms.empty()) {
        return std::nullopt;
    }
    Terms free_parts = terms;
    for (Term &term : free_parts) {
        if (!same_stream_part(term, terms[0])) {
            return std::nullopt;
        }
        term.guard.clear();
        term.factor = term.power = Expr();
    }
    Term result = as_one_term(free_parts, t);
    result.guard = terms[0].guard;
    result.factor = terms[0].factor;
    result.power = terms[0].power;
    return result;
}

}  // namespace

std::optional<Terms> quotient(const Terms &n, const Terms &d, Type t, const Nonnegative &known) {
    const std::optional<Term> by = single(d, t);
    if (!by || !by->guard.empty() || !t.is_float()) {
        return std::nullopt;
    }
    const Expr c = coefficient_of(*by, t);
    const bool guarded =
        !as_const_float(c) && is_nonnegative(c, known) && !is_positive(c, known) &&
        std::any_of(known.begin(), known.end(), [&](const std::string &name) { return expr_uses_var(c, name); });
    Terms result = n;
    for (Term &term : result) {
        term.coefficient = divided(coefficient_of(term, t), c, guarded);
        term.scale = term.scale.minus(by->scale);
        if (by->factor.defined()) {
            term.factor = (term.factor.defined() ? term.factor : make_one(t)) / by->factor;
        }
        if (by->power.defined()) {
            term.power = term.power.defined() ? term.power - by->power : -by->power;
        }
    }
    return result;
}

std::optional<Terms> logarithm(const Terms &d, Type t) {
    const std::optional<Term> of = single(d, t);
    if (!of) {
        return std::nullopt;
    }
    Terms result;
    const bool offset = of->factor.defined() || of->power.defined();
    const auto add_free = [&](const Expr &coefficient) {
        Term term;
        term.offset = offset;
        term.coefficient = coefficient;
        term.guard = of->guard;
        result.push_back(term);
    };
    if (!of->scale.is_zero()) {
        add_free(of->scale.expr(t));
    }
    if (of->coefficient.defined() && !is_one(of->coefficient)) {
        add_free(log(cast(t, of->coefficient)));
    }
    if (of->factor.defined()) {
        Term term;
        term.guard = of->guard;
        term.factor = log(cast(t, of->factor));
        result.push_back(term);
    }
    if (of->power.defined()) {
        Term term;
        term.guard = of->guard;
        term.factor = cast(t, of->power);
        result.push_back(term);
    }
    if (result.empty()) {
        add_free(make_zero(t));
    }
    return result;
}

Terms selected(const Expr &row, const Terms &a, const Terms &b, Type t) {
    const auto alike = [&](Term x, Term y) {
        x.coefficient = y.coefficient = make_one(t);
        return collected({x, y}, t).size() == 1;
    };
    Terms result, rest = collected(b, t);
    for (Term term : collected(a, t)) {
        const auto like = std::find_if(rest.begin(), rest.end(), [&](const Term &y) { return alike(term, y); });
        if (like == rest.end()) {
            term.coefficient = where_else_zero(row, coefficient_of(term, t));
        } else {
            term.coefficient = select(row, coefficient_of(term, t), coefficient_of(*like, t));
            rest.erase(like);
        }
        result.push_back(term);
    }
    for (Term term : rest) {
        term.coefficient = select(row, make_zero(t), coefficient_of(term, t));
        result.push_back(term);
    }
    return result;
}

Expr materialised(const Terms &terms, Type t) {
    Expr sum;
    for (const Term &term : collected(terms, t)) {
        Expr value = coefficient_of(term, t);
        if (!term.scale.is_zero()) {
            value = times(value, exponential_of(term.scale, t));
        }
        sum = sum.defined() ? sum + value : value;
    }
    return sum.defined() ? sum : make_zero(t);
}

}  // namespace strobe
