#include "WorkloadBuilder.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

bool WorkloadBuilder::has_computed_operands(const std::string &inner) const {
    return std::any_of(work.contractions.begin(), work.contractions.end(), [&](const Contraction &c) {
        return c.func == inner && std::any_of(c.operands.begin(), c.operands.end(),
                                              [](const Operand &o) { return o.computed; });
    });
}

void WorkloadBuilder::inner_uses(const Expr &e, std::set<std::string> &names) const {
    for (const std::string &v : Uses(e).variables) {
        const Reduction *r = v[0] == '%' ? graph.referred(Variable::make(Int(32), v)) : nullptr;
        // What only computed operands need is computed with them, beforehand.
        if (r && contains(plan.inner, r->name) && names.insert(r->name).second && !has_computed_operands(r->name)) {
            inner_uses(r->body, names);
        }
    }
}

std::vector<ChainWorkload> WorkloadBuilder::chains_of(const Pass &pass, const std::vector<int> &contraction_of) const {
    struct Group {
        std::set<std::string> names;
        std::vector<int> moments;
        std::set<int> pivots;
    };
    std::vector<Group> groups;
    const auto add = [&](Group g) {
        std::vector<Group> apart;
        for (Group &other : groups) {
            const bool meets = std::any_of(other.names.begin(), other.names.end(),
                                           [&](const std::string &n) { return g.names.count(n); });
            if (meets) {
                g.names.insert(other.names.begin(), other.names.end());
                g.moments.insert(g.moments.end(), other.moments.begin(), other.moments.end());
                g.pivots.insert(other.pivots.begin(), other.pivots.end());
            } else {
                apart.push_back(std::move(other));
            }
        }
        apart.push_back(std::move(g));
        groups = std::move(apart);
    };
    std::set<std::string> of_mask;
    inner_uses(pass.mask.guard, of_mask);
    for (size_t i = 0; i < pass.pivots.size(); i++) {
        Group g{of_mask, {}, {(int)i}};
        inner_uses(pass.pivots[i].exponent, g.names);
        inner_uses(pass.pivots[i].guard, g.names);
        g.names.insert(pass.pivots[i].name);
        add(g);
    }
    for (size_t i = 0; i < pass.moments.size(); i++) {
        const Moment &m = pass.moments[i];
        Group g{of_mask, {(int)i}, {}};
        g.names.insert(m.pivot >= 0 ? pass.pivots[m.pivot].name : m.name);
        inner_uses(m.factor, g.names);
        inner_uses(m.around.value, g.names);
        inner_uses(m.guard, g.names);
        add(g);
    }
    std::vector<ChainWorkload> chains;
    for (const Group &g : groups) {
        PassWorkload p;
        std::vector<Expr> weights;
        ChainWorkload chain;
        for (int i : g.moments) {
            WorkloadBuilder(graph, plan, work.sizes).add_moment(pass, pass.moments[i], p, weights);
            if (contraction_of[i] >= 0) {
                chain.contractions.push_back(contraction_of[i]);
            }
        }
        if (chain.contractions.empty()) {
            return {};  // it has nothing for a warpgroup of its own
        }
        chain.pivots = (int)g.pivots.size();
        chain.row_moments = p.row_moments;
        chain.weight_tiles = p.weight_tiles;
        for (size_t i = 0; i < plan.inner.size(); i++) {
            if (g.names.count(plan.inner[i])) {
                chain.contractions.push_back((int)i);
            }
        }
        chains.push_back(chain);
    }
    return chains;
}

}  // namespace strobe
