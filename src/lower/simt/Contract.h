#ifndef STROBE_LOWER_SIMT_CONTRACT_H
#define STROBE_LOWER_SIMT_CONTRACT_H

/** \file
 * Contract: each thread accumulates its own elements of the result in registers,
 * reading both operands from shared memory, four steps of the contracted axis at a
 * time. A first operand that is in registers is copied to shared memory, rounded to
 * the contraction's operand type. Where each row has a matrix of its own, see
 * RowProducts.h. Results in shared memory are computed an element
 * at a time. */

#include "Context.h"

namespace strobe::simt {

Stmt lower_contract(const Context &context, const TileOp &op);

/** sum + a * b, in one rounding where the machine has that. */
Expr multiply_add(const Context &context, const Expr &a, const Expr &b, const Expr &sum);
/** The operand's element \p e, as it enters the product. */
Expr rounded_operand(const Expr &e, Type operand, Type sum);

/** The first operand's registers in shared memory, rounded to the operand type, 0
 * beyond the contracted axis; appends the statement that copies them, unless they still lie there. */
Stored copy_rows(const Context &context, const TileOp &op, std::vector<Stmt> &stmts);

}  // namespace strobe::simt

#endif
