#include "Elementwise.h"

#include "InputElements.h"
#include "Strips.h"
#include "VectorMath.h"
#include "support/Error.h"

#include <algorithm>
#include <set>

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool is_elementwise(const TileOp &op) {
    return op.kind == TileOp::Kind::Map || op.kind == TileOp::Kind::Fill || op.kind == TileOp::Kind::Reduce;
}

int size_of_axis(const Context &context, const std::string &axis) {
    const TileProgram &p = context.program;
    if (axis == p.stream.name) {
        return p.stream_tile;
    }
    if (axis == p.query.name) {
        return context.strips.rows;
    }
    int size = 0;
    for (const TileValue &v : p.values) {
        for (const TileDim &d : v.dims) {
            size = d.axis == axis ? d.size : size;
        }
    }
    return size;
}

/** An axis of \p op's dst that the inputs it reads are contiguous along, if that is not the one that its vectors
 * run along: else each lane would be a load of its own. */
std::string better_axis(const Context &context, const TileOp &op) {
    const TileStorage &dst = context.at(op.dst);
    const std::vector<const Call *> calls = input_elements(op.expr);
    for (const TileDim &d : dst.dims) {
        const bool whole = d.size % context.lanes == 0 && context.program.column_sizes.count(d.axis);
        const bool along = std::any_of(calls.begin(), calls.end(), [&](const Call *c) { return dimension_along(c, d.axis) == 0; });
        const bool already = std::any_of(calls.begin(), calls.end(), [&](const Call *c) { return dimension_along(c, dst.inner()) == 0; });
        if (d.axis != dst.inner() && whole && along && !already) {
            return d.axis;
        }
    }
    return "";
}

/** The dimensions that the op's loops run over, outermost first; vectors run along the last. A reduced axis goes
 * where the loop is that a lane's sum is kept in a register for, or last, if nothing else is left to run along. */
std::vector<TileDim> loop_dims(const Context &context, const TileOp &op) {
    std::vector<TileDim> dims = context.at(op.dst).dims;
    if (op.kind != TileOp::Kind::Reduce) {
        return dims;
    }
    const TileDim reduced{op.axis, size_of_axis(context, op.axis)};
    if (!is_of_rows(context.program, op)) {
        dims.push_back(reduced);
        return dims;
    }
    const std::string better = better_axis(context, op);
    if (!better.empty()) {
        std::stable_partition(dims.begin(), dims.end(), [&](const TileDim &d) { return d.axis != better; });
    }
    dims.insert(dims.end() - 1, reduced);
    return dims;
}

bool same_dims(const std::vector<TileDim> &a, const std::vector<TileDim> &b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const TileDim &x, const TileDim &y) {
        return x.axis == y.axis && x.size == y.size;
    });
}

/** Finds the tile values an Expr reads and whether it loads inputs along an axis. */
class Uses : public IRVisitor {
    using IRVisitor::visit;
    const Context &context;
    void visit(const Variable *op) override {
        if (!op->param.defined() && context.program.has_value(op->name)) {
            values.insert(op->name);
        }
    }
    void visit(const Call *op) override {
        loads_input |= op->call_type == Call::Image;
        IRVisitor::visit(op);
    }

public:
    std::set<std::string> values;
    bool loads_input = false;
    Uses(const Context &c, const Expr &e)
        : context(c) {
        if (e.defined()) {
            e.accept(this);
        }
    }
};

VectorReduce::Operator vector_operator(ReduceOp op, bool boolean) {
    switch (op) {
    case ReduceOp::Sum:
        return VectorReduce::Add;
    case ReduceOp::Product:
        return VectorReduce::Mul;
    case ReduceOp::Max:
        return VectorReduce::Max;
    case ReduceOp::Min:
        return VectorReduce::Min;
    case ReduceOp::And:
        return boolean ? VectorReduce::Min : VectorReduce::And;
    case ReduceOp::Or:
        return boolean ? VectorReduce::Max : VectorReduce::Or;
    }
    return VectorReduce::Add;
}

