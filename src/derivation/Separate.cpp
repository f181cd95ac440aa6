#include "Separate.h"

#include "Expressions.h"
#include "SignTest.h"
#include "SplitExponent.h"

#include <algorithm>
#include <cmath>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Gives every direct operand of one node its value. */
class WithValues : public IRMutator {
    Separator &separator;
    const Expr &root;

public:
    WithValues(Separator &separator, const Expr &root) : separator(separator), root(root) {
    }
    Expr mutate(const Expr &e) override {
        if (e.same_as(root)) {
            return IRMutator::mutate(e);
        }
        return e.type().is_bool() ? separator.condition(e) : separator.value(e);
    }
};

}  // namespace

void Separator::block(const Expr &e, const std::string &reason) const {
    throw Blocked{e, live(e), reason};
}

bool Separator::streams(const Expr &e) const {
    const std::vector<std::string> axes = axes_of(known.graph, e);
    return std::find(axes.begin(), axes.end(), known.stream) != axes.end();
}

std::set<std::string> Separator::live(const Expr &e) const {
    std::set<std::string> result;
    for (const std::string &name : references(known.graph, e)) {
        const Reduction &r = known.graph.reduction(name);
        if (known.values.count(name)) {
            result.insert(name);
        } else if (std::find(r.over.begin(), r.over.end(), known.stream) == r.over.end()) {
            const std::set<std::string> deeper = live(r.body);
            result.insert(deeper.begin(), deeper.end());
        }
    }
    return result;
}

bool Separator::has_exponential(const Expr &e) const {
    if (as_call(e, "exp")) {
        return streams(e);
    }
    const auto either = [&](const Expr &a, const Expr &b) { return has_exponential(a) || has_exponential(b); };
    if (const Mul *op = e.as<Mul>()) {
        return either(op->a, op->b);
    }
    if (const Div *op = e.as<Div>()) {
        return either(op->a, op->b);
    }
    if (const Add *op = e.as<Add>()) {
        return either(op->a, op->b);
    }
    if (const Sub *op = e.as<Sub>()) {
        return either(op->a, op->b);
    }
    if (const Select *op = e.as<Select>()) {
        return either(op->true_value, op->false_value);
    }
    if (const Cast *op = e.as<Cast>()) {
        return has_exponential(op->value);
    }
    return false;
}

bool Separator::has_guard(const Expr &e) const {
    if (const Mul *op = e.as<Mul>()) {
        return has_guard(op->a) || has_guard(op->b);
    }
    if (const Div *op = e.as<Div>()) {
        return has_guard(op->a);
    }
    if (const Select *op = e.as<Select>()) {
        return is_zero(op->true_value) || is_zero(op->false_value);
    }
    if (const Cast *op = e.as<Cast>()) {
        return op->value.type().is_bool() || has_guard(op->value);
    }
    return false;
}

Terms Separator::literal(const Expr &e) const {
    if (is_zero(e)) {
        return {};
    }
    Term term;
    if (!is_one(e)) {
        (streams(e) ? term.factor : term.coefficient) = e;
    }
    return {term};
}

Terms Separator::separate(const Expr &e) {
    if (live(e).empty() && (!streams(e) || (!has_exponential(e) && !has_guard(e)))) {
        return literal(e);
    }
    if (e.as<Variable>()) {
        return variable(e);
    }
    if (const Add *op = e.as<Add>()) {
        return sum(e, op->a, op->b, false);
    }
    if (const Sub *op = e.as<Sub>()) {
        return sum(e, op->a, op->b, true);
    }
    if (const Mul *op = e.as<Mul>()) {
        return collected(product(separate(op->a), separate(op->b)), e.type());
    }
    if (const Div *op = e.as<Div>()) {
        return division(e, op->a, op->b);
    }
    if (const Cast *op = e.as<Cast>()) {
        return conversion(e, op->value);
    }
    if (const Select *op = e.as<Select>()) {
        return selection(e, op->condition, op->true_value, op->false_value);
    }
    if (const Call *op = as_call(e, "exp")) {
        return exponential(e, op->args[0]);
    }
    if (const Call *op = as_call(e, "log")) {
        if (std::optional<Terms> terms = logarithm(separate(op->args[0]), e.type())) {
            return *terms;
        }
    }
    if (const Call *op = as_call(e, "pow")) {
        if (const auto base = as_const_float(op->args[0]); base && *base > 0) {
            return exponential(e, op->args[1] * make_const(e.type(), std::log(*base)));
        }
        if (const auto n = as_const_float(op->args[1]); n && (*n == 2 || *n == 3)) {
            const Terms once = separate(op->args[0]), twice = collected(product(once, once), e.type());
            return *n == 2 ? twice : collected(product(twice, once), e.type());
        }
    }
    return other(e);
}

Terms Separator::variable(const Expr &e) {
    const Reduction *r = known.graph.referred(e);
    auto it = known.values.find(r->name);
    if (it == known.values.end()) {
        block(e, "it is computed tile by tile from an earlier result");
    }
    return it->second;
}

Terms Separator::sum(const Expr &e, const Expr &a, const Expr &b, bool subtract) {
    Terms terms = separate(a);
    Terms more = subtract ? negated(separate(b), e.type()) : separate(b);
    if (streams(a) != streams(b) && !live(streams(a) ? b : a).empty()) {
        for (Terms *side : {&terms, &more}) {
            for (Term &term : *side) {
                term.offset = true;
            }
        }
    }
    terms.insert(terms.end(), more.begin(), more.end());
    return collected(terms, e.type());
}

