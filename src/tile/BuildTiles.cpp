#include "BuildTiles.h"

#include "BuildPass.h"
#include "SumsAhead.h"
#include "support/Error.h"
#include "support/Log.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Says which operands of a contraction lose precision. */
void note_rounding(const TileProgram &program, std::vector<TileOp> &ops) {
    for (TileOp &op : ops) {
        if (op.kind != TileOp::Kind::Contract) {
            continue;
        }
        for (const std::string &operand : {op.a, op.b}) {
            if (program.value(operand).type.bits() > op.operand_type.bits()) {
                std::ostringstream text;
                text << operand << " rounded to " << op.operand_type;
                op.note += (op.note.empty() ? "" : ", ") + text.str();
            }
        }
    }
}

/** A reduction of finished results along a feature axis. */
void reduce_after(TileBuilder &b, const Reduction &r) {
    const Expr body = cast(r.type, b.with_values(r.body));
    std::set<std::string> axes = b.tile_axes_in(body);
    axes.erase(r.over[0]);
    const std::string dst = b.declare("%" + r.name, r.type, axes);
    std::vector<TileOp> &epilogue = b.program.passes.back().epilogue;
    epilogue.push_back(reduce_op(dst, r.op, r.over[0], body));
    if (r.init.defined()) {
        epilogue.push_back(map_op(dst, combine(r.op, b.ref(dst), cast(r.type, b.with_values(r.init)))));
    }
}

}  // namespace

TileProgram build_tiles(const std::string &name, const ReductionGraph &graph, const Plan &plan, const Choices &choices,
                        const std::map<std::string, int> &sizes) {
    strobe_internal_assert(!plan.passes.empty()) << "a plan without passes";
    TileBuilder builder(name, graph, plan, choices, sizes);
    if (choices.exchange) {
        strobe_internal_assert(plan.second) << "nothing separates a second time";
        builder.program.ahead = build_sums_ahead(builder, sizes);
    }
    for (size_t i = 0; i < plan.passes.size(); i++) {
        builder.begin_pass();
        build_pass(builder, i);
        builder.end_pass();
    }
    TileProgram &program = builder.program;
    for (const Reduction &r : plan.after) {
        reduce_after(builder, r);
    }
    for (Output &output : program.outputs) {
        for (const std::string &a : output.axes) {
            if (builder.is_feature(a)) {
                builder.add_column(a);
            }
        }
        output.value = builder.with_values(output.value);
        program.passes.back().epilogue.push_back(store_op(output));
    }
    for (StreamPass &pass : program.passes) {
        note_rounding(program, pass.step);
    }
    return program;
}

}  // namespace strobe