/** Exprs this large are computed for so many vectors at once, so that they need not wait for each other. */
int vectors_at_once(const std::vector<TileOp> &ops, int available) {
    class Nodes : public IRVisitor {
    public:
        int count = 0;
        using IRVisitor::visit;
        void visit(const Call *op) override {
            count += op->is_pure() && op->args.size() == 1 ? 15 : 1;  // a polynomial
            IRVisitor::visit(op);
        }
        void visit(const Add *op) override { count++, IRVisitor::visit(op); }
        void visit(const Sub *op) override { count++, IRVisitor::visit(op); }
        void visit(const Mul *op) override { count++, IRVisitor::visit(op); }
        void visit(const Div *op) override { count++, IRVisitor::visit(op); }
        void visit(const Select *op) override { count++, IRVisitor::visit(op); }
        void visit(const Min *op) override { count++, IRVisitor::visit(op); }
        void visit(const Max *op) override { count++, IRVisitor::visit(op); }
    } nodes;
    for (const TileOp &op : ops) {
        if (op.expr.defined()) {
            op.expr.accept(&nodes);
        }
    }
    const int most = nodes.count <= 60 ? 4 : nodes.count <= 120 ? 2 : 1;
    return std::max(1, std::min(most, available));
}

class GroupLowering {
    const Context &context;
    const std::vector<TileOp> &ops;
    const std::vector<TileDim> dims;
    bool across = false;      // lanes are elements of the reduced axis
    std::vector<std::string> counters;
    std::string lane = unique_name("lane"), vector = unique_name("vector");

    using Ops = std::vector<const TileOp *>;

    std::vector<std::string> clamped(const TileOp &op, bool beyond) const;
    Stmt one_vector(const Ops &active, const Expr &index, bool tail, int slot = 0);
    Stmt reduce_step(const TileOp &op, const Point &point, bool tail, int slot);
    Stmt with_accumulators(const Ops &active, const Expr &first, int vectors, const Stmt &body);
    Stmt vectors_across(const Ops &active);
    Stmt vectors_along(const Ops &active, const Expr &first, int vectors);
    Stmt all_along(const Ops &active);
    Point outer_point() const;
    Stmt nest(const Ops &active);

    std::string accumulator(const TileOp &op) const {
        return op.dst + ".acc";
    }
    size_t inner_loop() const {
        return dims.size() - 2;
    }

public:
    GroupLowering(const Context &c, const std::vector<TileOp> &group)
        : context(c), ops(group), dims(loop_dims(c, group.front())) {
        for (const TileOp &op : ops) {
            across |= op.kind == TileOp::Kind::Reduce && op.axis == dims.back().axis;
        }
        for (size_t k = 0; k + 1 < dims.size(); k++) {
            counters.push_back(unique_name(dims[k].axis + ".at"));
        }
    }

    Stmt lower(const Expr &full);
};

Point GroupLowering::outer_point() const {
    Point point;
    for (size_t k = 0; k + 1 < dims.size(); k++) {
        point[dims[k].axis].at = Variable::make(Int(32), counters[k]);
    }
    return point;
}

/** The axis along which addresses of input elements must be kept inside the domain. */
std::vector<std::string> GroupLowering::clamped(const TileOp &op, bool beyond) const {
    const bool loads = Uses(context, op.expr).loads_input;
    return beyond && loads ? std::vector<std::string>{dims.back().axis} : std::vector<std::string>{};
}

