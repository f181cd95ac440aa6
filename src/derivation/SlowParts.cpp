#include "SlowParts.h"

#include "Expressions.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

class SlowParts {
    const ReductionGraph &graph;
    const Plan &plan;
    const std::string shared;

    bool has(const Expr &e, const std::string &axis) const {
        const std::vector<std::string> axes = axes_of(graph, e);
        return std::find(axes.begin(), axes.end(), axis) != axes.end();
    }
    std::string features_of(const Expr &e) const {
        std::string names;
        for (const std::string &f : plan.roles.features) {
            names += !has(e, f) ? "" : (names.empty() ? "" : ", ") + f;
        }
        return names;
    }

    void walks() {
        if (plan.passes.size() < 2) {
            return;
        }
        std::string because;
        for (const Fact &f : plan.facts) {
            if (f.rule == "barrier" && because.empty()) {
                because = f.subject + ": " + f.text;
            }
        }
        const std::string n = std::to_string(plan.passes.size());
        list.push_back(plan.roles.stream + " is walked " + n + " times, and each walk computes the scores again (" +
                       because + ")");
    }

    /** Moments with features that are no sum of weights times an operand of the stream. */
    void elementwise(const Pass &pass) {
        for (const Moment &m : pass.moments) {
            const Expr exponent = m.pivot >= 0 ? pass.pivots[m.pivot].exponent : Expr();
            const std::string features = features_of(m.factor), in_exponent = features_of(exponent);
            if (m.around.value.defined() && m.degree > 1 && !features_of(m.around.value).empty()) {
                list.push_back("the sum over " + plan.roles.stream + " of squares of " + text_of(m.around.value) +
                               " is computed element by element, without matrix instructions: each row has a mean of "
                               "its own, around which squares do not cancel");
                continue;
            }
            if (features.empty() && in_exponent.empty()) {
                continue;
            }
            std::string why;
            if (m.op != ReduceOp::Sum) {
                why = std::string("a ") + name_of(m.op) + " is no matrix product";
            } else if (!in_exponent.empty()) {
                why = "its exponent depends on " + in_exponent + " too; where exp(a + b) stays in range written as "
                      "exp(a) * exp(b), it is a matrix product";
            } else if (with_features_and_rows(m.factor)) {
                why = "a factor depends on rows, " + plan.roles.stream + " and " + features + " at once";
            }
            if (!why.empty()) {
                list.push_back("the " + std::string(name_of(m.op)) + " over " + plan.roles.stream + " of " +
                               text_of(m.factor.defined() ? m.factor : exponent) +
                               " is computed element by element, without matrix instructions: " + why);
            }
        }
    }
    bool with_features_and_rows(const Expr &factor) const {
        for (const Expr &f : product_factors(factor)) {
            if (!features_of(f).empty() && has(f, plan.roles.query) && has(f, plan.roles.stream)) {
                return shared.empty() || has(f, shared);
            }
        }
        return false;
    }

    void masks(const Pass &pass) {
        const MaskVerdict &m = pass.mask;
        if (m.guard.defined() && is_const_zero(m.dead) && is_const_zero(m.full) && !m.begin.defined() &&
            !m.end.defined()) {
            list.push_back("nothing is known of the mask " + text_of(m.guard) +
                           " for a tile as a whole, so no tile is skipped and every element is asked; conditions on "
                           "positions and on integers that vary along one axis can be bounded");
        }
    }

public:
    std::vector<std::string> list;

    SlowParts(const ReductionGraph &graph, const Plan &plan, const std::string &shared)
        : graph(graph), plan(plan), shared(shared) {
        walks();
        for (const Pass &pass : plan.passes) {
            elementwise(pass);
            masks(pass);
        }
    }
};

}  // namespace

std::vector<std::string> slow_parts(const ReductionGraph &graph, const Plan &plan, const std::string &shared) {
    return SlowParts(graph, plan, shared).list;
}

}  // namespace strobe
