#include "Elementwise.h"

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

/** The dimensions that the op's loops run over, outermost first. */
std::vector<TileDim> loop_dims(const Context &context, const TileOp &op) {
    std::vector<TileDim> dims = context.at(op.dst).dims;
    if (op.kind != TileOp::Kind::Reduce) {
        return dims;
    }
    // The reduced axis goes innermost: it is where the scores are contiguous.
    const TileProgram &p = context.program;
    int size = 0;
    if (op.axis == p.stream.name) {
        size = p.stream_tile;
    } else if (op.axis == p.query.name) {
        size = p.query_tile;
    } else {
        for (const TileValue &v : p.values) {
            for (const TileDim &d : v.dims) {
                size = d.axis == op.axis ? d.size : size;
            }
        }
    }
    dims.push_back({op.axis, size});
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

class GroupLowering {
    const Context &context;
    const std::vector<TileOp> &ops;
    const std::vector<TileDim> dims;
    bool split_tail = false;  // whole vectors first, then one that may run beyond the domain
    std::vector<std::string> counters;
    std::string lane = unique_name("lane"), vector = unique_name("vector");

    Stmt innermost(const std::vector<const TileOp *> &active);
    Stmt one_vector(const std::vector<const TileOp *> &active, const Expr &index, bool tail);
    Stmt reduce_step(const TileOp &op, const Point &point, bool tail);
    Point outer_point() const;
    Stmt nest(const std::vector<const TileOp *> &active);

    std::string accumulator(const TileOp &op) const {
        return op.dst + ".acc";
    }

public:
    GroupLowering(const Context &c, const std::vector<TileOp> &group)
        : context(c), ops(group), dims(loop_dims(c, group.front())) {
        for (const TileOp &op : ops) {
            split_tail |= op.kind == TileOp::Kind::Reduce || Uses(context, op.expr).loads_input;
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

Stmt GroupLowering::reduce_step(const TileOp &op, const Point &point, bool tail) {
    const TileStorage &dst = context.at(op.dst);
    const Coord &inner = point.at(dims.back().axis);
    Expr value = context.evaluate(op.expr, point, tail ? std::vector<std::string>{dims.back().axis} : std::vector<std::string>{});
    if (tail) {
        value = select(inner.value(context.lanes) < context.valid(dims.back()), value, identity_of(op.op, value.type()));
    }
    Expr old = Load::make(dst.type, accumulator(op), inner.lane, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
    if (dst.rounded_to.is_bool()) {
        value = combine(op.op, old != make_zero(dst.type), value);
    } else {
        value = combine(op.op, old, cast(dst.type, value));
    }
    return Store::make(accumulator(op), cast(dst.type, strictify_float(value)), inner.lane, Parameter(), const_true(),
                       ModulusRemainder());
}

Stmt GroupLowering::one_vector(const std::vector<const TileOp *> &active, const Expr &index, bool tail) {
    Point point = outer_point();
    point[dims.back().axis] = Coord{Expr(), index, Variable::make(Int(32), lane)};
    const std::vector<std::string> clamped = tail ? std::vector<std::string>{dims.back().axis} : std::vector<std::string>{};
    std::vector<Stmt> body;
    for (const TileOp *op : active) {
        body.push_back(op->kind == TileOp::Kind::Reduce ?
                           reduce_step(*op, point, tail) :
                           store_element(context.at(op->dst), point, context.evaluate(op->expr, point, clamped)));
    }
    return make_loop(lane, context.lanes, Block::make(body), ForType::Vectorized);
}

Stmt GroupLowering::innermost(const std::vector<const TileOp *> &active) {
    const Expr count = context.valid(dims.back());
    const int lanes = context.lanes;
    const Expr index = Variable::make(Int(32), vector);
    if (!split_tail) {
        return make_loop(vector, simplify((count + (lanes - 1)) / lanes), one_vector(active, index, false));
    }
    Stmt s = make_loop(vector, simplify(count / lanes), one_vector(active, index, false));
    const Expr rest = simplify(count % lanes != 0);
    if (!is_const_zero(rest)) {
        Stmt tail = LetStmt::make(vector, count / lanes, one_vector(active, index, true));
        s = Block::make(s, IfThenElse::make(rest, tail));
    }
    return s;
}

/** The loops around the vectors, with the reductions' accumulators per row. */
Stmt GroupLowering::nest(const std::vector<const TileOp *> &active) {
    Stmt s = innermost(active);
    const int lanes = context.lanes;
    for (const TileOp *op : active) {
        if (op->kind != TileOp::Kind::Reduce) {
            continue;
        }
        const TileStorage &dst = context.at(op->dst);
        const Expr ramp = Ramp::make(0, 1, lanes);
        Expr identity = dst.rounded_to.is_bool() ? cast(dst.type, identity_of(op->op, Bool())) : identity_of(op->op, dst.type);
        Stmt init = Store::make(accumulator(*op), Broadcast::make(identity, lanes), ramp, Parameter(),
                                const_true(lanes), ModulusRemainder());
        Expr all = Load::make(dst.type.with_lanes(lanes), accumulator(*op), ramp, Buffer<>(), Parameter(), const_true(lanes), ModulusRemainder());
        Expr value = VectorReduce::make(vector_operator(op->op, dst.rounded_to.is_bool()), all, 1);
        Stmt last = store_element(dst, outer_point(), dst.rounded_to.is_bool() ? value != make_zero(dst.type) : value);
        s = Block::make({init, s, last});
        s = Allocate::make(accumulator(*op), dst.type, MemoryType::Stack, {lanes}, const_true(), s);
    }
    for (size_t k = dims.size() - 1; k-- > 0;) {
        s = make_loop(counters[k], context.valid(dims[k]), s);
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
    std::set<std::string> reduced, read;
    size_t n = 0;
    for (size_t k = first; k < ops.size() && is_elementwise(ops[k]); k++, n++) {
        const Uses uses(context, ops[k].expr);
        const bool reads_reduced = std::any_of(uses.values.begin(), uses.values.end(), [&](const std::string &v) { return reduced.count(v); });
        const bool is_reduce = ops[k].kind == TileOp::Kind::Reduce;
        if (!same_dims(dims, loop_dims(context, ops[k])) || reads_reduced || reduced.count(ops[k].dst) ||
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
    Point point;
    std::vector<std::pair<std::string, Expr>> loops;
    for (const TileDim &d : dst.dims) {
        const std::string at = unique_name(d.axis + ".at");
        point[d.axis].at = Variable::make(Int(32), at);
        // The scanned axis innermost.
        loops.insert(d.axis == op.axis ? loops.end() : loops.begin(), {at, context.valid(d)});
    }
    const std::string total = unique_name("scan");
    const Expr so_far = Load::make(dst.type, total, 0, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
    const Expr value = cast(dst.type, context.evaluate(op.expr, point, {}));
    Stmt s = Block::make(Store::make(total, strictify_float(combine(op.op, so_far, value)), 0, Parameter(),
                                     const_true(), ModulusRemainder()),
                         store_element(dst, point, so_far));
    s = make_loop(loops.back().first, loops.back().second, s);
    s = Block::make(Store::make(total, cast(dst.type, identity_of(op.op, dst.rounded_to)), 0, Parameter(), const_true(),
                                ModulusRemainder()),
                    s);
    s = Allocate::make(total, dst.type, MemoryType::Stack, {1}, const_true(), s);
    for (size_t k = loops.size() - 1; k-- > 0;) {
        s = make_loop(loops[k].first, loops[k].second, s);
    }
    return s;
}

}  // namespace strobe::cpu
