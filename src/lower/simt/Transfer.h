#ifndef STROBE_LOWER_SIMT_TRANSFER_H
#define STROBE_LOWER_SIMT_TRANSFER_H

/** \file
 * Load: an input's elements into shared memory, 0 outside the axes' domains. */

#include "Context.h"

namespace strobe::simt {

Stmt lower_load(const Context &context, const TileOp &op);

}  // namespace strobe::simt

#endif
