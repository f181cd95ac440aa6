#include "TileBuilder.h"

#include "OperandTiles.h"
#include "PrefixSum.h"
#include "schedule/AxisSize.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool contains(const std::vector<std::string> &list, const std::string &name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

/** Calls a function on every Variable. */
class EachVariable : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    const std::function<void(const std::string &)> &action;
    void visit(const Variable *op) override {
        action(op->name);
    }

public:
    explicit EachVariable(const std::function<void(const std::string &)> &action) : action(action) {
    }
};

void for_each_variable(const Expr &e, const std::function<void(const std::string &)> &action) {
    EachVariable visitor(action);
    if (e.defined()) {
        e.accept(&visitor);
    }
}

/** The grid: batch axes in the order that was chosen, else in that of the first output's dimensions. */
std::vector<Axis> grid_of(const ReductionGraph &graph, const Plan &plan, const Choices &choices) {
    std::vector<std::string> order;
    for (const std::string &a : choices.block_order) {
        if (contains(plan.roles.batch, a) && !contains(order, a)) {
            order.push_back(a);
        }
    }
    for (const Output &o : plan.outputs) {
        for (const std::string &a : o.axes) {
            if (contains(plan.roles.batch, a) && !contains(order, a)) {
                order.push_back(a);
            }
        }
    }
    std::vector<Axis> grid;
    for (const std::string &a : order) {
        grid.push_back(graph.axis(a));
    }
    return grid;
}

}  // namespace

TileBuilder::TileBuilder(const std::string &name, const ReductionGraph &graph, const Plan &plan, const Choices &choices,
                         const std::map<std::string, int> &sizes)
    : graph(graph), plan(plan), choices(choices), sizes(sizes) {
    strobe_internal_assert(choices.query_tile > 0 && choices.stream_tile > 0) << "tile sizes were not chosen";
    if (plan.roles.query.empty()) {
        strobe_user_error() << "In algorithm " << name << ": no axis of the outputs is free of the key side of its "
                            << "contractions, so there are no query rows to tile; add a query axis of extent 1.";
    }
    program.name = name;
    program.roles = plan.roles;
    program.grid = grid_of(graph, plan, choices);
    program.query = graph.axis(plan.roles.query);
    program.stream = graph.axis(plan.roles.stream);
    program.query_tile = choices.query_tile;
    program.stream_tile = choices.stream_tile;
    program.parts = choices.parts;
    program.query_descending = choices.query_descending;
    program.outputs = plan.outputs;
    for (const Reduction &r : graph.reductions) {
        names.insert("%" + r.name);
    }
    for (const Pass &p : plan.passes) {
        for (const Pivot &v : p.pivots) {
            names.insert(v.name);
        }
        for (const Moment &m : p.moments) {
            names.insert(m.name);
        }
    }
}

std::string TileBuilder::unique(const std::string &base) {
    std::string name = base;
    for (int i = 1; !names.insert(name).second; i++) {
        name = base + "." + std::to_string(i);
    }
    return name;
}

TileDim TileBuilder::dim(const std::string &axis) {
    if (axis == program.query.name) {
        return {axis, program.query_tile};
    }
    if (axis == program.stream.name) {
        return {axis, program.stream_tile};
    }
    add_column(axis);
    return {axis, size_of(axis)};
}

void TileBuilder::add_column(const std::string &axis) {
    const auto same = [&](const Axis &a) { return a.name == axis; };
    if (std::none_of(program.columns.begin(), program.columns.end(), same)) {
        program.columns.push_back(graph.axis(axis));
        program.column_sizes[axis] = size_of(axis);
    }
}

std::string TileBuilder::declare(const std::string &name, Type type, const std::set<std::string> &axes) {
    if (program.has_value(name)) {
        return name;  // the same value in a later pass
    }
    TileValue value;
    value.name = name;
    value.type = type;
    const bool rows = axes.count(program.query.name), columns = axes.count(program.stream.name);
    if (rows) {
        value.dims.push_back(dim(program.query.name));
    }
    if (columns) {
        value.dims.push_back(dim(program.stream.name));
    }
    for (const std::string &a : axes) {
        if (a != program.query.name && a != program.stream.name) {
            value.dims.push_back(dim(a));
        }
    }
    value.place = value.dims.size() > 1 ? Place::Fragment
                  : rows                ? Place::Row
                  : value.dims.empty()  ? Place::Uniform
                                        : Place::Column;
    program.values.push_back(value);
    return name;
}

Expr TileBuilder::ref(const std::string &name) const {
    return Variable::make(program.value(name).type, name);
}

std::set<std::string> TileBuilder::axes_in(const Expr &e) const {
    std::set<std::string> found;
    for_each_variable(e, [&](const std::string &name) {
        for (const Axis &a : graph.axes) {
            if (a.name == name) {
                found.insert(name);
            }
        }
        if (program.has_value(name)) {
            for (const TileDim &d : program.value(name).dims) {
                found.insert(d.axis);
            }
        }
    });
    return found;
}

std::set<std::string> TileBuilder::tile_axes_in(const Expr &e) const {
    std::set<std::string> axes = axes_in(e);
    for (const std::string &b : plan.roles.batch) {
        axes.erase(b);
    }
    return axes;
}

Expr TileBuilder::with_values(const Expr &e) const {
    return e.defined() ? substitute(computed_otherwise, e) : e;
}

