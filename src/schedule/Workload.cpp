#include "Workload.h"

#include "AxisSize.h"
#include "WorkloadBuilder.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

Uses uses_of(const ReductionGraph &graph) {
    Uses uses;
    for (const Reduction &r : graph.reductions) {
        uses.add(r.body);
        uses.add(r.init);
    }
    for (const Output &o : graph.outputs) {
        uses.add(o.value);
    }
    return uses;
}

}  // namespace

const Contraction *Workload::find(const std::string &name) const {
    for (const Contraction &c : contractions) {
        if (c.func == name || contains(c.names, name)) {
            return &c;
        }
    }
    return nullptr;
}

int Workload::chains() const {
    return passes.size() == 1 ? std::max<int>(1, (int)passes[0].chains.size()) : 1;
}

std::vector<Operand> Workload::operands() const {
    std::vector<Operand> all;
    for (const Contraction &c : contractions) {
        for (const Operand &o : c.operands) {
            if (std::none_of(all.begin(), all.end(), [&](const Operand &a) { return graph_equal(a.load, o.load); })) {
                all.push_back(o);
            }
        }
    }
    return all;
}

std::optional<int64_t> known_size(const ReductionGraph &graph, const std::string &axis, const AxisSizes &given) {
    auto found = given.find(axis);
    if (found != given.end()) {
        return found->second;
    }
    const std::optional<int64_t> declared = declared_size(graph, axis, false);
    return declared ? declared : declared_size(graph, axis, true);
}

bool Workload::is_bound_by_power() const {
    return passes.size() == 1 && passes[0].running_pivots > 0 && !passes[0].masked && elements.empty();
}

Workload workload_of(const ReductionGraph &graph, const Plan &plan, const AxisSizes &given) {
    return WorkloadBuilder(graph, plan, given).build();
}

std::vector<std::string> inputs_of(const ReductionGraph &graph) {
    std::vector<std::string> names;
    for (const Call *load : uses_of(graph).loads) {
        if (!contains(names, load->name)) {
            names.push_back(load->name);
        }
    }
    return names;
}

std::vector<std::string> scalars_of(const ReductionGraph &graph) {
    std::vector<std::string> names;
    for (const auto &[name, parameter] : uses_of(graph).scalars) {
        names.push_back(name);
    }
    return names;
}

std::map<std::string, double> scalar_defaults(const ReductionGraph &graph) {
    std::map<std::string, double> defaults;
    for (const auto &[name, parameter] : uses_of(graph).scalars) {
        Expr e = parameter.estimate().defined()        ? parameter.estimate()
                 : parameter.default_value().defined() ? parameter.default_value()
                 : parameter.has_scalar_value()        ? parameter.scalar_expr()
                                                       : Expr();
        e = e.defined() ? simplify(cast<double>(e)) : e;
        if (const FloatImm *value = e.defined() ? e.as<FloatImm>() : nullptr) {
            defaults[name] = value->value;
        }
    }
    return defaults;
}

bool grows(const ReductionGraph &graph, const Plan &plan, const Pass &pass, size_t pivot) {
    if (pass.pivots[pivot].policy == Pivot::Policy::RunningMax) {
        return true;
    }
    return pass.pivots[pivot].policy == Pivot::Policy::Constant &&
           std::any_of(pass.moments.begin(), pass.moments.end(), [&](const Moment &m) {
               const bool features = std::any_of(m.axes.begin(), m.axes.end(), [&](const std::string &a) {
                   return a != plan.roles.query && !contains(plan.roles.batch, a);
               });
               const std::vector<const Call *> loads = Uses(m.factor).loads;
               return m.pivot == (int)pivot && features && m.factor.defined() &&
                      std::any_of(loads.begin(), loads.end(), [&](const Call *load) {
                          return load->type.is_float() && load->type.bits() == 16 &&
                                 !contains(axes_of(graph, Expr(load)), plan.roles.query);
                      });
           });
}

bool has_zeros_behind(const Expr &load, int64_t features) {
    const Call *call = load.defined() ? load.as<Call>() : nullptr;
    const Expr extent = call && call->param.defined() ? call->param.extent_constraint(0) : Expr();
    return extent.defined() && is_const(extent, features);
}

int pass_of(const Plan &plan, const std::string &reduction) {
    for (size_t i = 0; i < plan.passes.size(); i++) {
        for (const Readout &r : plan.passes[i].readouts) {
            if (r.name == "%" + reduction) {
                return (int)i;
            }
        }
    }
    return (int)plan.passes.size() - 1;
}

}  // namespace strobe
