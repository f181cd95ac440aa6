#include "DerivePass.h"

#include "DeriveSelection.h"
#include "Expressions.h"
#include "Monotone.h"
#include "ProductOfTerms.h"
#include "SumOfSquares.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

Draft::Draft(const ReductionGraph &graph) : graph(graph) {
    plan.roles = find_roles(graph);
}

Pass &Draft::pass(int index) {
    if (int(plan.passes.size()) <= index) {
        plan.passes.resize(index + 1);
    }
    return plan.passes[index];
}

int Draft::pivot(int index, const Expr &exponent, const std::vector<Expr> &guard) {
    Pass &p = pass(index);
    const Expr condition = all_of(guard);
    for (size_t i = 0; i < p.pivots.size(); i++) {
        if (same(p.pivots[i].exponent, exponent) && same(p.pivots[i].guard, condition)) {
            return int(i);
        }
    }
    Pivot result;
    result.name = "%pivot " + std::to_string(names++);
    result.exponent = exponent;
    result.guard = condition;
    p.pivots.push_back(result);
    return int(p.pivots.size()) - 1;
}

int Draft::selection(int index, const Expr &key, const std::vector<Expr> &guard, bool greatest, int rank) {
    std::vector<Selection> &known = pass(index).selections;
    const Expr condition = all_of(guard);
    auto like = std::find_if(known.begin(), known.end(), [&](const Selection &s) {
        return same(s.key, key) && same(s.guard, condition) && s.greatest == greatest;
    });
    if (like == known.end()) {
        known.push_back({"%selection " + std::to_string(names++), key, condition, greatest, 0});
        like = known.end() - 1;
    }
    like->count = std::max(like->count, rank + 1);
    return int(like - known.begin());
}

Expr Draft::moment(int index, ReduceOp op, Type type, const std::vector<Expr> &guard, const Expr &factor, int pivot,
                   int degree, const Around &around) {
    Moment m;
    m.op = op;
    m.type = type;
    m.pivot = pivot;
    m.guard = all_of(guard);
    m.factor = factor;
    m.degree = degree;
    m.around = around;
    return moment(index, m);
}

Expr Draft::moment(int index, Moment m) {
    Pass &p = pass(index);
    for (const Moment &o : p.moments) {
        if (o.op == m.op && o.type == m.type && o.pivot == m.pivot && o.degree == m.degree && same(o.guard, m.guard) &&
            same(o.factor, m.factor) && same(o.around.value, m.around.value) && o.selection == m.selection &&
            o.rank == m.rank) {
            return o.ref();
        }
    }
    m.name = "%moment " + std::to_string(names++);
    std::set<std::string> uses;
    for (const Expr &e : {m.guard, m.factor, m.around.value, m.pivot >= 0 ? p.pivots[m.pivot].exponent : Expr()}) {
        const std::vector<std::string> axes = axes_of(graph, e);
        uses.insert(axes.begin(), axes.end());
    }
    const Roles &roles = plan.roles;
    for (const std::string &feature : roles.features) {
        if (uses.count(feature)) {
            m.axes.push_back(feature);
        }
    }
    for (const Axis &a : graph.axes) {
        if (a.name == roles.query || std::count(roles.batch.begin(), roles.batch.end(), a.name)) {
            m.axes.push_back(a.name);
        }
    }
    p.moments.push_back(m);
    if (m.op == ReduceOp::Sum && m.degree == 0 && (!m.factor.defined() || is_nonnegative(m.factor, {}))) {
        nonnegative.insert(m.name);
    }
    return m.ref();
}

namespace {

Term free_term(const Expr &value) {
    Term term;
    term.coefficient = value;
    return term;
}

class ReductionDeriver {
    Draft &draft;
    const Reduction &r;
    const int pass;
    Separator separator;