int TileBuilder::size_of(const std::string &axis) const {
    return axis_size(graph, axis, sizes);
}

void TileBuilder::emit(const TileOp &op) {
    const std::vector<TileDim> &dims = program.value(op.dst).dims;
    const bool streamed =
        std::any_of(dims.begin(), dims.end(), [&](const TileDim &d) { return d.axis == program.stream.name; });
    (streamed ? pass().step : pass().prologue).push_back(op);
}

bool TileBuilder::is_feature(const std::string &axis) const {
    return axis != program.query.name && axis != program.stream.name && !contains(plan.roles.batch, axis);
}

void TileBuilder::begin_pass() {
    program.passes.emplace_back();
    step_loads.clear();
    walks_all = false;
    for (const std::string &name : plan.inner) {
        if (program.has_value("%" + name)) {
            for (const TileDim &d : program.value("%" + name).dims) {
                if (d.axis == program.stream.name) {
                    computed.erase(name);
                }
            }
        }
    }
    for (ComputedTile &t : operands) {
        t.current = t.current && !t.in_stream;
    }
    for (const LoadedTile &t : tiles) {
        if (t.in_stream) {
            loaded.erase(t.name);
        }
    }
}

void TileBuilder::end_pass() {
    pass().step.insert(pass().step.begin(), step_loads.begin(), step_loads.end());
}

std::string TileBuilder::load(const Call *call) {
    const Expr e(call);
    auto tile = std::find_if(tiles.begin(), tiles.end(), [&](const LoadedTile &t) { return graph_equal(t.call, e); });
    if (tile == tiles.end()) {
        const std::set<std::string> axes = tile_axes_in(e);
        const std::string name = declare(unique("%" + call->name), call->type, axes);
        program.values.back().place = Place::Shared;
        tiles.push_back({e, name, axes.count(program.stream.name) > 0});
        tile = tiles.end() - 1;
    }
    if (loaded.insert(tile->name).second) {
        TileOp op;
        op.kind = TileOp::Kind::Load;
        op.dst = tile->name;
        op.expr = e;
        (tile->in_stream ? step_loads : pass().prologue).push_back(op);
    }
    return tile->name;
}

std::string TileBuilder::computed_tile(const std::string &name, const Expr &value, const std::set<std::string> &axes) {
    auto tile = std::find_if(operands.begin(), operands.end(), [&](const ComputedTile &t) {
        return graph_equal(t.value, value) && t.axes == axes;
    });
    if (tile == operands.end()) {
        const std::string declared = declare(unique(name), value.type(), axes);
        program.values.back().place = Place::Shared;
        operands.push_back({value, axes, declared, axes.count(program.stream.name) > 0, false});
        tile = operands.end() - 1;
    }
    if (!tile->current) {
        tile->current = true;
        emit(map_op(tile->name, value));
    }
    return tile->name;
}

void TileBuilder::compute_inner(const Expr &e) {
    std::set<std::string> used;
    for_each_variable(e, [&](const std::string &name) { used.insert(name); });
    for (const std::string &name : plan.inner) {
        if (used.count("%" + name) && computed.insert(name).second) {
            const Reduction &r = graph.reduction(name);
            if (const std::optional<PrefixSum> prefix = as_prefix_sum(*this, r)) {
                build_prefix_sum(*this, r, *prefix);
            } else {
                refuse_walk_of_stream(*this, r);
                build_inner_reduction(*this, r);
            }
        }
    }
}

Type TileBuilder::operand_type(const std::vector<std::string> &funcs, Type own) const {
    for (const std::string &f : funcs) {
        auto chosen = choices.mma.find(f);
        if (chosen == choices.mma.end()) {
            continue;
        }
        if (chosen->second == "bf16") {
            return BFloat(16);
        } else if (chosen->second == "fp16") {
            return Float(16);
        } else if (chosen->second == "fp32") {
            return Float(32);
        } else if (chosen->second != "own") {
            strobe_user_error() << "In schedule for " << f << ": can't mma(" << chosen->second
                                << "): its operands can be bf16, fp16, fp32 or own.";
        }
        return own;
    }
    return own;
}

TileOp map_op(const std::string &dst, const Expr &e, TileOp::When when) {
    TileOp op;
    op.kind = TileOp::Kind::Map;
    op.when = when;
    op.dst = dst;
    op.expr = e;
    return op;
}

TileOp fill_op(const std::string &dst, const Expr &e) {
    TileOp op = map_op(dst, e);
    op.kind = TileOp::Kind::Fill;
    return op;
}

TileOp reduce_op(const std::string &dst, ReduceOp reduce, const std::string &axis, const Expr &e) {
    TileOp op = map_op(dst, e);
    op.kind = TileOp::Kind::Reduce;
    op.op = reduce;
    op.axis = axis;
    return op;
}

TileOp contract_op(const std::string &dst, const std::string &axis, const std::string &a, const std::string &b,
                   Type operand_type, bool accumulate) {
    TileOp op;
    op.kind = TileOp::Kind::Contract;
    op.dst = dst;
    op.axis = axis;
    op.a = a;
    op.b = b;
    op.operand_type = operand_type;
    op.accumulate = accumulate;
    return op;
}

TileOp store_op(const Output &output) {
    TileOp op;
    op.kind = TileOp::Kind::Store;
    op.dst = output.name;
    op.expr = cast(output.type, output.value);
    op.out_axes = output.axes;
    return op;
}

}  // namespace strobe
