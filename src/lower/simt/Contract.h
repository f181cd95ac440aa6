#ifndef STROBE_LOWER_SIMT_CONTRACT_H
#define STROBE_LOWER_SIMT_CONTRACT_H

/** \file
 * Contract: each thread accumulates its own elements of the result in registers,
 * reading both operands from shared memory, four steps of the contracted axis at a
 * time. A first operand that is in registers is copied to shared memory, rounded to
 * the contraction's operand type. Results in shared memory are computed an element
 * at a time. */

#include "Context.h"

namespace strobe::simt {

Stmt lower_contract(const Context &context, const TileOp &op);

/** The first operand's registers in shared memory, rounded to the operand type, 0
 * beyond the contracted axis; appends the statement that copies them. */
Stored copy_rows(const Context &context, const TileOp &op, std::vector<Stmt> &stmts);

}  // namespace strobe::simt

#endif
