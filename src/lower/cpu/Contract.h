#ifndef STROBE_LOWER_CPU_CONTRACT_H
#define STROBE_LOWER_CPU_CONTRACT_H

/** \file
 * Contract: blocks of rows x vectors of accumulators stay in registers while the
 * contracted axis is walked. Vectors run along dst's innermost axis; the operand
 * that lacks it gives single elements, which are broadcast. Values whose layout does
 * not fit are repacked first; operands are rounded to the contraction's operand
 * type first. */

#include "Context.h"

namespace strobe::cpu {

Halide::Internal::Stmt lower_contract(const Context &context, const TileOp &op);

}  // namespace strobe::cpu

#endif
