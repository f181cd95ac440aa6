#include "LowerCpu.h"

#include "Contract.h"
#include "Elementwise.h"
#include "Summaries.h"
#include "Transfer.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace cpu {
namespace {

Expr var(const std::string &name) {
    return Variable::make(Int(32), name);
}

/** The ops in order; runs of elementwise ones share loops. */
Stmt lower_ops(const Context &context, const std::vector<TileOp> &ops, const Expr &full) {
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

/** A mask's bound or verdict; loads of what is the same for the whole block remain in it. */
Expr verdict(const Context &context, const Expr &e) {
    return context.coordinates(e, {}, {});
}

/** The walk over the stream's tiles that meet [begin, end). */
Stmt lower_walk(const Context &context, const StreamPass &pass) {
    const TileProgram &p = context.program;
    const std::string &axis = p.stream.name;
    const int size = p.stream_tile;
    const std::string turn = unique_name(axis + ".turn"), tile = unique_name(axis + ".tile");
    const std::string first = unique_name(axis + ".first"), last = unique_name(axis + ".last"), full = unique_name("full");

    Stmt s = lower_ops(context, pass.step, Variable::make(Bool(), full));
    s = LetStmt::make(full, pass.mask.full.defined() ? verdict(context, pass.mask.full) : const_false(), s);
    if (pass.mask.dead.defined() && !is_const_zero(pass.mask.dead)) {
        s = IfThenElse::make(!verdict(context, pass.mask.dead), s);
    }
    s = with_tile_summaries(context, var(tile), s);
    s = LetStmt::make(axis + ".hi", min(var(axis + ".lo") + (size - 1), p.stream.min + p.stream.extent - 1), s);
    s = LetStmt::make(axis + ".lo", p.stream.min + var(tile) * size, s);
    s = LetStmt::make(tile, var(first) + var(turn), s);
    s = make_loop(turn, max(var(last) - var(first), 0), s);

    const Expr tiles = (p.stream.extent + (size - 1)) / size;
    Expr begin = 0, end = tiles;
    if (pass.mask.begin.defined()) {
        begin = max((verdict(context, pass.mask.begin) - p.stream.min) / size, 0);
    }
    if (pass.mask.end.defined()) {
        end = min((verdict(context, pass.mask.end) - p.stream.min + (size - 1)) / size, tiles);
    }
    s = LetStmt::make(last, end, s);
    return LetStmt::make(first, begin, s);
}

/** All passes of one block of rows, with the block's tiles around them. */
Stmt lower_block(const Context &context) {
    std::vector<Stmt> stmts;
    for (const StreamPass &pass : context.program.passes) {
        stmts.push_back(lower_ops(context, pass.prologue, const_false()));
        stmts.push_back(lower_walk(context, pass));
        stmts.push_back(lower_ops(context, pass.epilogue, const_false()));
    }
    Stmt s = with_query_summaries(context, Block::make(stmts));
    for (const auto &entry : context.storage) {
        const TileStorage &t = entry.second;
        const bool small = t.elements() * t.type.bytes() <= 1024;
        s = Allocate::make(t.name, t.type, small ? MemoryType::Stack : MemoryType::Heap,
                           {make_const(Int(32), t.elements())}, const_true(), s);
    }
    return s;
}

}  // namespace
}  // namespace cpu

Stmt lower_cpu(const TileProgram &program, const Choices &, const Target &target) {
    using namespace cpu;
    strobe_internal_assert(program.query_tile > 0 && program.stream_tile > 0) << "tile program " << program.name << " has no tile sizes";
    const Context context(program, target);
    const std::string &axis = program.query.name;
    const int size = program.query_tile;
    const std::string task = unique_name("task"), block = unique_name(axis + ".block"), blocks = unique_name(axis + ".blocks");

    Stmt s = lower_block(context);
    s = LetStmt::make(axis + ".hi", min(var(axis + ".lo") + (size - 1), program.query.min + program.query.extent - 1), s);
    s = LetStmt::make(axis + ".lo", program.query.min + var(block) * size, s);
    // Blocks of the same head run one after another: they share keys and values.
    const Expr in_order = var(task) % var(blocks);
    s = LetStmt::make(block, program.query_descending ? var(blocks) - 1 - in_order : in_order, s);
    Expr total = var(blocks), rest = var(task) / var(blocks);
    for (const Axis &a : program.grid) {
        s = LetStmt::make(a.name, a.min + rest % a.extent, s);
        rest = rest / a.extent;
        total = total * a.extent;
    }
    s = For::make(task, 0, total, ForType::Parallel, Partition::Never, DeviceAPI::None, s);
    s = with_stream_summaries(context, s);
    return LetStmt::make(blocks, (program.query.extent + (size - 1)) / size, s);
}

}  // namespace strobe
