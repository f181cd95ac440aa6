#ifndef STROBE_LOWER_SIMT_MATRIX_CONTRACT_H
#define STROBE_LOWER_SIMT_MATRIX_CONTRACT_H

/** \file
 * Contract on the matrix unit of sm_80 and later (mma.sync, 16 x 8 x 16): operands
 * of 16 bits from shared memory, the first one also from registers, whose elements
 * lie as the matrix unit wants them. */

#include "Context.h"

namespace strobe::simt {

/** Whether the matrix unit computes this contraction here. */
bool fits_matrix_unit(const Context &context, const TileOp &op);

Stmt lower_matrix_contract(const Context &context, const TileOp &op);

}  // namespace strobe::simt

#endif
