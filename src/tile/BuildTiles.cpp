#include "BuildTiles.h"

#include "BuildPass.h"
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

}  // namespace

TileProgram build_tiles(const std::string &name, const ReductionGraph &graph, const Plan &plan, const Choices &choices,
                        const std::map<std::string, int> &sizes) {
    strobe_internal_assert(!plan.passes.empty()) << "a plan without passes";
    TileBuilder builder(name, graph, plan, choices, sizes);
    for (size_t i = 0; i < plan.passes.size(); i++) {
        builder.begin_pass();
        build_pass(builder, i);
        builder.end_pass();
    }
    TileProgram &program = builder.program;
    for (Output &output : program.outputs) {
        output.value = builder.with_constant_pivots(output.value);
        program.passes.back().epilogue.push_back(store_op(output));
    }
    for (StreamPass &pass : program.passes) {
        note_rounding(program, pass.step);
    }
    return program;
}

}  // namespace strobe
