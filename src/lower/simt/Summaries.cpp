#include "Summaries.h"

#include "Elementwise.h"
#include "lower/SummaryTables.h"

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

Expr var(const std::string &name) {
    return Variable::make(Int(32), name);
}

std::string part(const Summary &s, const char *which) {
    return s.name + "." + which;
}

/** The summary's value at a position of its axis. */
Expr value_at(const Context &context, const Summary &s, const Expr &position) {
    const Call *call = s.load.as<Call>();
    if (!call || call->call_type != Call::Image) {
        return context.evaluate(substitute(s.axis, position, s.load), {});
    }
    std::vector<Expr> args;
    for (const Expr &a : call->args) {
        args.push_back(context.evaluate(substitute(s.axis, position, a), {}));
    }
    return context.load_input(call, args);
}

/** Each thread reduces every threads-th element from lo to hi; one combines them all
 * into \p result at \p index and behind it. */
Stmt reduce_range(const Context &context, const Summary &s, int threads, const Expr &lo, const Expr &hi, int most,
                  const std::string &result, const Expr &index) {
    const Type t = s.load.type();
    const std::string low = part(s, "low"), high = part(s, "high"), element = unique_name("element");
    const Expr x = Variable::make(t, element);
    const Stmt update = Block::make(store_at(low, min(load_at(low, t, thread()), x), thread()),
                                    store_at(high, max(load_at(high, t, thread()), x), thread()));
    const Stmt walk = serial_loop(s.axis + ".at", (most + threads - 1) / threads, [&](const Expr &turn) {
        return LetStmt::make(element, value_at(context, s, min(lo + turn * threads + thread(), hi)), update);
    });
    const Stmt parts =
        each_thread(threads, Block::make({store_at(low, t.max(), thread()), store_at(high, t.min(), thread()), walk}));
    return Block::make({parts, reduce_over_threads(context, ReduceOp::Min, low, t, threads, result, index),
                        reduce_over_threads(context, ReduceOp::Max, high, t, threads, result, index + 1)});
}

Stmt with_parts(const Summary &s, int threads, const Stmt &body) {
    const Type t = s.load.type();
    return allocate_shared(part(s, "low"), t, threads, allocate_shared(part(s, "high"), t, threads, body));
}

Stmt define(const Summary &s, const std::string &array, const Expr &index, const Stmt &body) {
    const Type t = s.load.type();
    const Stmt least = LetStmt::make(s.name + ".min", load_at(array, t, index), body);
    return LetStmt::make(s.name + ".max", load_at(array, t, index + 1), least);
}

}  // namespace

std::string table_of(const Summary &summary) {
    return summary.name + ".table";
}

Stmt allocate_shared(const std::string &name, Type type, int64_t elements, const Stmt &body) {
    return Allocate::make(name, type, MemoryType::GPUShared, {make_const(Int(32), elements)}, const_true(), body);
}

Stmt summary_block(const Context &context, const Summary &s, const std::string &entry) {
    const TileProgram &p = context.program;
    const Expr tile = var(entry) % stream_tiles(p);
    const Expr lo = p.stream.min + tile * p.stream_tile;
    const Expr hi = min(lo + p.stream_tile, p.stream.min + p.stream.extent) - 1;
    Stmt result =
        with_parts(s, summary_threads,
                   reduce_range(context, s, summary_threads, lo, hi, p.stream_tile, table_of(s), var(entry) * 2));
    Expr rest = var(entry) / stream_tiles(p);
    for (const Axis &a : axes_of(s, p)) {
        result = LetStmt::make(a.name, a.min + rest % a.extent, result);
        rest = rest / a.extent;
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
        const std::string pair = part(s, "pair");
        const Stmt compute = reduce_range(context, s, context.threads(), var(p.query.name + ".lo"),
                                          var(p.query.name + ".hi"), p.query_tile, pair, 0);
        result = with_parts(s, context.threads(),
                            allocate_shared(pair, s.load.type(), 2, Block::make(compute, define(s, pair, 0, result))));
    }
    return result;
}

Stmt with_tile_summaries(const Context &context, const Expr &tile, const Stmt &body) {
    Stmt result = body;
    for (const Summary &s : summaries_of(context.program)) {
        if (s.axis == context.program.stream.name) {
            result = define(s, table_of(s), table_entry(s, context.program, tile) * 2, result);
        }
    }
    return result;
}

}  // namespace strobe::simt
