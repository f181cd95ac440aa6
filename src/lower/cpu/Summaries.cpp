#include "Summaries.h"

#include "support/Error.h"

#include <algorithm>

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

/** Reduces the summary's load over [lo, hi] into array.min and array.max at \p index. */
Stmt reduce_range(const Context &context, const Summary &s, const Expr &lo, const Expr &hi, const Expr &index) {
    const Call *call = s.load.as<Call>();
    strobe_internal_assert(call && call->call_type == Call::Image) << "summary of " << s.load;
    const Type t = call->type;
    const std::string step = unique_name(s.axis + ".at");
    std::vector<Expr> args;
    for (const Expr &a : call->args) {
        args.push_back(context.coordinates(substitute(s.axis, lo + var(step), a), {}, {}));
    }
    const std::string low = s.name + ".min.tile", high = s.name + ".max.tile", element = unique_name("element");
    const Expr x = Variable::make(t, element);
    Stmt update = Block::make(store_to(low, min(load_from(low, t, index), x), index),
                              store_to(high, max(load_from(high, t, index), x), index));
    update = LetStmt::make(element, context.load_input(call, args), update);
    return Block::make({store_to(low, t.max(), index), store_to(high, t.min(), index),
                        make_loop(step, hi - lo + 1, update)});
}

/** The grid axes that the summary's load is indexed by. */
std::vector<Axis> axes_of_summary(const TileProgram &program, const Summary &s) {
    std::vector<Axis> axes;
    std::copy_if(program.grid.begin(), program.grid.end(), std::back_inserter(axes),
                 [&](const Axis &a) { return expr_uses_var(s.load, a.name); });
    return axes;
}

Expr stream_tiles(const TileProgram &p) {
    return (p.stream.extent + (p.stream_tile - 1)) / p.stream_tile;
}

/** Where the summary of \p tile lies for the current point of the grid. */
Expr summary_index(const TileProgram &program, const Summary &s, const Expr &tile) {
    Expr index = 0;
    const std::vector<Axis> axes = axes_of_summary(program, s);
    for (auto a = axes.rbegin(); a != axes.rend(); ++a) {
        index = index * a->extent + (var(a->name) - a->min);
    }
    return index * stream_tiles(program) + tile;
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

std::vector<Summary> summaries_of(const TileProgram &program) {
    std::vector<Summary> all;
    for (const StreamPass &pass : program.passes) {
        for (const Summary &s : pass.mask.summaries) {
            if (std::none_of(all.begin(), all.end(), [&](const Summary &o) { return o.name == s.name; })) {
                all.push_back(s);
            }
        }
    }
    return all;
}

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
        Expr total = stream_tiles(p);
        Stmt loops = make_loop(tile, stream_tiles(p), reduce_range(context, s, lo, hi, summary_index(p, s, t)));
        for (const Axis &a : axes_of_summary(p, s)) {
            const std::string at = unique_name(a.name + ".at");
            loops = make_loop(at, a.extent, LetStmt::make(a.name, a.min + var(at), loops));
            total = total * a.extent;
        }
        result = allocate(s, total, MemoryType::Heap, Block::make(loops, result));
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
            result = define(s, summary_index(context.program, s, tile), result);
        }
    }
    return result;
}

}  // namespace strobe::cpu