Stmt GroupLowering::reduce_step(const TileOp &op, const Point &point, bool tail, int slot) {
    const TileStorage &dst = context.at(op.dst);
    const Coord &inner = point.at(dims.back().axis);
    Expr value = context.evaluate(op.expr, point, clamped(op, tail || !across));
    if (tail) {
        value = select(inner.value(context.lanes) < context.valid(dims.back()), value, identity_of(op.op, value.type()));
    }
    const Expr index = slot * context.lanes + inner.lane;
    Expr old = Load::make(dst.type, accumulator(op), index, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
    if (dst.rounded_to.is_bool()) {
        value = combine(op.op, old != make_zero(dst.type), value);
    } else {
        value = combine(op.op, old, cast(dst.type, value));
    }
    return Store::make(accumulator(op), cast(dst.type, strictify_float(value)), index, Parameter(), const_true(),
                       ModulusRemainder());
}

Stmt GroupLowering::one_vector(const Ops &active, const Expr &index, bool tail, int slot) {
    Point point = outer_point();
    point[dims.back().axis] = Coord{Expr(), index, Variable::make(Int(32), lane)};
    std::vector<Stmt> body;
    for (const TileOp *op : active) {
        body.push_back(op->kind == TileOp::Kind::Reduce ?
                           reduce_step(*op, point, tail, slot) :
                           store_element(context.at(op->dst), point, context.evaluate(op->expr, point, clamped(*op, tail || !across))));
    }
    return make_loop(lane, context.lanes, Block::make(body), ForType::Vectorized);
}

/** Around \p body, which adds elements to the reductions' accumulators, a lane each for so many vectors. */
Stmt GroupLowering::with_accumulators(const Ops &active, const Expr &first, int vectors, const Stmt &body) {
    const int lanes = context.lanes, all = vectors * lanes;
    Stmt s = body;
    for (const TileOp *op : active) {
        if (op->kind != TileOp::Kind::Reduce) {
            continue;
        }
        const TileStorage &dst = context.at(op->dst);
        const bool boolean = dst.rounded_to.is_bool();
        Expr identity = boolean ? cast(dst.type, identity_of(op->op, Bool())) : identity_of(op->op, dst.type);
        std::vector<Stmt> init, last;
        for (int v = 0; v < vectors; v++) {
            const Expr ramp = Ramp::make(v * lanes, 1, lanes);
            init.push_back(Store::make(accumulator(*op), Broadcast::make(identity, lanes), ramp, Parameter(),
                                       const_true(lanes), ModulusRemainder()));
            if (across) {
                Expr sum = Load::make(dst.type.with_lanes(lanes), accumulator(*op), ramp, Buffer<>(), Parameter(),
                                      const_true(lanes), ModulusRemainder());
                Expr value = VectorReduce::make(vector_operator(op->op, boolean), sum, 1);
                last.push_back(store_element(dst, outer_point(), boolean ? value != make_zero(dst.type) : value));
            } else {
                const std::string at = unique_name("lane");
                Point point = outer_point();
                point[dims.back().axis] = Coord{Expr(), simplify(first + v), Variable::make(Int(32), at)};
                Expr value = Load::make(dst.type, accumulator(*op), v * lanes + Variable::make(Int(32), at), Buffer<>(),
                                        Parameter(), const_true(), ModulusRemainder());
                last.push_back(make_loop(at, lanes, store_element(dst, point, boolean ? value != make_zero(dst.type) : value),
                                         ForType::Vectorized));
            }
        }
        s = Block::make({Block::make(init), s, Block::make(last)});
        s = Allocate::make(accumulator(*op), dst.type, MemoryType::Stack, {all}, const_true(), s);
    }
    return s;
}

/** Lanes run along the reduced axis: whole vectors, then one that may run beyond the domain. */
Stmt GroupLowering::vectors_across(const Ops &active) {
    const Expr count = context.valid(dims.back());
    const int lanes = context.lanes;
    Stmt s = make_loop(vector, simplify(count / lanes), one_vector(active, Variable::make(Int(32), vector), false));
    const Expr rest = simplify(count % lanes != 0);
    if (!is_const_zero(rest)) {
        Stmt tail = LetStmt::make(vector, count / lanes, one_vector(active, Variable::make(Int(32), vector), true));
        s = Block::make(s, IfThenElse::make(rest, tail));
    }
    return with_accumulators(active, 0, 1, s);
}

/** So many vectors side by side, the loop before the last around them. */
Stmt GroupLowering::vectors_along(const Ops &active, const Expr &first, int vectors) {
    std::vector<Stmt> body;
    for (int v = 0; v < vectors; v++) {
        body.push_back(one_vector(active, simplify(first + v), false, v));
    }
    Stmt s = Block::make(body);
    if (dims.size() > 1) {
        s = make_loop(counters[inner_loop()], context.valid(dims[inner_loop()]), s);
    }
    return with_accumulators(active, first, vectors, s);
}

/** Groups of vectors, then single ones. Lanes beyond the domain are computed and dropped. */
Stmt GroupLowering::all_along(const Ops &active) {
    const int lanes = context.lanes;
    const Expr count = simplify((context.valid(dims.back()) + (lanes - 1)) / lanes), at = Variable::make(Int(32), vector);
    const int side_by_side = vectors_at_once(ops, (dims.back().size + lanes - 1) / lanes);
    if (side_by_side == 1) {
        return make_loop(vector, count, vectors_along(active, at, 1));
    }
    const std::string more = unique_name("vector");
    const Expr whole = simplify(count / side_by_side), rest = simplify(count % side_by_side);
    Stmt s = make_loop(vector, whole, vectors_along(active, at * side_by_side, side_by_side));
    if (!is_const_zero(rest)) {
        s = Block::make(s, make_loop(more, rest, vectors_along(active, whole * side_by_side + Variable::make(Int(32), more), 1)));
    }
    return s;
}

/** The loops around the vectors. */
Stmt GroupLowering::nest(const Ops &active) {
    Stmt s = across ? vectors_across(active) : all_along(active);
    const size_t done = across || dims.size() < 2 ? dims.size() - 1 : dims.size() - 2;
    for (size_t k = done; k-- > 0;) {
        s = make_loop(counters[k], context.valid(dims[k]), s);
    }
    if (dims.back().axis == context.at(ops.front().dst).inner() || across) {
        return s;
    }
    // Vectors run along where the inputs are expected to be contiguous.
    const TileOp &op = ops.front();
    for (const Call *call : input_elements(op.expr)) {
        if (dimension_along(call, dims.back().axis) == 0) {
            const Expr stride = context.stride_of(call, 0);
            s = IfThenElse::make(stride == 1, substitute(stride, 1, s), s);
        }
    }
    return s;
}

Stmt GroupLowering::lower(const Expr &full) {
    if (dims.empty()) {
        std::vector<Stmt> stmts;
        for (const TileOp &op : ops) {
            Stmt s = store_element(context.at(op.dst), Point(), context.evaluate(op.expr, Point(), {}));
            stmts.push_back(op.when == TileOp::When::Partial ? IfThenElse::make(!full, s) : s);
        }
        return Block::make(stmts);
    }
    std::vector<const TileOp *> all, always;
    for (const TileOp &op : ops) {
        all.push_back(&op);
        if (op.when == TileOp::When::Always) {
            always.push_back(&op);
        }
    }
    if (always.size() == all.size()) {
        return nest(all);
    }
    if (always.empty()) {
        return IfThenElse::make(!full, nest(all));
    }
    return IfThenElse::make(full, nest(always), nest(all));
}

}  // namespace