Terms Separator::division(const Expr &e, const Expr &n, const Expr &d) {
    if (e.type().is_float()) {
        if (const auto terms = quotient(separate(n), separate(d), e.type(), known.nonnegative)) {
            return *terms;
        }
        if (live(d).empty()) {  // as it stands: nothing to move out of it
            Terms terms = separate(n);
            for (Term &term : terms) {
                term.factor = (term.factor.defined() ? term.factor : make_one(e.type())) / d;
            }
            return terms;
        }
    }
    return other(e);
}

Terms Separator::conversion(const Expr &e, const Expr &value) {
    const Type to = e.type(), from = value.type();
    if (from.is_bool()) {
        return selection(e, value, make_one(to), make_zero(to));
    }
    const bool exact = to.is_float() && (!from.is_float() || from.bits() <= to.bits());
    const bool rounds = to.is_float() && from.is_float() && !exact;
    if (rounds && streams(e)) {
        std::ostringstream text;
        text << "the rounding of " << text_of(value) << " to " << to << " is left to the operands' precision";
        notes.push_back(text.str());
        return separate(value);
    }
    return exact || (to.bits() >= from.bits() && to.is_int() && from.is_int()) ? converted(separate(value), to)
                                                                               : other(e);
}

Terms Separator::exponential(const Expr &e, const Expr &u) {
    const Term term = exponent(u);
    return converted({term}, e.type());
}

Term Separator::exponent(const Expr &u) {
    return split_exponent(*this, u);
}

Terms Separator::selection(const Expr &e, const Expr &condition, const Expr &a, const Expr &b) {
    if (const Not *op = condition.as<Not>()) {
        return selection(e, op->a, b, a);
    }
    const bool streamed = streams(condition), lives = !live(condition).empty();
    if (streamed && lives) {
        // p > 0 for a positive term says that its guard holds.
        const std::optional<Compared> c = as_comparison(condition);
        if (!c || c->kind == Comparison::GreaterEqual || c->kind == Comparison::Equal || !is_zero(c->b) ||
            !is_zero(b)) {
            block(condition, "the condition compares the stream with an earlier result");
        }
        const Terms of = separate(c->a);
        if (of.size() != 1 || of[0].factor.defined()) {
            block(condition, "the condition compares the stream with an earlier result");
        }
        const Expr coefficient = of[0].coefficient.defined() ? of[0].coefficient : make_one(c->a.type());
        const Expr row = sign_test(Comparison::Greater, coefficient, known.nonnegative);
        Terms terms = separate(a);
        for (Term &term : terms) {
            const Expr value = term.coefficient.defined() ? term.coefficient : make_one(e.type());
            term.coefficient = where_else_zero(row, value);
            term.guard = joined(of[0].guard, term.guard);
        }
        return terms;
    }
    const bool one_sided = is_zero(a) || is_zero(b);
    const bool of_results = !references(known.graph, condition).empty();
    if (!lives && (streamed || (one_sided && streams(e) && !of_results))) {
        if (!one_sided && live(e).empty() && !has_exponential(a) && !has_exponential(b)) {
            Term term;
            term.factor = e;
            return {term};
        }
        Terms terms;
        for (const bool side : {true, false}) {
            const Expr holds = side ? condition : negation(condition);
            const std::vector<Expr> guard = conjuncts(holds);
            for (Term term : separate(side ? a : b)) {
                if (!streamed && term.coefficient.defined() && !is_total(term.coefficient)) {
                    term.coefficient = where_else_zero(holds, term.coefficient);
                }
                term.guard = joined(guard, term.guard);
                terms.push_back(term);
            }
        }
        return terms;
    }
    const Expr row = this->condition(condition);
    if (is_const_one(row) || is_const_zero(row)) {
        return separate(is_const_one(row) ? a : b);
    }
    return row.as<Not>() || row.as<EQ>() ? selected(negation(row), separate(b), separate(a), e.type())
                                         : selected(row, separate(a), separate(b), e.type());
}

Terms Separator::other(const Expr &e) {
    Term term;
    if (live(e).empty()) {
        return literal(e);
    }
    if (streams(e)) {
        block(e, "it is not a sum of products of what depends on the stream and what does not");
    }
    term.coefficient = WithValues(*this, e).mutate(e);
    return {term};
}

Expr Separator::condition(const Expr &c) {
    if (live(c).empty()) {
        return c;
    }
    if (const Not *op = c.as<Not>()) {
        return negation(condition(op->a));
    }
    const std::optional<Compared> compared = as_comparison(c);
    if (compared && compared->a.type().is_float()) {
        const Type t = compared->a.type();
        const Terms a = separate(compared->a), b = separate(compared->b);
        if (b.empty() || a.empty()) {
            if (a.empty() && compared->kind != Comparison::Equal && compared->kind != Comparison::NotEqual) {
                const Expr negative = as_one_term(negated(b, t), t).coefficient;
                return sign_test(compared->kind, negative.defined() ? negative : make_one(t), known.nonnegative);
            }
            const Expr sign = as_one_term(b.empty() ? a : b, t).coefficient;
            return sign_test(compared->kind, sign.defined() ? sign : make_one(t), known.nonnegative);
        }
    }
    if (c.as<Variable>()) {  // the value of a reduction with && or ||
        const Terms terms = variable(c);
        return terms.size() == 1 ? terms[0].coefficient : const_false();
    }
    return WithValues(*this, c).mutate(c);
}

Expr Separator::value(const Expr &e) {
    if (live(e).empty()) {
        return e;
    }
    if (e.type().is_bool()) {
        return condition(e);
    }
    return materialised(separate(e), e.type());
}

}  // namespace strobe
