#ifndef STROBE_LOWER_SIMT_ELEMENTWISE_H
#define STROBE_LOWER_SIMT_ELEMENTWISE_H

/** \file
 * Map, Fill, Reduce, Scan and Store. Elements in registers are computed by the thread
 * that has them, without a barrier; the lanes of a row combine what each reduced of
 * it. Elements in shared memory are dealt out to all threads in order. */

#include "Context.h"

namespace strobe::simt {

/** Map or Fill. */
Stmt lower_map(const Context &context, const TileOp &op);
Stmt lower_reduce(const Context &context, const TileOp &op);
/** In shared memory, where a thread goes along each row. */
Stmt lower_scan(const Context &context, const TileOp &op);
Stmt lower_store(const Context &context, const TileOp &op);
/** One element of an output, where \p point is inside its domain. */
Stmt store_output(const Context &context, const TileOp &op, const Point &point);

/** The least or greatest element and so on of \p source, one a thread in an array of
 * the block, into element \p index of \p result. */
Stmt reduce_over_threads(const Context &context, ReduceOp op, const std::string &source, Type type, int count,
                         const std::string &result, const Expr &index);

}  // namespace strobe::simt

#endif