size_t group_length(const Context &context, const std::vector<TileOp> &ops, size_t first) {
    const std::vector<TileDim> dims = loop_dims(context, ops[first]);
    const bool of_rows = is_of_rows(context.program, ops[first]);
    std::set<std::string> reduced, read;
    size_t n = 0;
    for (size_t k = first; k < ops.size() && is_elementwise(ops[k]); k++, n++) {
        const Uses uses(context, ops[k].expr);
        const bool reads_reduced = std::any_of(uses.values.begin(), uses.values.end(), [&](const std::string &v) { return reduced.count(v); });
        const bool is_reduce = ops[k].kind == TileOp::Kind::Reduce;
        if (!same_dims(dims, loop_dims(context, ops[k])) || is_of_rows(context.program, ops[k]) != of_rows || reads_reduced || reduced.count(ops[k].dst) ||
            (is_reduce && read.count(ops[k].dst))) {
            break;
        }
        read.insert(uses.values.begin(), uses.values.end());
        if (is_reduce) {
            reduced.insert(ops[k].dst);
        }
    }
    return std::max<size_t>(n, 1);
}

Stmt lower_group(const Context &context, const std::vector<TileOp> &group, const Expr &full) {
    return GroupLowering(context, group).lower(full);
}

Stmt lower_scan(const Context &context, const TileOp &op) {
    const TileStorage &dst = context.at(op.dst);
    const bool vectors = is_of_rows(context.program, op) && op.axis != dst.inner();
    const std::string lane = unique_name("lane"), total = unique_name("scan");
    const int lanes = vectors ? context.lanes : 1;
    const Expr slot = vectors ? Variable::make(Int(32), lane) : Expr(0);
    Point point;
    std::vector<std::pair<std::string, Expr>> loops;
    for (const TileDim &d : dst.dims) {
        const std::string at = unique_name(d.axis + ".at");
        Expr count = context.valid(d);
        point[d.axis].at = Variable::make(Int(32), at);
        if (vectors && d.axis == dst.inner()) {
            point[d.axis] = Coord{Expr(), Variable::make(Int(32), at), slot};
            count = simplify((count + (lanes - 1)) / lanes);
        }
        // The scanned axis innermost.
        loops.insert(d.axis == op.axis ? loops.end() : loops.begin(), {at, count});
    }
    auto wide = [&](const Stmt &s) { return vectors ? make_loop(lane, lanes, s, ForType::Vectorized) : s; };
    auto add = [&](const Expr &value) {
        return Store::make(total, value, slot, Parameter(), const_true(), ModulusRemainder());
    };
    const std::vector<std::string> clamped = vectors ? std::vector<std::string>{dst.inner()} : std::vector<std::string>{};
    const Expr so_far = Load::make(dst.type, total, slot, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
    const Expr value = cast(dst.type, context.evaluate(op.expr, point, clamped));
    Stmt s = wide(Block::make(add(strictify_float(combine(op.op, so_far, value))), store_element(dst, point, so_far)));
    s = make_loop(loops.back().first, loops.back().second, s);
    s = Block::make(wide(add(cast(dst.type, identity_of(op.op, dst.rounded_to)))), s);
    s = Allocate::make(total, dst.type, MemoryType::Stack, {lanes}, const_true(), s);
    for (size_t k = loops.size() - 1; k-- > 0;) {
        s = make_loop(loops[k].first, loops[k].second, s);
    }
    return s;
}

}  // namespace strobe::cpu
