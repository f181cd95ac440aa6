#include "AxisLengths.h"

#include "algorithm/ReadAlgorithm.h"
#include "schedule/ResolveNames.h"
#include "support/Error.h"
#include "schedule/AxisSize.h"

#include <algorithm>
#include <cmath>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** The extent of a dimension as the algorithm declares it. */
std::optional<int> declared_extent(const Parameter &p, int dim) {
    const Expr extent = p.extent_constraint(dim);
    auto value = extent.defined() ? as_const_int(simplify(extent)) : std::nullopt;
    return value ? std::optional<int>(int(*value)) : std::nullopt;
}

/** Calls of inputs, also in the indices of others. */
class FindLoads : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    void visit(const Call *op) override {
        if (op->call_type == Call::Image && op->param.defined()) {
            loads.push_back(op);
        }
        IRGraphVisitor::visit(op);
    }

public:
    std::vector<const Call *> loads;
    explicit FindLoads(const ReductionGraph &graph) {
        const auto add = [&](const Expr &e) {
            if (e.defined()) {
                e.accept(this);
            }
        };
        for (const Reduction &r : graph.reductions) {
            add(r.body);
            add(r.init);
        }
        for (const Output &o : graph.outputs) {
            add(o.value);
        }
    }
};

class UsesLoad : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    void visit(const Call *op) override {
        if (op->call_type == Call::Image) {
            load = op;
        }
        IRGraphVisitor::visit(op);
    }

public:
    const Call *load = nullptr;
    explicit UsesLoad(const Expr &e) {
        e.accept(this);
    }
};

/** Replaces every load of an input by a constant. */
class LoadsAs : public IRMutator {
    using IRMutator::visit;
    const int value;
    Expr visit(const Call *op) override {
        return op->call_type == Call::Image ? make_const(op->type, value) : IRMutator::visit(op);
    }

public:
    explicit LoadsAs(int value) : value(value) {
    }
};

/** The greatest value of an index, when axes run over their lengths and known extents are put in. */
std::optional<int> greatest(const Expr &index, const std::map<std::string, int> &lengths,
                            const std::map<std::string, Expr> &known) {
    Scope<Interval> scope;
    for (const auto &[axis, length] : lengths) {
        scope.push(axis, Interval(0, length - 1));
    }
    const Interval range = bounds_of_expr_in_scope(simplify(substitute(known, index)), scope);
    if (!range.has_upper_bound()) {
        return std::nullopt;
    }
    const auto value = as_const_int(simplify(range.max));
    return value ? std::optional<int>(int(*value)) : std::nullopt;
}

}  // namespace

AxisLengths::AxisLengths(Instance &instance, const Problem &problem)
    : graph(read_algorithm(instance.outputs)), roles(find_roles(graph)) {
    const auto further = [&](const std::string &axis) {
        const auto given = problem.sizes.find(base_name(axis));
        return given == problem.sizes.end() ? 3 : given->second;
    };
    // The batch axes in the order of the first output's dimensions.
    std::vector<std::string> batch;
    for (const Output &o : graph.outputs) {
        for (const std::string &a : o.axes) {
            if (std::count(roles.batch.begin(), roles.batch.end(), a) && !std::count(batch.begin(), batch.end(), a)) {
                batch.push_back(a);
            }
        }
    }
    const Axis &stream = graph.axis(roles.stream);
    const auto walks_stream = [&](const Axis &a) {
        return is_const_zero(simplify(a.extent - stream.extent)) && !is_const(a.extent);
    };
    for (const Axis &a : graph.axes) {
        const size_t place = std::find(batch.begin(), batch.end(), a.name) - batch.begin();
        lengths[a.name] = a.name == roles.query    ? problem.queries
                          : walks_stream(a)        ? problem.keys
                          : place == 0             ? problem.heads
                          : place == 1             ? problem.batch
                          : place < batch.size()   ? further(a.name)
                                                   : axis_size(graph, a.name, {});
    }
    find_inputs(instance.inputs, problem);
}

std::vector<int> AxisLengths::output(size_t n) const {
    std::vector<int> sizes;
    for (const std::string &a : graph.outputs.at(n).axes) {
        sizes.push_back(lengths.at(a));
    }
    return sizes;
}

