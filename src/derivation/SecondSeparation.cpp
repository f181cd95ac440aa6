#include "SecondSeparation.h"

#include "Expressions.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

const SeparatedSum &SecondSeparation::of(const std::string &moment) const {
    const auto found =
        std::find_if(sums.begin(), sums.end(), [&](const SeparatedSum &s) { return s.moment == moment; });
    strobe_internal_assert(found != sums.end()) << moment << " was not separated";
    return *found;
}

namespace {

bool contains(const std::vector<std::string> &names, const std::string &name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/** The factors of a product of floats, through widening casts. */
void factors_of(const Expr &e, std::vector<Expr> &result) {
    const Cast *cast = e.as<Cast>();
    const Mul *op = e.as<Mul>();
    if (cast && cast->type.is_float() && cast->value.type().is_float() &&
        cast->type.bits() >= cast->value.type().bits() && (strip_casts(e).as<Mul>() || strip_casts(e).as<Div>())) {
        factors_of(cast->value, result);
    } else if (op) {
        factors_of(op->a, result);
        factors_of(op->b, result);
    } else if (const Div *quotient = e.as<Div>(); quotient && e.type().is_float()) {
        factors_of(quotient->a, result);
        result.push_back(make_one(e.type()) / quotient->b);
    } else {
        result.push_back(e);
    }
}

class Exchange {
    const ReductionGraph &graph;
    const Plan &plan;
    std::string why;  // not

    bool depends(const Expr &e, const std::string &axis) const {
        return contains(axes_of(graph, e), axis);
    }
    std::vector<std::string> features_of(const Expr &e) const;
    const Reduction *score_in(const Expr &factor) const;
    bool split_score(const Reduction &r, SeparatedSum &sum);
    bool split_factor(const Moment &m, SeparatedSum &sum);
    bool split_guard(const Moment &m, SeparatedSum &sum, std::vector<Expr> &of_rows) const;
    bool holds_before_rows(const std::vector<Expr> &conditions) const;

public:
    Exchange(const ReductionGraph &graph, const Plan &plan) : graph(graph), plan(plan) {
    }
    std::optional<SecondSeparation> separate();
    /** Why not, if a score separates and something else is in the way. */
    const std::string &reason() const {
        return why;
    }
};

std::vector<std::string> Exchange::features_of(const Expr &e) const {
    std::vector<std::string> features;
    for (const std::string &a : axes_of(graph, e)) {
        if (contains(plan.roles.features, a)) {
            features.push_back(a);
        }
    }
    return features;
}

/** The reduction that a factor is, if it is one of rows and keys evaluated in a tile. */
const Reduction *Exchange::score_in(const Expr &factor) const {
    const Reduction *r = graph.referred(strip_casts(factor));
    const bool of_both = r && depends(r->body, plan.roles.query) && depends(r->body, plan.roles.stream);
    return of_both && contains(plan.inner, r->name) ? r : nullptr;
}

bool Exchange::split_score(const Reduction &r, SeparatedSum &sum) {
    if (r.op != ReduceOp::Sum || r.over.size() != 1 || r.init.defined() || !r.type.is_float()) {
        return false;
    }
    std::vector<Expr> factors;
    factors_of(r.body, factors);
    for (const Expr &f : factors) {
        const bool rows = depends(f, plan.roles.query), columns = depends(f, plan.roles.stream);
        if ((rows && columns) || !features_of(f).empty()) {
            return false;
        }
        Expr &side = rows ? sum.rows : sum.columns;
        side = times(side, cast(r.type, f));
    }
    sum.score = r.name;
    sum.axis = r.over[0];
    return sum.rows.defined() && sum.columns.defined();
}

bool Exchange::split_factor(const Moment &m, SeparatedSum &sum) {
    if (!m.factor.defined()) {
        return false;
    }
    std::vector<Expr> factors;
    factors_of(m.factor, factors);
    for (const Expr &f : factors) {
        const bool rows = depends(f, plan.roles.query), columns = depends(f, plan.roles.stream);
        if (rows && columns) {
            const Reduction *r = sum.score.empty() ? score_in(f) : nullptr;
            if (!r || !split_score(*r, sum)) {
                return false;
            }
        } else if (rows) {
            if (!features_of(f).empty()) {
                return false;
            }
            sum.outside = times(sum.outside, cast(m.type, f));
        } else {
            sum.values = times(sum.values, cast(m.type, f));
        }
    }
    return !sum.score.empty() && (!sum.values.defined() || features_of(sum.values).size() <= 1);
}

/** Conditions that know no row stay in the sum; the others are \p of_rows. */
bool Exchange::split_guard(const Moment &m, SeparatedSum &sum, std::vector<Expr> &of_rows) const {
    std::vector<Expr> kept;
    for (const Expr &c : conjuncts(m.guard)) {
        if (!features_of(c).empty()) {
            return false;
        }
        (depends(c, plan.roles.query) ? of_rows : kept).push_back(c);
    }
    sum.guard = all_of(kept);
    return true;
}

/** Asks the verdict on tiles of the elements from the first to that before the block's first row. */
bool Exchange::holds_before_rows(const std::vector<Expr> &conditions) const {
    const MaskVerdict verdict = bound_mask(graph, plan.roles, all_of(conditions));
    if (!verdict.full.defined() || !verdict.summaries.empty()) {
        return false;
    }
    const std::string &stream = plan.roles.stream;
    const Expr first = graph.axis(stream).min, row = Variable::make(Int(32), plan.roles.query + ".lo");
    Expr full = substitute(stream + ".hi", row - 1, substitute(stream + ".lo", first, verdict.full));
    return can_prove(simplify(full));
}

std::optional<SecondSeparation> Exchange::separate() {
    if (plan.passes.size() != 1 || !plan.passes[0].pivots.empty() || !plan.passes[0].selections.empty()) {
        return std::nullopt;
    }
    SecondSeparation result;
    std::vector<Expr> of_rows;
    for (const Moment &m : plan.passes[0].moments) {
        SeparatedSum sum;
        sum.moment = m.name;
        const bool plain = m.op == ReduceOp::Sum && m.type.is_float() && m.degree == 0 && m.pivot < 0 &&
                           !m.around.value.defined() && m.selection < 0;
        if (!plain || !split_factor(m, sum)) {
            return std::nullopt;
        }
        if (!result.sums.empty() && sum.axis != result.sums[0].axis) {
            why = "its sums reduce both " + result.sums[0].axis + " and " + sum.axis;
            return std::nullopt;
        }
        if (!split_guard(m, sum, of_rows)) {
            return std::nullopt;
        }
        result.sums.push_back(sum);
    }
    if (result.sums.empty()) {
        return std::nullopt;
    }
    result.whole = of_rows.empty();
    if (!result.whole && !holds_before_rows(of_rows)) {
        why = "rows see other keys before them than " + text_of(all_of(of_rows)) + " is known to hold for";
        return std::nullopt;
    }
    return result;
}

}  // namespace

void separate_again(const ReductionGraph &graph, Plan &plan) {
    Exchange exchange(graph, plan);
    plan.second = exchange.separate();
    if (!plan.second) {
        if (!exchange.reason().empty()) {
            plan.facts.push_back({plan.roles.stream, "not exchanged",
                                  "sums over " + plan.roles.stream + " stay a walk for each row: " + exchange.reason()});
        }
        return;
    }
    const SeparatedSum &first = plan.second->sums[0];
    const std::string stream = plan.roles.stream;
    plan.facts.push_back(
        {first.score, "exchangeable",
         "it is a product of what is free of " + stream + " and what is free of " + plan.roles.query +
             ", and enters every sum as a factor: the sum over " + stream + " of the latter may come first, " +
             (plan.second->whole ? "once for all rows" : "once for all rows that come later; a walk adds the " + stream +
                                                             " of a row's own block")});
}

}  // namespace strobe
