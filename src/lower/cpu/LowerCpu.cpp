#include "LowerCpu.h"

#include "Contract.h"
#include "Elementwise.h"
#include "InputElements.h"
#include "Strips.h"
#include "Summaries.h"
#include "Transfer.h"
#include "lower/BlockWalk.h"
#include "lower/SumArrays.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace cpu {
namespace {

/** The ops in order, all of rows or none; runs of elementwise ones share loops. */
Stmt lower_run(const Context &context, const std::vector<TileOp> &ops, const Expr &full) {
    std::vector<Stmt> stmts;
    for (size_t k = 0; k < ops.size();) {
        const TileOp &op = ops[k];
        size_t count = 1;
        Stmt s;
        switch (op.kind) {
        case TileOp::Kind::Load:
            s = lower_load(context, op);
            break;
        case TileOp::Kind::Store:
            s = lower_store(context, op);
            break;
        case TileOp::Kind::Contract:
            s = lower_contract(context, op);
            break;
        case TileOp::Kind::Scan:
            s = lower_scan(context, op);
            break;
        default: {
            count = group_length(context, ops, k);
            s = lower_group(context, std::vector<TileOp>(ops.begin() + k, ops.begin() + k + count), full);
            break;
        }
        }
        const bool own_guard = op.kind == TileOp::Kind::Load || op.kind == TileOp::Kind::Store ||
                               op.kind == TileOp::Kind::Contract || op.kind == TileOp::Kind::Scan;
        if (own_guard && op.when == TileOp::When::Partial) {
            s = IfThenElse::make(!full, s);
        }
        stmts.push_back(s);
        k += count;
    }
    return stmts.empty() ? Evaluate::make(0) : Block::make(stmts);
}

Expr var(const std::string &name) {
    return Variable::make(Int(32), name);
}

/** \p body for each strip of the block's rows, which the corners of the query axis then are. */
Stmt over_strips(const Context &context, const Stmt &body) {
    if (context.strips.count == 1) {
        return body;
    }
    const std::string &axis = context.program.query.name;
    const std::string low = axis + ".lo", high = axis + ".hi", strip = Strips::counter(context.program);
    const int rows = context.strips.rows;
    Stmt s = LetStmt::make(high, min(var(low) + (rows - 1), var(high)), body);
    s = LetStmt::make(low, var(low) + var(strip) * rows, s);
    return make_loop(strip, (var(high) - var(low) + rows) / rows, s);
}

/** The ops in order; those of rows strip by strip. */
Stmt lower_ops(const Context &context, const std::vector<TileOp> &ops, const Expr &full) {
    std::vector<Stmt> stmts;
    for (size_t k = 0; k < ops.size();) {
        const bool of_rows = is_of_rows(context.program, ops[k]);
        size_t end = k;
        while (end < ops.size() && is_of_rows(context.program, ops[end]) == of_rows) {
            end++;
        }
        const Stmt run = lower_run(context, std::vector<TileOp>(ops.begin() + k, ops.begin() + end), full);
        stmts.push_back(of_rows ? over_strips(context, run) : run);
        k = end;
    }
    return stmts.empty() ? Evaluate::make(0) : Block::make(stmts);
}

/** A mask's bound or verdict; loads of what is the same for the whole block remain in it. */
Expr verdict(const Context &context, const Expr &e) {
    return context.coordinates(e, {}, {});
}

/** \p body unless the mask rules the tile out for the rows at hand. */
Stmt unless_dead(const Context &context, const StreamPass &pass, bool bounds, const Stmt &body) {
    const std::string &axis = context.program.stream.name;
    Expr live = const_true();
    if (bounds && pass.mask.begin.defined()) {
        live = live && var(axis + ".hi") >= verdict(context, pass.mask.begin);
    }
    if (bounds && pass.mask.end.defined()) {
        live = live && var(axis + ".lo") < verdict(context, pass.mask.end);
    }
    if (pass.mask.dead.defined() && !is_const_zero(pass.mask.dead)) {
        live = live && !verdict(context, pass.mask.dead);
    }
    return is_const_one(live) ? body : IfThenElse::make(live, body);
}

/** What a tile of the stream is to a block of rows: what is the stream's alone is done once, the rest strip by
 * strip, each with a verdict of its own. */
Stmt lower_step(const Context &context, const StreamPass &pass, const Expr &tile) {
    const std::vector<TileOp> ops = rows_last(context.program, pass.step);
    auto of_rows = [&](const TileOp &op) { return is_of_rows(context.program, op); };
    const auto with_full = [&](const std::function<Stmt(const Expr &)> &body) {
        const std::string full = unique_name("full");
        const Expr value = pass.mask.full.defined() ? verdict(context, pass.mask.full) : const_false();
        return LetStmt::make(full, value, body(Variable::make(Bool(), full)));
    };
    const auto split = std::find_if(ops.begin(), ops.end(), of_rows);
    Stmt s;
    if (context.strips.count > 1 && std::all_of(split, ops.end(), of_rows)) {
        const std::vector<TileOp> stream(ops.begin(), split), rows(split, ops.end());
        s = with_full([&](const Expr &full) { return lower_run(context, rows, full); });
        s = over_strips(context, unless_dead(context, pass, true, s));
        s = Block::make(with_full([&](const Expr &full) { return lower_run(context, stream, full); }), s);
    } else {
        s = with_full([&](const Expr &full) { return lower_ops(context, ops, full); });
    }
    return with_tile_summaries(context, tile, unless_dead(context, pass, false, s));
}

Stmt lower_walk(const Context &context, const StreamPass &pass, const Expr &part = 0) {
    const auto evaluate = [&](const Expr &e) { return verdict(context, e); };
    const auto step = [&](const Expr &tile) { return lower_step(context, pass, tile); };
    return walk_tiles(context.program, pass, evaluate, step, part);
}

std::string parts_of(const Context &context, const std::string &value) {
    return context.at(value).name + ".parts";
}

/** The states of all parts, one after another. \p save: the block's becomes the unit'th; else
 * that one becomes the other part's. */
Stmt copy_state(const Context &context, const StreamPass &pass, const Expr &unit, bool save) {
    const auto load = [](const Type &type, const std::string &from, const Expr &index) {
        return Load::make(type, from, index, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
    };
    std::vector<Stmt> stmts;
    for (const std::string &name : pass.state) {
        const TileStorage &own = context.at(save ? name : other_part(name));
        const std::string all = parts_of(context, name), at = unique_name("element");
        const Expr elements = make_const(Int(32), own.elements()), index = unit * elements + var(at);
        const Stmt copy = save ? Store::make(all, load(own.type, own.name, var(at)), index, Parameter(), const_true(),
                                             ModulusRemainder())
                               : Store::make(own.name, load(own.type, all, index), var(at), Parameter(), const_true(),
                                             ModulusRemainder());
        stmts.push_back(make_loop(at, elements, copy));
    }
    return Block::make(stmts);
}

/** A block's tiles around what it does. */
Stmt with_tiles(const Context &context, const std::vector<Stmt> &stmts) {
    Stmt s = with_query_summaries(context, Block::make(stmts));
    std::set<std::string> allocated;
    for (const auto &entry : context.storage) {
        const TileStorage &t = entry.second;
        if (!allocated.insert(t.name).second) {
            continue;
        }
        const bool small = t.elements() * t.type.bytes() <= 1024;
        s = Allocate::make(t.name, t.type, small ? MemoryType::Stack : MemoryType::Heap,
                           {make_const(Int(32), t.elements())}, const_true(), s);
    }
    return s;
}

Stmt lower_prologue(const Context &context, const StreamPass &pass) {
    return before_walk(
        pass, [&](const Expr &e) { return verdict(context, e); },
        [&](const Expr &full) { return lower_ops(context, pass.prologue, full); });
}

/** All passes of one block of rows. */
Stmt lower_block(const Context &context) {
    std::vector<Stmt> stmts;
    for (const StreamPass &pass : context.program.passes) {
        stmts.push_back(lower_prologue(context, pass));
        stmts.push_back(lower_walk(context, pass));
        stmts.push_back(lower_ops(context, pass.epilogue, const_false()));
    }
    return with_tiles(context, stmts);
}

/** One part of the walk of a block of rows, the unit'th of all. */
Stmt lower_part(const Context &context, const Expr &unit) {
    const StreamPass &pass = context.program.passes[0];
    return with_tiles(context, {lower_ops(context, pass.prologue, const_false()),
                                lower_walk(context, pass, unit % context.program.parts),
                                copy_state(context, pass, unit, true)});
}

/** What a block of rows does when its parts, the first of which is unit \p first, are done. */
Stmt lower_merge(const Context &context, const Expr &first) {
    const StreamPass &pass = context.program.passes[0];
    const std::string part = unique_name("part");
    const Stmt merge = Block::make(copy_state(context, pass, first + var(part), false),
                                   lower_ops(context, pass.merge, const_false()));
    return with_tiles(context, {lower_ops(context, pass.prologue, const_false()),
                                make_loop(part, context.program.parts, merge),
                                lower_ops(context, pass.epilogue, const_false())});
}

Stmt in_parallel(const std::string &name, const Expr &count, const Stmt &body) {
    return For::make(name, 0, count, ForType::Parallel, Partition::Never, DeviceAPI::None, body);
}

/** All parts of all blocks side by side; then all blocks. */
Stmt lower_parts(const Context &context) {
    const TileProgram &p = context.program;
    const std::string unit = unique_name("unit"), walked = unique_name("task"), task = unique_name("task");
    const Expr units = task_count(p) * p.parts;
    const Stmt walks =
        LetStmt::make(walked, var(unit) / p.parts, at_task(p, walked, lower_part(context, var(unit))));
    const Stmt merges = at_task(p, task, lower_merge(context, var(task) * p.parts));
    Stmt s = Block::make(in_parallel(unit, units, walks), in_parallel(task, task_count(p), merges));
    for (const std::string &name : p.passes[0].state) {
        const TileStorage &t = context.at(name);
        s = Allocate::make(parts_of(context, name), t.type, MemoryType::Heap,
                           {make_const(Int(32), t.elements()), units}, const_true(), s);
    }
    return s;
}

/** Each chunk's sums become those of all chunks up to it. */
Stmt add_chunks(const Context &context, const SumsAhead &ahead, const Output &array) {
    const Type index = context.target.has_large_buffers() ? Int(64) : Int(32);
    const int elements = ahead.elements(array), lanes = elements % context.lanes == 0 ? context.lanes : 1;
    const std::string run = unique_name(array.name + "_run"), chunk = unique_name("chunk"), at = unique_name("at"), lane = unique_name("lane");
    const Expr width = make_const(index, elements), entry = cast(index, var(run)) * cast(index, ahead.chunk.extent) + var(chunk);
    const Expr element = cast(index, var(at)) * lanes + cast(index, var(lane)), here = entry * width + element;
    const auto load = [&](const Expr &where) {
        return Load::make(array.type, array.name, where, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
    };
    Stmt s = Store::make(array.name, load(here) + load(here - width), here, Parameter(), const_true(), ModulusRemainder());
    s = make_loop(at, elements / lanes, lanes > 1 ? make_loop(lane, lanes, s, ForType::Vectorized) : LetStmt::make(lane, 0, s));
    s = For::make(chunk, 1, max(ahead.chunk.extent - 1, 0), ForType::Serial, Partition::Never, DeviceAPI::None, s);
    return in_parallel(run, runs_of(ahead, array, Int(32)), s);
}

Stmt with_sums_ahead(const Context &context, const Choices &choices, const Stmt &program);

/** All blocks of a program. Halide takes task$1 of one loop and the second task of another for the same name of a
 * function: \p loop must differ from that of other programs in the pipeline. */
Stmt lower_blocks(const TileProgram &program, const Choices &choices, const Target &target, const std::string &loop) {
    strobe_internal_assert(program.query_tile > 0 && program.stream_tile > 0) << "tile program " << program.name << " has no tile sizes";
    const TileProgram prepared = with_tiles_for_transfers(program);
    const Context context(prepared, target, choices.vector_lanes);
    const std::string task = unique_name(loop);
    const Stmt s = program.parts > 1
                       ? lower_parts(context)
                       : in_parallel(task, task_count(prepared), at_task(prepared, task, lower_block(context)));
    const Stmt whole = with_stream_summaries(context, s);
    return program.ahead ? with_sums_ahead(context, choices, whole) : whole;
}

/** The sums, the chunks' and then those up to each, and what starts from them. */
Stmt with_sums_ahead(const Context &context, const Choices &choices, const Stmt &program) {
    const SumsAhead &ahead = *context.program.ahead;
    std::vector<Stmt> stmts = {lower_blocks(ahead.program, choices, context.target, "sums")};
    for (const Output &array : ahead.program.outputs) {
        stmts.push_back(add_chunks(context, ahead, array));
    }
    stmts.push_back(program);
    Stmt s = with_array_shapes(ahead, Int(32), without_parameters(ahead, Block::make(stmts)));
    for (const Output &array : ahead.program.outputs) {
        s = Allocate::make(array.name, array.type, MemoryType::Heap,
                           {ahead.elements(array), ahead.chunk.extent, runs_of(ahead, array, Int(32))}, const_true(), s);
    }
    return s;
}

}  // namespace
}  // namespace cpu

Stmt lower_cpu(const TileProgram &program, const Choices &choices, const Target &target) {
    return cpu::lower_blocks(program, choices, target, "task");
}

}  // namespace strobe