double AxisLengths::dense_flops() const {
    double flops = 0;
    for (const Reduction &r : graph.reductions) {
        std::vector<std::string> axes = r.axes;
        axes.insert(axes.end(), r.over.begin(), r.over.end());
        bool columns = false;
        double points = 2;
        for (const std::string &a : axes) {
            points *= lengths.at(a);
            columns = columns || std::count(roles.features.begin(), roles.features.end(), a) ||
                      std::count(roles.inner.begin(), roles.inner.end(), a);
        }
        flops += columns ? points : 0;
    }
    return flops;
}

void AxisLengths::find_inputs(const std::vector<Parameter> &parameters, const Problem &problem) {
    std::map<std::string, Expr> known;
    for (const Parameter &p : parameters) {
        if (p.is_buffer()) {
            inputs[p.name()].sizes.assign(p.dimensions(), 0);
        } else if (p.type().is_int() && problem.scalars.count(p.name())) {
            known[p.name()] = int(problem.scalars.at(p.name()));
        } else if (p.type().is_int() && p.default_value().defined()) {
            known[p.name()] = p.default_value();
        }
    }
    const std::vector<const Call *> loads = FindLoads(graph).loads;
    const auto settle = [&](const Parameter &p, size_t n, int size) {
        int &now = inputs[p.name()].sizes[n];
        now = std::max(now, size);
        known[p.name() + ".extent." + std::to_string(n)] = now;
        known[p.name() + ".min." + std::to_string(n)] = 0;
    };
    // First what needs no other size; then quotients of heads; then what is computed.
    for (const Parameter &p : parameters) {
        for (int n = 0; p.is_buffer() && n < p.dimensions(); n++) {
            if (const auto size = declared_extent(p, n)) {
                settle(p, n, *size);
            }
        }
    }
    const auto for_each_open = [&](const auto &action) {
        for (const Call *load : loads) {
            for (size_t n = 0; n < load->args.size(); n++) {
                if (!declared_extent(load->param, int(n))) {
                    action(load, n, load->args[n]);
                }
            }
        }
    };
    for_each_open([&](const Call *load, size_t n, const Expr &index) {
        if (const Variable *v = index.as<Variable>(); v && lengths.count(v->name)) {
            settle(load->param, n, lengths.at(v->name));
        }
    });
    for_each_open([&](const Call *load, size_t n, const Expr &index) {
        if (!UsesLoad(index).load && expr_uses_var(index, load->param.name() + ".extent." + std::to_string(n))) {
            settle(load->param, n, problem.kv_heads);
        }
    });
    for_each_open([&](const Call *load, size_t n, const Expr &index) {
        const UsesLoad inner(index);
        const bool of_heads = expr_uses_var(index, load->param.name() + ".extent." + std::to_string(n));
        if (index.as<Variable>() || (!inner.load && of_heads)) {
            return;
        }
        if (!inner.load) {
            if (const auto last = greatest(index, lengths, known)) {
                settle(load->param, n, *last + 1);
            }
            return;
        }
        // An index that is read from another input: room for all elements that it can
        // name, once it names as many as the stream has.
        std::optional<int> &limit = inputs[inner.load->param.name()].greatest_index;
        // It may be clamped to the extent that is sought.
        for (int d = 0; d < load->param.dimensions(); d++) {
            for (const Parameter &p : parameters) {
                known.insert({p.name() + ".extent." + std::to_string(d), 1 << 30});
            }
        }
        const auto one = greatest(LoadsAs(0).mutate(index), lengths, known);
        const auto two = greatest(LoadsAs(1).mutate(index), lengths, known);
        if (one && two && *two > *one) {
            const int step = *two - *one;
            const int count = (problem.keys + step - 1) / step + 1;
            limit = std::min(limit.value_or(count - 1), count - 1);
            settle(load->param, n, *one + 1 + (count - 1) * step);
        }
    });
    for (const Parameter &p : parameters) {
        for (int n = 0; p.is_buffer() && n < p.dimensions(); n++) {
            if (inputs[p.name()].sizes[n] == 0) {
                strobe_user_error() << "the algorithm does not say how long dimension " << n << " of its input "
                                    << p.name() << " is: declare it (" << p.name() << ".dim(" << n
                                    << ").set_bounds(0, N)), or index it by an axis";
            }
        }
    }
}

}  // namespace strobe
