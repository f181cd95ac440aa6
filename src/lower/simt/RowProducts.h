#ifndef STROBE_LOWER_SIMT_ROW_PRODUCTS_H
#define STROBE_LOWER_SIMT_ROW_PRODUCTS_H

/** \file
 * What lies across the points of a block (SharePoints.h): for each row of the query tile
 * a matrix of points and columns, in the registers of one warp. Its products, on the
 * matrix unit for 16-bit operands; and Map, Fill and Store of such values, for which each
 * point hands its row values over in shared memory. */

#include "Context.h"

namespace strobe::simt {

/** Whether the op computes, or stores, elements across the points. */
bool is_across(const Context &context, const TileOp &op);

Stmt lower_map_across(const Context &context, const TileOp &op);
Stmt lower_store_across(const Context &context, const TileOp &op);

/** dst[point, column] += a[point, k] * b[k, column] for each row: every warp has rows of its
 * own, whose operands it reads from shared memory. */
Stmt lower_row_products(const Context &context, const TileOp &op);

}  // namespace strobe::simt

#endif
