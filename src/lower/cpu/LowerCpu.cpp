#include "LowerCpu.h"

#include "Contract.h"
#include "Elementwise.h"
#include "Summaries.h"
#include "Transfer.h"
#include "lower/BlockWalk.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace cpu {
namespace {

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

Stmt lower_walk(const Context &context, const StreamPass &pass) {
    const auto evaluate = [&](const Expr &e) { return verdict(context, e); };
    return walk_tiles(context.program, pass, evaluate, [&](const Expr &tile) {
        const std::string full = unique_name("full");
        Stmt s = lower_ops(context, pass.step, Variable::make(Bool(), full));
        s = LetStmt::make(full, pass.mask.full.defined() ? evaluate(pass.mask.full) : const_false(), s);
        if (pass.mask.dead.defined() && !is_const_zero(pass.mask.dead)) {
            s = IfThenElse::make(!evaluate(pass.mask.dead), s);
        }
        return with_tile_summaries(context, tile, s);
    });
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
    const std::string task = unique_name("task");
    const Stmt s = For::make(task, 0, task_count(program), ForType::Parallel, Partition::Never, DeviceAPI::None,
                             at_task(program, task, lower_block(context)));
    return with_stream_summaries(context, s);
}

}  // namespace strobe