    Terms sum();
    Terms product();
    Terms extreme();
    Terms maximum_of_sum();
    std::optional<Terms> extreme_of_term();
    Terms plain();
    void refuse_cancellation(const Terms &terms) const;
    Terms with_init(Terms value);

public:
    Derived result;
    ReductionDeriver(Draft &draft, const Reduction &r, const Knowledge &known, int pass)
        : draft(draft), r(r), pass(pass), separator(known) {
    }
    void derive();
};

/** A term as e^E times a polynomial of degree at most 1 in E, and the rest of its factor. */
struct Centred {
    int degree = 0;
    Expr rest;  // undefined: 1
};

void split_factor(const Expr &e, const Expr &power, Centred &result) {
    const Mul *op = e.as<Mul>();
    if (result.degree == 0 && same(strip_casts(e), strip_casts(power))) {
        result.degree = 1;
    } else if (op) {
        split_factor(op->a, power, result);
        split_factor(op->b, power, result);
    } else {
        result.rest = times(result.rest, e);
    }
}

/** With features, the two moments would be two matrix products: such a term stays as it is. */
Centred centred(const Term &term, const Draft &draft) {
    Centred result;
    if (term.factor.defined() && term.power.defined()) {
        split_factor(term.factor, term.power, result);
    }
    const std::vector<std::string> axes =
        axes_of(draft.graph, result.rest.defined() ? term.power * result.rest : term.power);
    const bool features = std::any_of(axes.begin(), axes.end(), [&](const std::string &a) {
        return std::count(draft.plan.roles.features.begin(), draft.plan.roles.features.end(), a) > 0;
    });
    return result.degree && !features ? result : Centred{0, term.factor};
}

/** All terms are e^E times polynomials in E, with the same E and otherwise the same factors:
 * once they are centred, nothing large is left that could cancel. */
bool all_centred(const Terms &terms, const Draft &draft) {
    bool any = false;
    for (const Term &term : terms) {
        const Centred c = centred(term, draft);
        any = any || c.degree > 0;
        if (!term.power.defined() || !same(term.power, terms[0].power) || !same(term.guard, terms[0].guard) ||
            !same(c.rest, centred(terms[0], draft).rest)) {
            return false;
        }
    }
    return any;
}

/** Rule S2: terms that only make sense together are kept apart only if they share a sign. */
void ReductionDeriver::refuse_cancellation(const Terms &terms) const {
    bool offset = false, one_sign = true;
    for (const Term &term : terms) {
        offset = offset || term.offset;
        one_sign = one_sign && (!term.coefficient.defined() || is_nonnegative(term.coefficient, draft.nonnegative)) &&
                   (!term.factor.defined() || is_nonnegative(term.factor, {}));
    }
    if (offset && terms.size() > 1 && !one_sign && !all_centred(terms, draft)) {
        throw Blocked{
            r.body, separator.live(r.body),
            "it adds an earlier result to the stream, and the sums of the two parts can cancel to the last digit"};
    }
}

/** Every separation happens before the first moment is added, so that a failure
 * leaves nothing behind. */
Terms ReductionDeriver::sum() {
    if (const std::optional<Terms> squares = sum_of_squares(draft, r, separator, pass, result.facts)) {
        return *squares;
    }
    const Terms separated = separator.separate(r.body);
    refuse_cancellation(separated);
    // Before the moments are known: parts of the value by the moment that they multiply.
    Terms value;
    Terms by_moment;
    for (const Term &term : separated) {
        if (term.is_free()) {
            Term part = term;
            part.coefficient = times(term.coefficient, cast(r.type, draft.graph.axis(r.over[0]).extent));
            value.push_back(part);
            continue;
        }
        Term part = term;
        if (term.power.defined()) {
            part.power = term.power.type().bits() < 32 ? cast<float>(term.power) : term.power;
            const int pivot = draft.pivot(pass, part.power, term.guard);
            const Expr p = draft.pass(pass).pivots[pivot].ref();
            part.scale = part.scale.plus(LinearForm(p));
            if (const Centred c = centred(term, draft); c.degree) {
                // E = u + p; what multiplies p joins the terms of degree 0.
                Term constant = part;
                constant.factor = c.rest;
                constant.coefficient = times(part.coefficient, cast(r.type, p));
                by_moment.push_back(constant);
            }
        }
        by_moment.push_back(part);
    }
    std::stable_sort(by_moment.begin(), by_moment.end(), [&](const Term &x, const Term &y) {
        return centred(x, draft).degree > centred(y, draft).degree;
    });
    for (const Term &term : collected(by_moment, r.type)) {
        const int pivot = term.power.defined() ? draft.pivot(pass, term.power, term.guard) : -1;
        const Centred c = centred(term, draft);
        const auto moment = [&](int degree) {
            return draft.moment(pass, ReduceOp::Sum, r.type, term.guard,
                                c.rest.defined() ? cast(r.type, c.rest) : Expr(), pivot, degree);
        };
        Term part;
        part.scale = term.scale;
        part.coefficient = times(term.coefficient, moment(c.degree));
        for (int lower = c.degree; lower-- > 0;) {
            moment(lower);
        }
        if (c.degree) {
            draft.plan.facts.push_back({r.name, "centred",
                                        "kept is the sum of u * exp(u) with u = " + text_of(term.power) +
                                            " - p: when p moves to q, it is added (p - q) times the sum of exp(u)"});
        }
        value.push_back(part);
    }
    return value;
}

/** A max, min, and, or: whichever way keeps the earlier results out of it. */
Terms ReductionDeriver::extreme() {
    if (r.op == ReduceOp::Max && r.type.is_float()) {
        try {
            return maximum_of_sum();
        } catch (const Blocked &) {  // it may be something else than a sum
        }
    }
    if (separator.live(r.body).empty()) {
        return plain();
    }
    if (r.type.is_float()) {
        if (const std::optional<Terms> value = extreme_of_term()) {
            return *value;
        }
    }
    if (const std::optional<Terms> value = extreme_of_monotone(draft, r, separator, pass, result.facts)) {
        return *value;
    }
    return plain();
}

/** max(x + rho) = rho + max(x). */
Terms ReductionDeriver::maximum_of_sum() {
    const Term term = separator.exponent(r.body);
    const Expr factor = cast(r.type, term.power.defined() ? term.power : make_zero(r.type));
    Terms value = {free_term(draft.moment(pass, ReduceOp::Max, r.type, term.guard, factor))};
    if (!term.scale.is_zero()) {
        value.push_back(free_term(term.scale.expr(r.type)));
    }
    return value;
}

/** The extreme of a * e^s * [guard] b * e^E: for a >= 0 it is a * e^s times that of the rest. */
std::optional<Terms> ReductionDeriver::extreme_of_term() {
    Terms terms;
    try {
        terms = separator.separate(r.body);
    } catch (const Blocked &) {
        return std::nullopt;
    }
    if (terms.size() != 1) {
        return std::nullopt;
    }
    const Term &term = terms[0];
    const bool sign_kept = !term.coefficient.defined() || is_nonnegative(term.coefficient, draft.nonnegative);
    const bool zero_is_least = !term.factor.defined() || is_nonnegative(term.factor, {});
    if (!sign_kept || (!term.guard.empty() && (!zero_is_least || r.op == ReduceOp::Min)) ||
        (term.power.defined() && term.factor.defined())) {
        return std::nullopt;
    }
    Term value = term;
    value.guard.clear();
    value.factor = value.power = Expr();
    if (term.power.defined()) {
        value.scale =
            value.scale.plus(LinearForm(draft.moment(pass, r.op, r.type, term.guard, cast(r.type, term.power))));
    } else {
        const Expr factor = term.factor.defined() ? cast(r.type, term.factor) : make_one(r.type);
        const Expr guarded = term.guard.empty() ? factor : select(all_of(term.guard), factor, make_zero(r.type));
        value.coefficient = times(term.coefficient, draft.moment(pass, r.op, r.type, {}, guarded));
    }
    return Terms{value};
}

Terms ReductionDeriver::product() {
    const std::optional<Terms> value = product_of_terms(draft, r, separator, pass, result.facts);
    return value ? *value : plain();
}

Terms ReductionDeriver::plain() {
    const std::set<std::string> blockers = separator.live(r.body);
    if (!blockers.empty()) {
        throw Blocked{r.body, blockers, std::string("a ") + name_of(r.op) + " does not distribute over it"};
    }
    std::vector<Expr> guard;
    const Expr factor = without_identity(separator, r.op, r.body, guard);
    return {free_term(draft.moment(pass, r.op, r.type, guard, factor))};
}

/** f starts from init: one more element. */
Terms ReductionDeriver::with_init(Terms value) {
    if (!r.init.defined()) {
        return value;
    }
    if (r.op == ReduceOp::Sum) {
        const Terms init = separator.separate(r.init);
        value.insert(value.end(), init.begin(), init.end());
        return collected(value, r.type);
    }
    const Expr init = separator.value(r.init);
    return {free_term(combine(r.op, init, materialised(value, r.type)))};
}

void ReductionDeriver::derive() {
    if (r.init.defined()) {
        separator.value(r.init);  // may block
    }
    Terms value;
    if (r.rank >= 0) {
        result.value = derive_selection(draft, r, separator, pass, result.facts);
        result.pass = pass;
        result.notes = separator.notes;
        return;
    }
    switch (r.op) {
    case ReduceOp::Sum:
        value = sum();
        break;
    case ReduceOp::Product:
        value = product();
        break;
    default:
        value = extreme();
        break;
    }
    result.pass = pass;
    result.value = with_init(value);
    result.notes = separator.notes;
}

/** The body of a sum, separated with earlier results under their own names. */
Terms explained(const Reduction &r, Knowledge known) {
    if (r.op != ReduceOp::Sum) {
        return {};
    }
    for (auto &[name, value] : known.values) {
        value = {free_term(known.graph.reduction(name).ref())};
    }
    try {
        return Separator(known).separate(r.body);
    } catch (const Blocked &) {
        return {};
    }
}

}  // namespace

void derive_reduction(Draft &draft, const Reduction &r, const Knowledge &known, int pass) {
    ReductionDeriver deriver(draft, r, known, pass);
    deriver.derive();
    deriver.result.explained = explained(r, known);
    draft.derived[r.name] = deriver.result;
}

}  // namespace strobe
