#include "ExchangeCost.h"

#include "derivation/Expressions.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

ExchangeCost exchange_cost(const Plan &plan, const Shape &shape, int query_tile) {
    strobe_internal_assert(plan.second) << "nothing separates a second time";
    const auto size = [&](const std::string &axis) { return (double)shape.sizes.at(axis); };
    const SecondSeparation &second = *plan.second;
    const double keys = size(plan.roles.stream), rows = size(plan.roles.query), contracted = size(second.sums[0].axis);
    double features = 0;
    std::set<std::string> scores;
    for (const SeparatedSum &s : second.sums) {
        double width = 1;
        for (const std::string &f : plan.roles.features) {
            width *= s.values.defined() && Halide::Internal::expr_uses_var(s.values, f) ? size(f) : 1;
        }
        features += width;
        scores.insert(s.score);
    }
    const double pair = (double)scores.size() * contracted + features;
    ExchangeCost cost;
    // Masks that know rows leave about half: those that do not are as true of every row.
    cost.walked = (second.whole ? keys : keys / 2) * pair;
    cost.own_walk = second.whole ? 0 : std::min<double>(query_tile, keys) * pair;
    cost.sums = keys / std::max(1.0, rows) * contracted * features;
    cost.reading = contracted * features;
    return cost;
}

bool exchange_pays(const ReductionGraph &graph, const Plan &plan, const std::vector<Shape> &shapes, double slower) {
    if (!plan.second || shapes.empty()) {
        return false;
    }
    const int usual_tile = 128;
    const ExchangeCost cost = exchange_cost(plan, complete_shape(shapes[shapes.size() / 2], graph, plan.roles), usual_tile);
    return slower * cost.ahead() < cost.walked;
}

}  // namespace strobe
