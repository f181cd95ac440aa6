#include "WorkloadBuilder.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

bool WorkloadBuilder::is_row_axis(const std::string &axis) const {
    return axis == plan.roles.query || axis == plan.roles.stream || contains(plan.roles.batch, axis);
}

void WorkloadBuilder::add_pass(const Pass &pass) {
    PassWorkload p;
    std::set<std::string> inner;
    std::vector<Expr> weights;
    std::vector<int> contraction_of;
    for (size_t i = 0; i < pass.pivots.size(); i++) {
        inner_uses(pass.pivots[i].exponent, inner);
        p.pivots++;
        p.running_pivots += grows(graph, plan, pass, i);
    }
    for (const Moment &m : pass.moments) {
        inner_uses(m.guard, inner);
        inner_uses(m.factor, inner);
        inner_uses(m.around.value, inner);
        const size_t before = work.contractions.size();
        add_moment(pass, m, p, weights);
        contraction_of.push_back(work.contractions.size() > before ? (int)before : -1);
    }
    for (size_t i = 0; i < plan.inner.size(); i++) {
        if (inner.count(plan.inner[i])) {
            p.contractions.push_back((int)i);
        }
    }
    std::sort(p.contractions.begin(), p.contractions.end());
    p.masked = pass.mask.guard.defined() && !is_const_one(pass.mask.guard);
    p.mask_reads_inputs = !pass.mask.summaries.empty();
    p.element_loads = element_loads(pass);
    p.chains = chains_of(pass, contraction_of);
    p.judges_tiles = pass.mask.dead.defined() && !is_const_zero(pass.mask.dead) && !pass.mask.contiguous;
    add_elements(pass);
    work.passes.push_back(p);
}

WorkloadBuilder::WorkloadBuilder(const ReductionGraph &graph, const Plan &plan,
                                 const AxisSizes &given) : graph(graph), plan(plan) {
    work.sizes = given;
    for (const Axis &a : graph.axes) {
        if (auto size = known_size(graph, a.name, given)) {
            work.sizes[a.name] = *size;
        }
    }
    work.inputs = inputs_of(graph);
}

Workload WorkloadBuilder::build() {
    for (const std::string &name : plan.inner) {
        add_inner(graph.reduction(name));
    }
    for (const Pass &pass : plan.passes) {
        add_pass(pass);
    }
    for (size_t i = 0; i < plan.inner.size(); i++) {
        const bool used = std::any_of(work.passes.begin(), work.passes.end(), [&](const PassWorkload &p) {
            return std::count(p.contractions.begin(), p.contractions.end(), (int)i) > 0;
        });
        if (!used) {
            work.contractions[i].operands.clear();
        }
    }
    for (const Output &o : plan.outputs) {
        add_result(o);
    }
    return work;
}

}  // namespace strobe
