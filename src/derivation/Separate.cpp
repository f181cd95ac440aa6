#include "Separate.h"

#include "Expressions.h"

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
    WithValues(Separator &separator, const Expr &root)
        : separator(separator), root(root) {
    }
    Expr mutate(const Expr &e) override {
        if (e.same_as(root)) {
            return IRMutator::mutate(e);
        }
        return e.type().is_bool() ? separator.condition(e) : separator.value(e);
    }
};

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
    explicit ExponentSplitter(Separator &separator)
        : separator(separator) {
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

enum class Comparison { Greater,
                        GreaterEqual,
                        Equal,
                        NotEqual };

struct Compared {
    Comparison kind;
    Expr a, b;
};

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

/** select(row, a, b) for a condition free of the stream: it moves into the coefficients. */
Terms hoisted(const Expr &row, const Terms &a, const Terms &b, Type t) {
    const auto coefficient = [&](const Term &term) {
        return term.coefficient.defined() ? cast(t, term.coefficient) : make_one(t);
    };
    const auto alike = [&](Term x, Term y) {
        x.coefficient = y.coefficient = make_one(t);
        return collected({x, y}, t).size() == 1;
    };
    Terms result, rest = collected(b, t);
    for (Term term : collected(a, t)) {
        const auto like = std::find_if(rest.begin(), rest.end(), [&](const Term &y) { return alike(term, y); });
        if (like == rest.end()) {
            term.coefficient = where_else_zero(row, coefficient(term));
        } else {
            term.coefficient = select(row, coefficient(term), coefficient(*like));
            rest.erase(like);
        }
        result.push_back(term);
    }
    for (Term term : rest) {
        term.coefficient = select(row, make_zero(t), coefficient(term));
        result.push_back(term);
    }
    return result;
}

/** Where a c >= 0 is not 0. */
Expr positive_where(const Expr &c, const Nonnegative &known) {
    if (is_positive(c, known)) {
        return const_true();
    }
    if (const Select *op = c.as<Select>(); op && is_zero(op->false_value)) {
        const Expr inner = positive_where(op->true_value, known);
        return is_const_one(inner) || same(inner, op->condition) ? op->condition : op->condition && inner;
    }
    if (const Div *op = c.as<Div>()) {  // by something that is not 0, or the user's own quotient is not finite
        return positive_where(op->a, known);
    }
    if (const Mul *op = c.as<Mul>(); op && is_positive(op->b, known)) {
        return positive_where(op->a, known);
    }
    if (const Mul *op = c.as<Mul>(); op && is_positive(op->a, known)) {
        return positive_where(op->b, known);
    }
    return c > make_zero(c.type());
}

/** c compared with 0; of something that cannot be negative, said as c > 0. */
Expr sign_test(Comparison kind, const Expr &c, const Nonnegative &known) {
    if (as_const_float(c)) {
        return simplify(compare(kind, c, make_zero(c.type())));
    }
    if (!is_nonnegative(c, known)) {
        return compare(kind, c, make_zero(c.type()));
    }
    const Expr positive = positive_where(c, known);
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
    return exact || (to.bits() >= from.bits() && to.is_int() && from.is_int()) ? converted(separate(value), to) :
                                                                                other(e);
}

Terms Separator::exponential(const Expr &e, const Expr &u) {
    const Term term = exponent(u);
    return converted({term}, e.type());
}

Term Separator::exponent(const Expr &u) {
    ExponentSplitter splitter(*this);
    splitter.split(u);
    return splitter.finish();
}

Terms Separator::selection(const Expr &e, const Expr &condition, const Expr &a, const Expr &b) {
    if (const Not *op = condition.as<Not>()) {
        return selection(e, op->a, b, a);
    }
    const bool streamed = streams(condition), lives = !live(condition).empty();
    if (streamed && lives) {
        // p > 0 for a positive term says that its guard holds.
        const std::optional<Compared> c = as_comparison(condition);
        if (!c || c->kind == Comparison::GreaterEqual || c->kind == Comparison::Equal || !is_zero(c->b) || !is_zero(b)) {
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
    const Not *inverse = row.as<Not>();
    return inverse ? hoisted(inverse->a, separate(b), separate(a), e.type()) :
                     hoisted(row, separate(a), separate(b), e.type());
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
