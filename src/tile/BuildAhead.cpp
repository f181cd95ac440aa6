#include "OperandTiles.h"
#include "PassBuilder.h"
#include "SumsAhead.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

/** Rows start from the sums over all chunks before their block, or over all, and the walk behind those. */
void PassBuilder::start_ahead() {
    const Axis &stream_axis = b.program.stream;
    StreamPass &pass = b.pass();
    const SumsAhead &ahead = *b.program.ahead;
    Expr chunks = ahead.chunk.extent;
    if (b.plan.second->whole) {
        // No element is left to walk.
        pass.mask = MaskVerdict();
        pass.mask.full = const_true();
        pass.mask.dead = const_false();
        pass.mask.contiguous = true;
        pass.mask.begin = simplify(stream_axis.min + stream_axis.extent);
    } else {
        const Expr row = Variable::make(Int(32), query + ".lo");
        chunks = min(max((row - stream_axis.min) / ahead.size, 0), chunks);
        pass.mask.begin = simplify(stream_axis.min + chunks * ahead.size);
    }
    pass.started = simplify(chunks > 0);
    for (const Moment &m : plan.moments) {
        add_sum_ahead(m);
    }
}

/** m = outside * sum over the features of rows * the sum ahead, where there is one. */
void PassBuilder::add_sum_ahead(const Moment &m) {
    StreamPass &pass = b.pass();
    const SumsAhead &ahead = *b.program.ahead;
    const SeparatedSum &s = b.plan.second->of(m.name);
    const Output &array = array_of(ahead, b.plan, m);
    const Expr chunk = b.plan.second->whole
                           ? ahead.chunk.extent - 1
                           : min((Variable::make(Int(32), query + ".lo") - b.program.stream.min) / ahead.size,
                                 ahead.chunk.extent) - 1;
    std::vector<Expr> at;
    std::set<std::string> axes = {s.axis};
    std::string feature;
    for (const std::string &a : array.axes) {
        const std::string own = a == ahead.program.query.name ? s.axis : a;
        at.push_back(a == ahead.chunk.name ? chunk : Variable::make(Int(32), own));
        if (ahead.program.column_sizes.count(a)) {
            feature = a;
            axes.insert(a);
        }
    }
    const std::string rows = operand_tile(b, {s.rows}, {query, s.axis}, s.rows.type(), s.score + ".rows");
    const auto if_started = [&](TileOp op) {
        op.when = TileOp::When::Partial;
        pass.prologue.push_back(op);
    };
    std::set<std::string> own = {query};
    if (!feature.empty()) {
        own.insert(feature);
    }
    const std::string sum = b.declare(b.unique("%" + array.name), array.type, axes);
    b.program.values.back().place = Place::Shared;
    b.declare(m.name, m.type, own);
    pass.prologue.push_back(fill_op(m.name, make_zero(m.type)));
    const Parameter memory(array.type, true, (int)at.size(), array.name);
    TileOp load = map_op(sum, Call::make(memory, at));
    load.kind = TileOp::Kind::Load;
    if_started(load);
    if (feature.empty()) {
        if_started(reduce_op(m.name, ReduceOp::Sum, s.axis, cast(m.type, b.ref(rows)) * b.ref(sum)));
    } else {
        if_started(contract_op(m.name, s.axis, rows, sum, m.type, false));
    }
    if (s.outside.defined()) {
        if_started(map_op(m.name, b.ref(m.name) * cast(m.type, over_loaded_tiles(b, s.outside))));
    }
}

}  // namespace strobe
