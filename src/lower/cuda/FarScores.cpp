#include "FarScores.h"

#include <cmath>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

const float limit = -536870912.0f;          // -2^29
const float far_below = -1099511627776.0f;  // -2^40
const float start_of_maxima = -1e30f;

bool is_far(const Expr &e) {
    const FloatImm *value = e.as<FloatImm>();
    return value && std::isfinite(value->value) && value->value < limit;
}

class BringIntoRange : public IRMutator {
    using IRMutator::visit;
    Expr visit(const FloatImm *op) override {
        return is_far(op) ? make_const(op->type, far_below) : Expr(op);
    }

    // What is only compared stays as it is.
    Expr visit(const Select *op) override {
        return Select::make(op->condition, mutate(op->true_value), mutate(op->false_value));
    }
};

}  // namespace

TileProgram without_far_scores(const TileProgram &program) {
    TileProgram result = program;
    BringIntoRange bring;
    for (StreamPass &pass : result.passes) {
        for (TileOp &op : pass.prologue) {
            if (op.kind == TileOp::Kind::Fill && is_far(op.expr)) {
                op.expr = make_const(op.expr.type(), start_of_maxima);
            }
        }
        for (TileOp &op : pass.step) {
            if (op.kind == TileOp::Kind::Map || op.kind == TileOp::Kind::Reduce) {
                op.expr = bring.mutate(op.expr);
            }
        }
    }
    return result;
}

}  // namespace strobe::cuda
