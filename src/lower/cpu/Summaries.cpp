#include "Summaries.h"

#include "lower/SummaryTables.h"

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

Expr var(const std::string &name) {
    return Variable::make(Int(32), name);
}

Expr load_from(const std::string &array, Type t, const Expr &index) {
    return Load::make(t, array, index, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
}

Stmt store_to(const std::string &array, const Expr &value, const Expr &index) {
    return Store::make(array, value, index, Parameter(), const_true(), ModulusRemainder());
}

/** The summary's value at a position of its axis. */
Expr value_at(const Context &context, const Summary &s, const Expr &position) {
    const Call *call = s.load.as<Call>();
    if (!call || call->call_type != Call::Image) {
        return context.evaluate(substitute(s.axis, position, s.load), {}, {});
    }
    std::vector<Expr> args;
    for (const Expr &a : call->args) {
        args.push_back(context.coordinates(substitute(s.axis, position, a), {}, {}));
    }
    return context.load_input(call, args);
}

/** Reduces the summary's load over [lo, hi] into array.min and array.max at \p index. */
Stmt reduce_range(const Context &context, const Summary &s, const Expr &lo, const Expr &hi, const Expr &index) {
    const Type t = s.load.type();
    const std::string step = unique_name(s.axis + ".at");
    const std::string low = s.name + ".min.tile", high = s.name + ".max.tile", element = unique_name("element");
    const Expr x = Variable::make(t, element);
    Stmt update = Block::make(store_to(low, min(load_from(low, t, index), x), index),
                              store_to(high, max(load_from(high, t, index), x), index));
    update = LetStmt::make(element, value_at(context, s, lo + var(step)), update);
    return Block::make({store_to(low, t.max(), index), store_to(high, t.min(), index),
                        make_loop(step, hi - lo + 1, update)});
}

Stmt allocate(const Summary &s, const Expr &count, MemoryType where, const Stmt &body) {
    Stmt result = body;
    for (const char *which : {".min.tile", ".max.tile"}) {
        result = Allocate::make(s.name + which, s.load.type(), where, {count}, const_true(), result);
    }
    return result;
}

Stmt define(const Summary &s, const Expr &index, const Stmt &body) {
    const Type t = s.load.type();
    Stmt result = LetStmt::make(s.name + ".min", load_from(s.name + ".min.tile", t, index), body);
    return LetStmt::make(s.name + ".max", load_from(s.name + ".max.tile", t, index), result);
}

}  // namespace

Stmt with_stream_summaries(const Context &context, const Stmt &body) {
    const TileProgram &p = context.program;
    Stmt result = body;
    for (const Summary &s : summaries_of(p)) {
        if (s.axis != p.stream.name) {
            continue;
        }
        const std::string tile = unique_name(s.axis + ".tile");
        const Expr t = var(tile);
        const Expr lo = p.stream.min + t * p.stream_tile;
        const Expr hi = min(lo + p.stream_tile, p.stream.min + p.stream.extent) - 1;
        Stmt loops = make_loop(tile, stream_tiles(p), reduce_range(context, s, lo, hi, table_entry(s, p, t)));
        for (const Axis &a : axes_of(s, p)) {
            const std::string at = unique_name(a.name + ".at");
            loops = make_loop(at, a.extent, LetStmt::make(a.name, a.min + var(at), loops));
        }
        result = allocate(s, table_size(s, p), MemoryType::Heap, Block::make(loops, result));
    }
    return result;
}

Stmt with_query_summaries(const Context &context, const Stmt &body) {
    const TileProgram &p = context.program;
    Stmt result = body;
    for (const Summary &s : summaries_of(p)) {
        if (s.axis != p.query.name) {
            continue;
        }
        Stmt compute = reduce_range(context, s, var(p.query.name + ".lo"), var(p.query.name + ".hi"), 0);
        result = allocate(s, 1, MemoryType::Stack, Block::make(compute, define(s, 0, result)));
    }
    return result;
}

Stmt with_tile_summaries(const Context &context, const Expr &tile, const Stmt &body) {
    Stmt result = body;
    for (const Summary &s : summaries_of(context.program)) {
        if (s.axis == context.program.stream.name) {
            result = define(s, table_entry(s, context.program, tile), result);
        }
    }
    return result;
}

}  // namespace strobe::cpu
