#include "AxisSize.h"

#include "support/Error.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Replaces "<buffer>.extent.<d>" by the constant its buffer declares, if it does. */
class DeclaredExtents : public IRMutator {
    using IRMutator::visit;
    const bool estimates;

    Expr visit(const Variable *op) override {
        if (!op->param.defined() || !op->param.is_buffer()) {
            return op;
        }
        for (int d = 0; d < op->param.dimensions(); d++) {
            if (op->name == op->param.name() + ".extent." + std::to_string(d)) {
                Expr e = op->param.extent_constraint(d);
                if (!e.defined() && estimates) {
                    e = op->param.extent_constraint_estimate(d);
                }
                return e.defined() ? e : Expr(op);
            }
        }
        return op;
    }

public:
    explicit DeclaredExtents(bool estimates) : estimates(estimates) {
    }
};

std::optional<int64_t> declared_extent(const Expr &extent, bool estimates) {
    return as_const_int(simplify(DeclaredExtents(estimates).mutate(extent)));
}

/** The dimensions of inputs that are indexed by just this axis. */
class IndexedInputs : public IRVisitor {
    using IRVisitor::visit;
    const std::string &axis;

    void visit(const Call *op) override {
        IRVisitor::visit(op);
        if (op->call_type != Call::Image) {
            return;
        }
        for (size_t d = 0; d < op->args.size(); d++) {
            const Variable *v = op->args[d].as<Variable>();
            if (!v || v->name != axis) {
                continue;
            }
            if (op->param.defined()) {
                uses.push_back({op->param, (int)d});
            } else if (op->image.defined()) {
                fixed = op->image.dim((int)d).extent();
            }
        }
    }

public:
    std::vector<std::pair<Parameter, int>> uses;
    std::optional<int64_t> fixed;

    IndexedInputs(const ReductionGraph &graph, const std::string &axis) : axis(axis) {
        for (const Reduction &r : graph.reductions) {
            r.body.accept(this);
        }
        for (const Output &o : graph.outputs) {
            o.value.accept(this);
        }
    }
};

[[noreturn]] void refuse(const std::string &axis, const Expr &extent, const IndexedInputs &inputs) {
    std::ostringstream how;
    for (const auto &use : inputs.uses) {
        how << (how.tellp() > 0 ? " or " : " ") << use.first.name() << ".dim(" << use.second << ").set_bounds(0, D)";
    }
    if (how.tellp() == 0) {
        how << " the bounds of the dimension";
    }
    strobe_user_error() << "The size of axis " << axis << " (" << extent
                        << ") must be a constant, because tiles hold the whole axis; declare" << how.str()
                        << " or give the axis an estimate.";
}

}  // namespace

std::optional<int64_t> declared_size(const ReductionGraph &graph, const std::string &axis, bool estimates) {
    if (auto size = declared_extent(graph.axis(axis).extent, estimates)) {
        return size;
    }
    const IndexedInputs inputs(graph, axis);
    for (const auto &use : inputs.uses) {
        Expr e = use.first.extent_constraint(use.second);
        if (!e.defined() && estimates) {
            e = use.first.extent_constraint_estimate(use.second);
        }
        if (auto size = e.defined() ? declared_extent(e, estimates) : std::nullopt) {
            return size;
        }
    }
    return inputs.fixed;
}

int axis_size(const ReductionGraph &graph, const std::string &axis, const std::map<std::string, int> &sizes) {
    auto given = sizes.find(axis);
    if (given != sizes.end()) {
        return given->second;
    }
    for (bool estimates : {false, true}) {
        if (auto size = declared_size(graph, axis, estimates)) {
            return (int)*size;
        }
    }
    refuse(axis, graph.axis(axis).extent, IndexedInputs(graph, axis));
}

}  // namespace strobe
